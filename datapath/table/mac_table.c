/* SPDX-License-Identifier: BSD-3-Clause */
/* MAC learning. Poll threads only look up and post to the ring; all writes happen on the main
 * thread under the version lock. */
#include "datapath/table/mac_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/table/bridge.h"

enum {
	RING_SIZE = 4096,
	PORT_SHARE = 512, /* of the ring: one port's flood leaves room for the others */
	DRAIN_MAX = 60,   /* applied per call, in one version: two matches each go into the log */
	GRAT_LOCK_MS = 5000,
};

struct mac_table {
	struct ptr_table entries;
	uint32_t bridge_id;
	uint32_t max_entries, ageing_s; /* W: commit  R: main */
	struct hmap port_counts;        /* struct port_count: learnt entries  W: main */
	uint64_t expire_at_ms;          /* no entry can be due earlier  W: main */
};

struct port_count {
	struct hmap_node node; /* hash: port id */
	uint32_t n;
};

struct learn_request {
	uint32_t bridge_id, port_id;
	uint8_t mac[6];
	uint16_t vlan; /* bit 15: gratuitous */
};
enum { LEARN_GRATUITOUS = 0x8000 };

static struct rte_ring *learn_ring;        /* MPSC */
static uint32_t port_pending[PORT_ID_MAX]; /* requests in the ring; atomic */

static uint64_t hash_key(const uint8_t mac[6], uint16_t vlan)
{
	struct {
		uint8_t mac[6];
		uint16_t vlan;
	} key;

	memcpy(key.mac, mac, 6);
	key.vlan = vlan;
	return hash_bytes(&key, sizeof key);
}

static uint64_t hash_entry(const void *p)
{
	const struct mac_entry *e = p;

	return hash_key(e->mac, e->vlan);
}

static void make_ring(void)
{
	ssize_t size = rte_ring_get_memsize_elem(sizeof(struct learn_request), RING_SIZE);
	void *mem = NULL;

	if (learn_ring)
		return;
	/* Our own memory, so that neither EAL nor hugepages are needed. */
	if (posix_memalign(&mem, SL_CACHE_LINE, (size_t)size))
		abort();
	memset(mem, 0, (size_t)size);
	rte_ring_init(mem, "mac_learn", RING_SIZE, RING_F_SC_DEQ);
	learn_ring = mem;
}

struct mac_table *mac_table_create(uint32_t bridge_id, uint32_t max_entries, uint32_t ageing_s)
{
	struct mac_table *t = xzalloc(sizeof *t);

	make_ring();
	ptr_table_init(&t->entries, hash_entry);
	t->bridge_id = bridge_id;
	t->max_entries = max_entries;
	t->ageing_s = ageing_s;
	return t;
}

static void free_entry(struct credit_target *c)
{
	free(SL_CONTAINER_OF(c, struct mac_entry, credit));
}

void mac_table_destroy(struct mac_table *t)
{
	uint32_t pos = 0;
	struct mac_entry *e;

	if (!t)
		return;
	while ((e = ptr_table_next(&t->entries, &pos)))
		credit_put(&e->credit);
	ptr_table_destroy(&t->entries);
	HMAP_FOR_EACH_SAFE (pc, struct port_count, node, &t->port_counts) {
		hmap_remove(&t->port_counts, &pc->node);
		free(pc);
	}
	hmap_destroy(&t->port_counts);
	free(t);
}

struct mac_entry *mac_table_lookup(const struct mac_table *t, const uint8_t mac[6], uint16_t vlan)
{
	struct ptr_iter it = ptr_iter_start(&t->entries, hash_key(mac, vlan));
	struct mac_entry *e;

	while ((e = ptr_iter_next(&it)) && (e->vlan != vlan || memcmp(e->mac, mac, 6)))
		;
	return e;
}

bool mac_table_wants(const struct mac_table *t, const struct mac_entry *e, const uint8_t mac[6],
		     uint16_t vlan, uint32_t port_id, bool gratuitous, uint64_t now_ms)
{
	if (mac[0] & 1 || (!mac[0] && !mac[1] && !mac[2] && !mac[3] && !mac[4] && !mac[5]))
		return false;
	if (!e)
		return true;
	if (e->is_static)
		return false;
	if (__atomic_load_n(&e->port_id, __ATOMIC_RELAXED) != port_id)
		return gratuitous || now_ms >= e->grat_lock_until_ms;
	return gratuitous && now_ms + GRAT_LOCK_MS / 2 > e->grat_lock_until_ms;
}

