/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/registry.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/hash.h"
#include "datapath/core/past_names.h"

static struct hmap bridges, ports; /* by name; ports that wait for their close are in neither */
static struct port_object *by_id[PORT_ID_MAX];
static uint32_t last_id;
static size_t n_ports;
static struct list touched_bridges = {&touched_bridges, &touched_bridges};
struct list registry_touched_ports = {&registry_touched_ports, &registry_touched_ports};

/* ---- configurations ---- */

static unsigned attr_id(const struct attr *a)
{
	return a->id & ~(unsigned)ATTR_CRITICAL;
}

static bool contains(const uint16_t *ids, unsigned id)
{
	for (; *ids; ids++)
		if (*ids == id)
			return true;
	return false;
}

static bool takes_back(const struct attr *a)
{
	unsigned id = attr_id(a);

	return (id == ATTR_OPTION && !attrs_has(attr_nest(a), ATTR_KEY)) ||
	       (api_attrs[id].kind == ATTR_KIND_BYTES && !a->len);
}

static void copy_attr(struct msg *m, const struct attr *a)
{
	msg_put_bytes(m, (enum api_attr)attr_id(a), a->value, a->len);
}

struct config *config_merge(const struct config *base, struct attrs op, const uint16_t *allowed)
{
	struct msg m;

	msg_init(&m, 0, 0);
	if (base)
		ATTR_FOR_EACH (a, base->attrs)
			if (!attrs_has(op, (enum api_attr)attr_id(a)))
				copy_attr(&m, a);
	ATTR_FOR_EACH (a, op)
		if (contains(allowed, attr_id(a)) && !takes_back(a))
			copy_attr(&m, a);
	size_t len = m.len - sizeof(struct msg_header);
	struct config *c = xmalloc(sizeof *c + len);
	c->refs = 1;
	memcpy(c->data, m.data + sizeof(struct msg_header), len);
	c->attrs = (struct attrs){c->data, len};
	msg_free(&m);
	return c;
}

void config_put(struct config *c)
{
	if (c && !--c->refs)
		free(c);
}

static const struct attr *next_among(struct attrs s, const struct attr *a, const uint16_t *ids)
{
	for (a = a ? attrs_next(s, a) : attrs_first(s); a; a = attrs_next(s, a))
		if (contains(ids, attr_id(a)))
			break;
	return a;
}

/* Does every attribute of `a` among `ids` have an equal one in `b`? */
static bool within(const struct config *a, const struct config *b, const uint16_t *ids, size_t *n)
{
	*n = 0;
	for (const struct attr *x = next_among(a->attrs, NULL, ids); x;
	     x = next_among(a->attrs, x, ids)) {
		bool found = false;

		ATTR_FOR_EACH (y, b->attrs)
			found |= attr_id(y) == attr_id(x) && y->len == x->len &&
				 !memcmp(y->value, x->value, x->len);
		if (!found)
			return false;
		++*n;
	}
	return true;
}

bool config_same(const struct config *a, const struct config *b, const uint16_t *ids)
{
	size_t na, nb;

	return a == b || (within(a, b, ids, &na) && within(b, a, ids, &nb) && na == nb);
}

/* ---- names ---- */

static int check_name(const char *what, const char *name, struct err *e)
{
	size_t n = strlen(name);

	if (!n || n >= PORT_NAME_BYTES)
		return err_set(e, EINVAL, "%s \"%.80s\": a name has 1 to %d bytes", what, name,
			       PORT_NAME_BYTES - 1);
	for (size_t i = 0; i < n; i++)
		if (!isgraph((unsigned char)name[i]) || name[i] == '/')
			return err_set(
				e, EINVAL,
				"%s \"%s\": a name has no blanks, slashes or control characters",
				what, name);
	return 0;
}

static struct object *find(const struct hmap *map, const char *name)
{
	uint64_t hash = hash_string(name);

	for (struct hmap_node *n = hmap_first_with_hash(map, hash); n; n = hmap_next_with_hash(n)) {
		struct object *o = SL_CONTAINER_OF(n, struct object, node);

		if (!strcmp(o->name, name))
			return o;
	}
	return NULL;
}

static struct object *find_staged(const struct hmap *map, const char *name)
{
	struct object *o = find(map, name);

	return o && (o->touched ? o->staged_exists : o->exists) ? o : NULL;
}

struct bridge_object *registry_bridge(const char *name)
{
	struct object *o = find_staged(&bridges, name);

	return o ? SL_CONTAINER_OF(o, struct bridge_object, o) : NULL;
}

struct port_object *registry_port(const char *name)
{
	struct object *o = find_staged(&ports, name);

	return o ? SL_CONTAINER_OF(o, struct port_object, o) : NULL;
}

const struct object *registry_bridge_committed(const char *name)
{
	const struct object *o = find(&bridges, name);

	return o && o->exists ? o : NULL;
}

