/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridges and their ports: the writers' side, under the version lock, and the small look-ups. */
#include "datapath/table/bridge.h"

#include <errno.h>
#include <stdio.h>

#include "datapath/base/hash.h"
#include "datapath/core/past_names.h"
#include "datapath/flow/action.h"
#include "datapath/table/bridge_priv.h"
#include "datapath/table/mac_table.h"

struct bridge *bridge_array[BRIDGE_ID_MAX];
struct bridge_port *bridge_port_array[PORT_ID_MAX];
uint32_t bridge_patch_peer[PORT_ID_MAX];
uint8_t bridge_port_down[PORT_ID_MAX];
uint32_t bridge_port_mac_limit[PORT_ID_MAX];
void (*bridge_port_published)(const struct bridge_port *old, const struct bridge_port *new);

static struct hmap bridges;                        /* by name; writers' view */
static struct bridge *id_taken[BRIDGE_ID_MAX];     /* writers' view */
static struct bridge_port *next_port[PORT_ID_MAX]; /* writers' view */

/* ---- readers ---- */
const struct bridge_port *bridge_port_by_ofport(const struct bridge *b, uint32_t ofport)
{
	const struct bridge_ports *ps = rcu_load(&b->ports);
	uint32_t lo = 0, hi = ps->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (ps->at[mid]->c.ofport < ofport)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ps->n && ps->at[lo]->c.ofport == ofport ? ps->at[lo] : NULL;
}

bool bridge_port_carries(const struct bridge_port *p, uint16_t vlan)
{
	switch ((enum vlan_mode)p->c.vlan_mode) {
	case VLAN_MODE_ACCESS:
	case VLAN_MODE_DOT1Q_TUNNEL:
		return vlan == p->c.tag;
	case VLAN_MODE_TRUNK:
		return !p->c.has_trunks || vlan_set_has(&p->c.trunks, vlan);
	case VLAN_MODE_NATIVE_TAGGED:
	case VLAN_MODE_NATIVE_UNTAGGED:
		return !p->c.has_trunks || vlan == p->c.tag || vlan_set_has(&p->c.trunks, vlan);
	case VLAN_MODE_N:
		break;
	}
	return false;
}

/* ---- writers ---- */
void bridge_config_init(struct bridge_config *c)
{
	memset(c, 0, sizeof *c);
	c->vlan_limit = 2;
	c->n_tables = BRIDGE_TABLES_DEFAULT;
	c->mac_ageing_s = MAC_AGEING_S_DEFAULT;
	c->mac_table_size = MAC_TABLE_SIZE_DEFAULT;
}

void bridge_port_config_init(struct bridge_port_config *c)
{
	memset(c, 0, sizeof *c);
	c->tag = VLAN_NONE;
	c->qinq_tpid = 0x88a8;
}

struct bridge *bridge_find(const char *name)
{
	HMAP_FOR_EACH_WITH_HASH (b, struct bridge, name_node, hash_string(name), &bridges)
		if (!strcmp(b->name, name))
			return b;
	return NULL;
}

void bridge_for_each(void (*fn)(struct bridge *b, void *aux), void *aux)
{
	for (uint32_t i = 1; i < BRIDGE_ID_MAX; i++)
		if (id_taken[i])
			fn(id_taken[i], aux);
}

const struct bridge_port *bridge_port_next(uint32_t port_id)
{
	return port_id < PORT_ID_MAX ? next_port[port_id] : NULL;
}

static void free_ports_snapshot(void *p)
{
	free(p);
}

static struct bridge_ports *snapshot(const struct bridge *b)
{
	struct bridge_ports *ps = xmalloc(sizeof *ps + b->next_ports.len * sizeof ps->at[0]);

	ps->n = (uint32_t)b->next_ports.len;
	for (uint32_t i = 0; i < ps->n; i++)
		ps->at[i] = b->next_ports.at[i];
	return ps;
}

static void free_bridge(void *p)
{
	struct bridge *b = p;

	mac_table_destroy(b->macs);
	bridge_tables_destroy(b);
	free((void *)b->config);
	free((void *)b->ports);
	vec_free(&b->next_ports);
	free(b);
}

static struct bridge *create(const char *name, uint32_t id, const struct bridge_config *c)
{
	struct bridge *b = xzalloc(sizeof *b);