bool mac_table_learn(uint32_t bridge_id, const uint8_t mac[6], uint16_t vlan, uint32_t port_id,
		     bool gratuitous)
{
	struct learn_request req = {.bridge_id = bridge_id, .port_id = port_id, .vlan = vlan};
	uint32_t *pending = &port_pending[port_id % PORT_ID_MAX];

	if (gratuitous)
		req.vlan |= LEARN_GRATUITOUS;
	memcpy(req.mac, mac, 6);
	if (__atomic_fetch_add(pending, 1, __ATOMIC_RELAXED) >= PORT_SHARE ||
	    rte_ring_enqueue_elem(learn_ring, &req, sizeof req)) {
		__atomic_fetch_sub(pending, 1, __ATOMIC_RELAXED);
		return false;
	}
	return true;
}

/* ---- writing ---- */
static uint64_t dep_key(const uint8_t mac[6], uint16_t vlan)
{
	uint64_t k = 0;

	memcpy(&k, mac, 6);
	return (uint64_t)vlan << 48 | k;
}

uint64_t mac_table_dep(uint32_t bridge_id, const uint8_t mac[6], uint16_t vlan)
{
	return version_dep(CHANGE_MAC, bridge_id, dep_key(mac, vlan));
}

/* An address concerns flows to it and from it. The log gets both as matches: by the 64-bit
 * dependency set alone, one flow in 64 would be resolved again for each address learnt. */
static void changed_key(struct txn *t, const struct mac_table *m, const uint8_t mac[6],
			uint16_t vlan)
{
	struct match to, from;

	match_init(&to);
	memcpy(to.value.key.eth_dst, mac, 6);
	memset(to.mask.key.eth_dst, 0xff, 6);
	match_init(&from);
	memcpy(from.value.key.eth_src, mac, 6);
	memset(from.mask.key.eth_src, 0xff, 6);
	txn_change(t, CHANGE_MAC, m->bridge_id, dep_key(mac, vlan), minimatch_create(&to));
	txn_change(t, CHANGE_MAC, m->bridge_id, dep_key(mac, vlan), minimatch_create(&from));
}

static void changed(struct txn *t, const struct mac_table *m, const struct mac_entry *e)
{
	changed_key(t, m, e->mac, e->vlan);
}

static uint32_t *count_of(struct mac_table *t, uint32_t port_id)
{
	struct port_count *pc;

	HMAP_FOR_EACH_WITH_HASH (it, struct port_count, node, port_id, &t->port_counts)
		return &it->n;
	pc = xzalloc(sizeof *pc);
	hmap_insert(&t->port_counts, &pc->node, port_id);
	return &pc->n;
}

static struct mac_entry *insert(struct mac_table *t, const uint8_t mac[6], uint16_t vlan,
				uint32_t port_id, bool is_static, uint64_t now_ms)
{
	struct mac_entry *e = xzalloc(sizeof *e);

	credit_init(&e->credit, free_entry);
	e->credit.used_ms = now_ms;
	memcpy(e->mac, mac, 6);
	e->vlan = vlan;
	e->port_id = port_id;
	e->is_static = is_static;
	e->learnt_ms = now_ms;
	if (!is_static)
		++*count_of(t, port_id);
	ptr_table_insert(&t->entries, e, hash_entry(e));
	return e;
}

static void put_entry(void *p)
{
	struct mac_entry *e = p;

	credit_put(&e->credit);
}

static void remove_entry(struct mac_table *t, struct mac_entry *e, enum table_mac_event why)
{
	if (!e->is_static)
		--*count_of(t, e->port_id);
	table_event_mac(why, t->bridge_id, e->port_id, e->vlan, e->mac);
	ptr_table_remove(&t->entries, e, hash_entry(e));
	txn_later(put_entry, e);
}

static uint32_t port_limit(const struct mac_table *t, uint32_t port_id)
{
	const struct bridge_port *p = bridge_port_by_id(port_id);
	uint32_t limit = p ? p->c.mac_limit : 0;
	uint32_t policy = p ? bridge_port_mac_limit[p->c.port_id] : 0;

	if (policy && (!limit || policy < limit))
		limit = policy;
	return limit ? SL_MIN(limit, t->max_entries) : t->max_entries;
}

static bool has_room(struct mac_table *t, uint32_t port_id, bool is_new, uint64_t now_ms)
{
	if (is_new && t->entries.live >= t->max_entries) {
		table_event_limit(t->bridge_id, 0, "the MAC table is full", now_ms);
		return false;
	}
	if (*count_of(t, port_id) >= port_limit(t, port_id)) {
		table_event_limit(t->bridge_id, port_id,
				  "the port's limit of MAC addresses is reached", now_ms);
		return false;
	}
	return true;
}