struct port_object *registry_any_port(const char *name)
{
	struct object *o = find(&ports, name);

	return o ? SL_CONTAINER_OF(o, struct port_object, o) : NULL;
}

struct port_object *registry_port_by_id(uint32_t id)
{
	return id < PORT_ID_MAX ? by_id[id] : NULL;
}

struct port_object *registry_port_after(uint32_t id)
{
	while (++id < PORT_ID_MAX)
		if (by_id[id] && by_id[id]->o.exists)
			return by_id[id];
	return NULL;
}

size_t registry_n_ports(void)
{
	return n_ports;
}

void registry_for_each_port(void (*fn)(struct port_object *p, void *aux), void *aux)
{
	for (uint32_t id = 1; id < PORT_ID_MAX; id++) {
		struct port_object *p = by_id[id];

		if (p && (p->o.touched ? p->o.staged_exists : p->o.exists))
			fn(p, aux);
	}
}

/* ---- staging ---- */

static void touch(struct object *o, struct list *list)
{
	if (o->touched)
		return;
	o->touched = true;
	o->staged_exists = o->exists;
	o->staged = o->config;
	if (o->staged)
		o->staged->refs++;
	list_push_back(list, &o->touched_link);
}

struct bridge_object *registry_stage_bridge(const char *name, struct err *e)
{
	struct object *o = find(&bridges, name);

	if (!o) {
		if (check_name("bridge", name, e))
			return NULL;
		struct bridge_object *b = xzalloc(sizeof *b);
		o = &b->o;
		strcpy(o->name, name);
		hmap_insert(&bridges, &o->node, hash_string(name));
	}
	touch(o, &touched_bridges);
	return SL_CONTAINER_OF(o, struct bridge_object, o);
}

/* Numbers go round, so that one that was freed is not soon another port's. */
static uint32_t free_id(void)
{
	for (uint32_t i = 0; i < PORT_ID_MAX; i++) {
		uint32_t id = (last_id + i) % (PORT_ID_MAX - 1) + 1;

		if (!by_id[id])
			return id;
	}
	return 0;
}

uint32_t registry_last_id(void)
{
	return last_id;
}

void registry_set_last_id(uint32_t id)
{
	last_id = id;
}

struct port_object *registry_stage_port(const char *name, struct err *e)
{
	struct object *o = find(&ports, name);

	if (!o) {
		if (check_name("port", name, e))
			return NULL;
		uint32_t id = free_id();
		if (!id) {
			err_set(e, ENOSPC, "port %s: there are %d ports already", name,
				PORT_ID_MAX - 1);
			return NULL;
		}
		struct port_object *p = xzalloc(sizeof *p);
		p->id = last_id = id;
		p->created_ms = clock_mono_ms();
		past_name_set(PAST_PORT, id, name);
		by_id[id] = p;
		o = &p->o;
		strcpy(o->name, name);
		hmap_insert(&ports, &o->node, hash_string(name));
	}
	touch(o, &registry_touched_ports);
	return SL_CONTAINER_OF(o, struct port_object, o);
}

void registry_stage_config(struct object *o, struct config *c)
{
	config_put(o->staged);
	o->staged = c;
	o->staged_exists = true;
}

void registry_stage_delete(struct object *o)
{
	config_put(o->staged);
	o->staged = NULL;
	o->staged_exists = false;
}

/* ---- the end of a transaction ---- */

static void free_port(struct port_object *p)
{
	by_id[p->id] = NULL;
	free(p);
}

static void settle(struct object *o, bool commit)
{
	if (commit) {
		config_put(o->config);
		o->config = o->staged;
		o->exists = o->staged_exists;
	} else {
		config_put(o->staged);
	}
	o->staged = NULL;
	o->touched = false;
	list_remove(&o->touched_link);
}

static void settle_all(bool commit)
{
	while (!list_is_empty(&touched_bridges)) {
		struct object *o = LIST_ITEM(touched_bridges.next, struct object, touched_link);

		settle(o, commit);
		if (!o->exists) {
			hmap_remove(&bridges, &o->node);
			free(SL_CONTAINER_OF(o, struct bridge_object, o));
		}
	}
	while (!list_is_empty(&registry_touched_ports)) {
		struct object *o =
			LIST_ITEM(registry_touched_ports.next, struct object, touched_link);
		struct port_object *p = SL_CONTAINER_OF(o, struct port_object, o);
		bool existed = o->exists;

		settle(o, commit);
		n_ports += (size_t)o->exists - (size_t)existed;
		if (!o->exists) {
			hmap_remove(&ports, &o->node);
			if (!p->port)
				free_port(p);
		}
	}
}

void registry_commit(void)
{
	settle_all(true);
}

void registry_abort(void)
{
	settle_all(false);
}

void registry_release_port(struct port_object *p)
{
	free_port(p);
}

bool registry_is_idle(void)
{
	return list_is_empty(&touched_bridges) && list_is_empty(&registry_touched_ports);
}