	b->id = id;
	snprintf(b->name, sizeof b->name, "%s", name);
	b->next_config = xmemdup(c, sizeof *c);
	b->config = b->next_config;
	b->ports = snapshot(b);
	past_name_set(PAST_BRIDGE, id, name);
	b->macs = mac_table_create(id, c->mac_table_size, c->mac_ageing_s);
	bridge_tables_create(b);
	return b;
}

static int check_config(const char *name, const struct bridge_config *c, struct err *e)
{
	if (!name[0] || strlen(name) >= PORT_NAME_BYTES)
		return err_set(e, EINVAL, "bridge: name \"%.80s\": must have 1 to %d characters",
			       name, PORT_NAME_BYTES - 1);
	if (c->mac_table_size < 10 || c->mac_table_size > MAC_TABLE_SIZE_MAX)
		return err_set(e, EINVAL, "bridge %s: mac_table_size %u: must be 10 to %u", name,
			       c->mac_table_size, MAC_TABLE_SIZE_MAX);
	if (c->vlan_limit < 1 || c->vlan_limit > 2)
		return err_set(e, EINVAL, "bridge %s: vlan_limit %u: must be 1 or 2", name,
			       c->vlan_limit);
	return 0;
}

/* -- one step of a bridge: creation, change or removal -- */
struct bridge_step {
	struct bridge *b;
	struct bridge_config *old, *new; /* creation: old NULL; removal: new NULL */
};

static void publish_bridge(void *p)
{
	struct bridge_step *s = p;

	if (!s->new) {
		rcu_store(&bridge_array[s->b->id], NULL);
		return; /* its rules' last steps come before free_bridge(): see done_bridge() */
	} else if (!s->old) {
		rcu_store(&bridge_array[s->b->id], s->b);
	} else {
		/* Several changes in one txn: each publishes its own and retires the one before. */
		rcu_store(&s->b->config, s->new);
		txn_later(free, s->old);
	}
}

static void done_bridge(void *p)
{
	struct bridge_step *s = p;

	if (!s->new)
		txn_later(free_bridge, s->b);
	free(s);
}

static void link_bridge(struct bridge *b)
{
	hmap_insert(&bridges, &b->name_node, hash_string(b->name));
	id_taken[b->id] = b;
}

static void unlink_bridge(struct bridge *b)
{
	hmap_remove(&bridges, &b->name_node);
	id_taken[b->id] = NULL;
}

static void undo_bridge(void *p)
{
	struct bridge_step *s = p;

	if (!s->new) {
		link_bridge(s->b);
	} else if (!s->old) {
		unlink_bridge(s->b);
		free_bridge(s->b);
	} else {
		s->b->next_config = s->old;
		free(s->new);
	}
	free(s);
}

static void step(struct txn *t, struct bridge *b, struct bridge_config *old,
		 struct bridge_config *new)
{
	struct bridge_step *s = xmalloc(sizeof *s);

	*s = (struct bridge_step){b, old, new};
	txn_step(t, publish_bridge, done_bridge, undo_bridge, s);
	txn_change(t, CHANGE_BRIDGE, b->id, 0, NULL);
}

uint32_t bridge_wanted_id;

int bridge_set(struct txn *t, const char *name, const struct bridge_config *c, struct bridge **out,
	       struct err *e)
{
	struct bridge *b = bridge_find(name);
	struct bridge_config *old;
	uint32_t id = 1;
	int r = check_config(name, c, e);

	if (r)
		return r;
	if (b) {
		old = b->next_config;
		b->next_config = xmemdup(c, sizeof *c);
		step(t, b, old, b->next_config);
		mac_table_configure(t, b->macs, c->mac_table_size, c->mac_ageing_s);
	} else {
		if (bridge_wanted_id && !id_taken[bridge_wanted_id])
			id = bridge_wanted_id;
		bridge_wanted_id = 0;
		while (id < BRIDGE_ID_MAX && id_taken[id])
			id++;
		if (id == BRIDGE_ID_MAX)
			return err_set(e, ENOSPC, "bridge %s: there are %d bridges already", name,
				       BRIDGE_ID_MAX - 1);
		b = create(name, id, c);
		link_bridge(b);
		step(t, b, NULL, b->next_config);
	}
	if (out)
		*out = b;
	return 0;
}