static void move(struct mac_table *t, struct mac_entry *e, uint32_t port_id, uint64_t now_ms)
{
	if (!e->is_static) {
		--*count_of(t, e->port_id);
		++*count_of(t, port_id);
	}
	__atomic_store_n(&e->port_id, port_id, __ATOMIC_RELAXED);
	e->learnt_ms = now_ms;
	e->credit.used_ms = now_ms;
}

static void apply(struct txn *txn, const struct learn_request *req)
{
	struct bridge *b = bridge_by_id(req->bridge_id);
	const struct bridge_port *p = bridge_port_by_id(req->port_id);
	bool gratuitous = req->vlan & LEARN_GRATUITOUS;
	uint16_t vlan = req->vlan & VLAN_VID_MASK;
	struct mac_entry *e;

	/* The port may have left the bridge since the request was posted. */
	if (!b || !p || p->bridge != b)
		return;
	e = mac_table_lookup(b->macs, req->mac, vlan);
	if (!mac_table_wants(b->macs, e, req->mac, vlan, req->port_id, gratuitous, txn->now_ms))
		return;
	if (!e) {
		if (!has_room(b->macs, req->port_id, true, txn->now_ms))
			return;
		e = insert(b->macs, req->mac, vlan, req->port_id, false, txn->now_ms);
		table_event_mac(MAC_EVENT_LEARNT, b->id, req->port_id, vlan, req->mac);
		changed(txn, b->macs, e);
		b->macs->expire_at_ms = 0;
	} else if (e->port_id != req->port_id) {
		if (!has_room(b->macs, req->port_id, false, txn->now_ms))
			return;
		move(b->macs, e, req->port_id, txn->now_ms);
		table_event_mac(MAC_EVENT_MOVED, b->id, req->port_id, vlan, req->mac);
		changed(txn, b->macs, e);
	}
	if (gratuitous)
		e->grat_lock_until_ms = txn->now_ms + GRAT_LOCK_MS;
}

bool mac_table_drain(uint64_t now_ms)
{
	struct learn_request req;
	struct txn txn;
	unsigned n = 0;

	if (!learn_ring || rte_ring_empty(learn_ring))
		return false;
	txn_begin(&txn);
	txn.now_ms = now_ms;
	while (n < DRAIN_MAX && !rte_ring_dequeue_elem(learn_ring, &req, sizeof req)) {
		__atomic_fetch_sub(&port_pending[req.port_id % PORT_ID_MAX], 1, __ATOMIC_RELAXED);
		apply(&txn, &req);
		n++;
	}
	txn_commit(&txn);
	return !rte_ring_empty(learn_ring);
}

static bool is_due(const struct mac_table *t, const struct mac_entry *e, uint64_t now_ms)
{
	return !e->is_static &&
	       __atomic_load_n(&e->credit.used_ms, __ATOMIC_RELAXED) + t->ageing_s * 1000ull <=
		       now_ms;
}

void mac_table_expire(struct mac_table *t, uint64_t now_ms)
{
	uint64_t next = now_ms + t->ageing_s * 1000ull;
	uint32_t pos = 0;
	struct mac_entry *e;
	VEC(struct mac_entry *) due = {0};
	struct txn txn;

	if (!t->ageing_s || now_ms < t->expire_at_ms)
		return;
	while ((e = ptr_table_next(&t->entries, &pos))) {
		if (is_due(t, e, now_ms))
			vec_push(&due, e);
		else if (!e->is_static)
			next = SL_MIN(next, e->credit.used_ms + t->ageing_s * 1000ull);
	}
	/* At most one pass a second over a full table. */
	t->expire_at_ms = SL_MAX(next, now_ms + 1000);
	if (!due.len)
		return;
	txn_begin(&txn);
	VEC_FOR_EACH (it, &due) {
		changed(&txn, t, *it);
		remove_entry(t, *it, MAC_EVENT_EXPIRED);
	}
	txn_commit(&txn);
	vec_free(&due);
}

void mac_table_restart(struct mac_table *t)
{
	ptr_table_rebuild(&t->entries);
	t->expire_at_ms = 0;
}

uint32_t mac_table_count(const struct mac_table *t)
{
	return t->entries.live;
}

const struct mac_entry *mac_table_next(const struct mac_table *t, uint32_t *pos)
{
	return ptr_table_next(&t->entries, pos);
}

/* ---- transactions ---- */
struct configure {
	struct mac_table *table;
	uint32_t max_entries, ageing_s;
};

static void publish_config(void *p)
{
	struct configure *c = p;

	c->table->max_entries = c->max_entries;
	c->table->ageing_s = c->ageing_s;
	c->table->expire_at_ms = 0;
	free(c);
}

void mac_table_configure(struct txn *t, struct mac_table *m, uint32_t max_entries,
			 uint32_t ageing_s)
{
	struct configure *c = xmalloc(sizeof *c);

	*c = (struct configure){m, max_entries, ageing_s};
	txn_step(t, publish_config, NULL, free, c);
}

/* Static entries and flushes take effect at the commit. */
struct set_step {
	struct mac_table *table;
	uint8_t mac[6];
	uint16_t vlan;
	uint32_t port_id;
	uint64_t now_ms;
};

static void publish_set(void *p)
{
	struct set_step *s = p;
	struct mac_entry *e = mac_table_lookup(s->table, s->mac, s->vlan);

	if (!e) {
		insert(s->table, s->mac, s->vlan, s->port_id, true, s->now_ms);
		table_event_mac(MAC_EVENT_LEARNT, s->table->bridge_id, s->port_id, s->vlan, s->mac);
	} else {
		if (!e->is_static)
			--*count_of(s->table, e->port_id);
		e->is_static = true;
		move(s->table, e, s->port_id, s->now_ms);
		table_event_mac(MAC_EVENT_MOVED, s->table->bridge_id, s->port_id, s->vlan, s->mac);
	}
	free(s);
}

int mac_table_set(struct txn *t, struct mac_table *m, const uint8_t mac[6], uint16_t vlan,
		  uint32_t port_id, struct err *e)
{
	struct set_step *s;

	if (mac[0] & 1)
		return err_set(e, EINVAL, "mac: a static entry cannot be a group address");
	if (vlan >= VLAN_N)
		return err_set(e, EINVAL, "vlan: %u: must be 0 to 4095", vlan);
	if (!mac_table_lookup(m, mac, vlan) && m->entries.live >= m->max_entries)
		return err_set(e, ENOSPC, "MAC table: full: %u entries", m->max_entries);
	s = xzalloc(sizeof *s);
	*s = (struct set_step){.table = m, .vlan = vlan, .port_id = port_id, .now_ms = t->now_ms};
	memcpy(s->mac, mac, 6);
	changed_key(t, m, mac, vlan);
	txn_step(t, publish_set, NULL, free, s);
	return 0;
}

bool mac_table_restore(struct txn *t, struct mac_table *m, const struct mac_entry *was)
{
	struct mac_entry *e;

	if (mac_table_lookup(m, was->mac, was->vlan))
		return false;
	e = insert(m, was->mac, was->vlan, was->port_id, was->is_static, was->learnt_ms);
	e->credit.used_ms = was->credit.used_ms;
	e->grat_lock_until_ms = was->grat_lock_until_ms;
	changed(t, m, e);
	return true;
}

static bool selects(const struct mac_filter *f, const struct mac_entry *e)
{
	return (!f->mac || !memcmp(f->mac, e->mac, 6)) && (f->vlan < 0 || f->vlan == e->vlan) &&
	       (!f->port_id || f->port_id == e->port_id) && (f->statics || !e->is_static);
}

struct flush_step {
	struct mac_table *table;
	struct mac_filter filter;
	uint8_t mac[6];
};

static void publish_flush(void *p)
{
	struct flush_step *s = p;
	VEC(struct mac_entry *) gone = {0};
	uint32_t pos = 0;
	struct mac_entry *e;

	while ((e = ptr_table_next(&s->table->entries, &pos)))
		if (selects(&s->filter, e))
			vec_push(&gone, e);
	/* Not before: what is removed may shrink the table, and move what has not been seen. */
	VEC_FOR_EACH (it, &gone)
		remove_entry(s->table, *it, MAC_EVENT_REMOVED);
	vec_free(&gone);
	free(s);
}

uint32_t mac_table_flush(struct txn *t, struct mac_table *m, const struct mac_filter *f)
{
	uint32_t n = 0, pos = 0;
	const struct mac_entry *e;
	struct flush_step *s;

	while ((e = ptr_table_next(&m->entries, &pos))) {
		if (!selects(f, e))
			continue;
		changed(t, m, e);
		n++;
	}
	s = xzalloc(sizeof *s);
	s->table = m;
	s->filter = *f;
	if (f->mac) {
		memcpy(s->mac, f->mac, 6);
		s->filter.mac = s->mac;
	}
	txn_step(t, publish_flush, NULL, free, s);
	return n;
}