/* -- patch ports -- */
static struct bridge_port *find_port(const char *name)
{
	for (uint32_t i = 1; i < PORT_ID_MAX; i++)
		if (next_port[i] && !strcmp(next_port[i]->c.name, name))
			return next_port[i];
	return NULL;
}

/* Peers name each other (ovs-vswitchd.conf.db(5), "Patch Options"). */
static void pair_patch_ports(void)
{
	for (uint32_t i = 1; i < PORT_ID_MAX; i++) {
		const struct bridge_port *p = next_port[i], *peer = NULL;

		if (p && p->c.is_patch && p->c.peer[0])
			peer = find_port(p->c.peer);
		if (peer && (!peer->c.is_patch || strcmp(peer->c.peer, p->c.name) || peer == p))
			peer = NULL;
		__atomic_store_n(&bridge_patch_peer[i], peer ? peer->c.port_id : 0,
				 __ATOMIC_RELAXED);
	}
}

/* -- one step of a port -- */
struct port_step {
	struct bridge_port *old, *new; /* either may be NULL */
};

static void insert_sorted(struct bridge *b, struct bridge_port *p)
{
	size_t i = b->next_ports.len;

	vec_push(&b->next_ports, p);
	for (; i > 0 && b->next_ports.at[i - 1]->c.ofport > p->c.ofport; i--)
		b->next_ports.at[i] = b->next_ports.at[i - 1];
	b->next_ports.at[i] = p;
}

static void remove_sorted(struct bridge *b, const struct bridge_port *p)
{
	for (size_t i = 0; i < b->next_ports.len; i++) {
		if (b->next_ports.at[i] == p) {
			vec_remove(&b->next_ports, i);
			return;
		}
	}
}

/* Puts `new` where `old` was in the writers' view. */
static void swap_next(struct bridge_port *old, struct bridge_port *new)
{
	if (old) {
		remove_sorted(old->bridge, old);
		next_port[old->c.port_id] = NULL;
		old->bridge->ports_dirty = true;
	}
	if (new) {
		insert_sorted(new->bridge, new);
		next_port[new->c.port_id] = new;
		new->bridge->ports_dirty = true;
	}
}

static void publish_ports(struct bridge *b)
{
	const struct bridge_ports *old = b->ports;

	if (!b->ports_dirty)
		return;
	b->ports_dirty = false;
	rcu_store(&b->ports, snapshot(b));
	txn_later(free_ports_snapshot, (void *)old);
	pair_patch_ports();
}

static void publish_port(void *p)
{
	struct port_step *s = p;
	uint32_t id = s->old ? s->old->c.port_id : s->new->c.port_id;

	if (bridge_port_published)
		bridge_port_published(s->old, s->new);
	if (s->old)
		publish_ports(s->old->bridge);
	if (s->new)
		publish_ports(s->new->bridge);
	rcu_store(&bridge_port_array[id], s->new);
	if (s->old)
		txn_later(free, s->old);
	free(s);
}

static void undo_port(void *p)
{
	struct port_step *s = p;

	swap_next(s->new, s->old);
	if (s->old)
		s->old->bridge->ports_dirty = false;
	if (s->new)
		s->new->bridge->ports_dirty = false;
	free(s->new);
	free(s);
}

static void port_step(struct txn *t, struct bridge_port *old, struct bridge_port *new)
{
	struct port_step *s = xmalloc(sizeof *s);
	bool patch = (old && old->c.is_patch) || (new &&new->c.is_patch);

	*s = (struct port_step){old, new};
	swap_next(old, new);
	txn_step(t, publish_port, NULL, undo_port, s);
	/* A patch port connects two bridges; flows of either may cross it. */
	if (patch)
		txn_change(t, CHANGE_ALL, 0, 0, NULL);
	else
		txn_change(t, CHANGE_BRIDGE, (old ? old : new)->bridge->id, 0, NULL);
}

static int check_port(const struct bridge *b, const struct bridge_port_config *c, struct err *e)
{
	const struct bridge_port *old = bridge_port_next(c->port_id);

	if (!c->port_id || c->port_id >= PORT_ID_MAX)
		return err_set(e, EINVAL, "port %s: port_id %u: must be 1 to %d", c->name,
			       c->port_id, PORT_ID_MAX - 1);
	if (!c->ofport || (c->ofport >= OFP_PORT_MAX && c->ofport != OFP_PORT_LOCAL))
		return err_set(e, EINVAL, "port %s: ofport %u: out of range", c->name, c->ofport);
	if (old && old->bridge != b)
		return err_set(e, EBUSY, "port %s: is on bridge %s", c->name, old->bridge->name);
	for (size_t i = 0; i < b->next_ports.len; i++) {
		const struct bridge_port *p = b->next_ports.at[i];

		if (p != old && p->c.ofport == c->ofport)
			return err_set(e, EEXIST, "port %s: ofport %u: is port %s's", c->name,
				       c->ofport, p->c.name);
	}
	if (c->vlan_mode >= VLAN_MODE_N)
		return err_set(e, EINVAL, "port %s: vlan_mode %u: unknown", c->name, c->vlan_mode);
	if (c->tag >= VLAN_N && c->vlan_mode != VLAN_MODE_TRUNK)
		return err_set(e, EINVAL, "port %s: tag: this vlan_mode needs one, 0 to 4095",
			       c->name);
	if (c->priority_tags > VLAN_PRIORITY_ALWAYS)
		return err_set(e, EINVAL, "port %s: priority_tags %u: unknown", c->name,
			       c->priority_tags);
	return 0;
}

int bridge_port_set(struct txn *t, struct bridge *b, const struct bridge_port_config *c,
		    struct err *e)
{
	struct bridge_port *old, *p;
	int r = check_port(b, c, e);

	if (r)
		return r;
	old = next_port[c->port_id];
	p = xmalloc(sizeof *p);
	p->c = *c;
	p->bridge = b;
	port_step(t, old, p);
	/* What was learnt under other VLAN rules is no longer true. */
	if (old && (old->c.vlan_mode != c->vlan_mode || old->c.tag != c->tag))
		mac_table_flush(t, b->macs,
				&(struct mac_filter){.vlan = -1, .port_id = c->port_id});
	return 0;
}

int bridge_port_del(struct txn *t, uint32_t port_id, struct err *e)
{
	struct bridge_port *p = port_id < PORT_ID_MAX ? next_port[port_id] : NULL;

	if (!p)
		return err_set(e, ENOENT, "port %u: is on no bridge", port_id);
	mac_table_flush(t, p->bridge->macs,
			&(struct mac_filter){.vlan = -1, .port_id = port_id, .statics = true});
	port_step(t, p, NULL);
	return 0;
}

int bridge_del(struct txn *t, const char *name, struct err *e)
{
	struct bridge *b = bridge_find(name);

	if (!b)
		return err_set(e, ENOENT, "bridge %s: not found", name);
	while (b->next_ports.len)
		bridge_port_del(t, vec_last(&b->next_ports)->c.port_id, e);
	unlink_bridge(b);
	step(t, b, b->next_config, NULL);
	return 0;
}

void bridge_port_link(uint32_t port_id, bool up)
{
	struct txn t;

	if (port_id >= PORT_ID_MAX || bridge_port_down[port_id] == !up)
		return;
	txn_begin(&t);
	__atomic_store_n(&bridge_port_down[port_id], (uint8_t)!up, __ATOMIC_RELAXED);
	txn_change(&t, CHANGE_PORT, 0, port_id, NULL);
	txn_commit(&t);
}

void bridge_miss_upcalls(struct bridge *b, bool on)
{
	struct txn t;

	if (b->miss_upcalls == on)
		return;
	txn_begin(&t);
	__atomic_store_n(&b->miss_upcalls, (uint8_t)on, __ATOMIC_RELAXED);
	txn_change(&t, CHANGE_BRIDGE, b->id, 0, NULL);
	txn_commit(&t);
}

void bridge_destroy_all(void)
{
	struct txn t;

	txn_begin(&t);
	for (uint32_t i = 1; i < BRIDGE_ID_MAX; i++)
		if (id_taken[i])
			bridge_del(&t, id_taken[i]->name, NULL);
	txn_commit(&t);
	hmap_destroy(&bridges);
	memset(bridge_port_down, 0, sizeof bridge_port_down);
}
