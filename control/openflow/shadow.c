/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies of what the datapath holds. */
#include "control/openflow/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/base/hmap.h"
#include "datapath/base/list.h"
#include "datapath/base/vec.h"

/* Attributes of an object without what is only status, ready for an operation. */
struct copy {
	struct hmap_node node;         /* rules */
	uint64_t added_at, changed_at; /* shadow_time() */
	uint64_t version;              /* of the datapath, that made it so; 0: not known */
	uint32_t n;
	uint32_t match_at, match_len; /* of a rule, in data */
	uint32_t flags;
	uint16_t priority;
	uint8_t table;
	bool has_match;
	uint8_t data[] __attribute__((aligned(8)));
};

struct table {
	struct hmap rules;
	uint64_t emptied; /* version in which we emptied it: older news say nothing */
};

struct shadow {
	struct table tables[256];
	uint64_t now; /* counts the rules that were put */
	VEC(struct copy *) groups, meters;
};

struct shadow *shadow_create(void)
{
	return xzalloc(sizeof(struct shadow));
}

static void remove_rule(struct table *t, struct copy *c)
{
	hmap_remove(&t->rules, &c->node);
	free(c);
}

static void free_rules(struct shadow *s)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++) {
		HMAP_FOR_EACH_SAFE (c, struct copy, node, &s->tables[i].rules)
			remove_rule(&s->tables[i], c);
		s->tables[i].emptied = 0;
	}
}

void shadow_begin_objects(struct shadow *s, enum api_op op)
{
	if (op == API_OP_GROUP_MOD) {
		VEC_FOR_EACH (c, &s->groups)
			free(*c);
		vec_clear(&s->groups);
	} else {
		VEC_FOR_EACH (c, &s->meters)
			free(*c);
		vec_clear(&s->meters);
	}
}

void shadow_clear(struct shadow *s)
{
	free_rules(s);
	shadow_begin_objects(s, API_OP_GROUP_MOD);
	shadow_begin_objects(s, API_OP_METER_MOD);
}

void shadow_destroy(struct shadow *s)
{
	if (!s)
		return;
	shadow_clear(s);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
		hmap_destroy(&s->tables[i].rules);
	vec_free(&s->groups);
	vec_free(&s->meters);
	free(s);
}

/* What an operation takes: configuration, no counters or ages. */
static bool is_config(unsigned id)
{
	static const bool config[ATTR_N] = {
		[ATTR_TABLE] = true,          [ATTR_PRIORITY] = true,
		[ATTR_MATCH] = true,          [ATTR_COOKIE] = true,
		[ATTR_RULE_FLAGS] = true,     [ATTR_IDLE_TIMEOUT_S] = true,
		[ATTR_HARD_TIMEOUT_S] = true, [ATTR_IMPORTANCE] = true,
		[ATTR_ACTIONS] = true,        [ATTR_GROUP_ID] = true,
		[ATTR_GROUP_TYPE] = true,     [ATTR_SELECTION_METHOD] = true,
		[ATTR_BUCKET] = true,         [ATTR_SELECTION_PARAM] = true,
		[ATTR_METER_ID] = true,       [ATTR_SELECTION_FIELDS] = true,
		[ATTR_METER_FLAGS] = true,    [ATTR_BAND] = true,
	};
	return id < ATTR_N && config[id];
}

static size_t whole_bytes(const struct attr *a)
{
	return SL_ALIGN_UP(sizeof *a + (size_t)a->len, 8);
}

static void note_key(struct copy *c, unsigned id, const struct attr *a, size_t at)
{
	if (id == ATTR_TABLE) {
		c->table = (uint8_t)attr_u64(a);
	} else if (id == ATTR_PRIORITY) {
		c->priority = (uint16_t)attr_u64(a);
	} else if (id == ATTR_RULE_FLAGS) {
		c->flags = (uint32_t)attr_u64(a);
	} else if (id == ATTR_MATCH) {
		c->has_match = true;
		c->match_at = (uint32_t)(at + sizeof *a);
		c->match_len = a->len;
	}
}

static struct copy *copy_config(struct attrs a)
{
	size_t n = 0;
	ATTR_FOR_EACH (at, a)
		if (is_config(at->id & ~(unsigned)ATTR_CRITICAL))
			n += whole_bytes(at);
	struct copy *c = xmalloc(sizeof *c + n);
	*c = (struct copy){.n = (uint32_t)n};
	n = 0;
	ATTR_FOR_EACH (at, a) {
		unsigned id = at->id & ~(unsigned)ATTR_CRITICAL;
		if (!is_config(id))
			continue;
		memcpy(c->data + n, at, whole_bytes(at));
		note_key(c, id, at, n);
		n += whole_bytes(at);
	}
	return c;
}

static struct attrs attrs_of(const struct copy *c)
{
	return (struct attrs){.data = c->data, .len = c->n};
}

/* ---- rules ---- */

/* What tells rules of a bridge apart; borrows the match. */
struct key {
	const void *match;
	size_t len;
	uint16_t priority;
	uint8_t table;
};

static struct key key_of(const struct copy *c)
{
	return (struct key){c->has_match ? c->data + c->match_at : NULL, c->match_len, c->priority,
			    c->table};
}

static struct key key_in(struct attrs rule)
{
	struct key k = {.priority = (uint16_t)attrs_u64(rule, ATTR_PRIORITY, 0),
			.table = (uint8_t)attrs_u64(rule, ATTR_TABLE, 0)};
	k.match = attrs_bytes(rule, ATTR_MATCH, &k.len);
	return k;
}

static uint64_t hash_of(const struct key *k)
{
	uint64_t h = k->match ? hash_bytes(k->match, k->len) : 0;
	return hash_u64(h ^ k->priority);
}

static struct copy *find(const struct shadow *s, const struct key *k, uint64_t hash)
{
	HMAP_FOR_EACH_WITH_HASH (c, struct copy, node, hash, &s->tables[k->table].rules) {
		struct key o = key_of(c);
		if (o.priority == k->priority && o.len == k->len && !o.match == !k->match &&
		    (!k->len || !memcmp(o.match, k->match, k->len)))
			return c;
	}
	return NULL;
}

bool shadow_find_rule(const struct shadow *s, struct attrs rule, struct attrs *out)
{
	struct key k = key_in(rule);
	const struct copy *c = find(s, &k, hash_of(&k));
	if (c)
		*out = attrs_of(c);
	return c;
}

enum shadow_answer shadow_del_rule(struct shadow *s, struct attrs rule, uint64_t version,
				   uint64_t added)
{
	struct key k = key_in(rule);
	struct copy *c = find(s, &k, hash_of(&k));
	if (!c || (version && version < c->version))
		return SHADOW_KEPT;
	if (version && version == c->version && added != version)
		return SHADOW_KEPT; /* the transaction put another one in its place */
	/* One that the same transaction had added: whether another came after it we do not know. */
	bool sure = !version || version != c->version;
	remove_rule(&s->tables[k.table], c);
	return sure ? SHADOW_CHANGED : SHADOW_UNSURE;
}

/* Takes c. */
static void put_copy(struct shadow *s, struct copy *c)
{
	struct key k = key_of(c);
	struct table *t = &s->tables[k.table];
	uint64_t hash = hash_of(&k);
	struct copy *old = find(s, &k, hash);
	if (c->version && (c->version < t->emptied || (old && c->version < old->version))) {
		free(c);
		return;
	}
	c->changed_at = ++s->now;
	c->added_at = old ? old->added_at : s->now;
	if (old)
		remove_rule(t, old);
	hmap_insert(&t->rules, &c->node, hash);
}

void shadow_put_rule(struct shadow *s, struct attrs rule, uint64_t version)
{
	struct copy *c = copy_config(rule);
	c->version = version;
	put_copy(s, c);
}

void shadow_forget_versions(struct shadow *s)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++) {
		s->tables[i].emptied = 0;
		HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules)
			c->version = 0;
	}
}

uint64_t shadow_time(const struct shadow *s)
{
	return s->now;
}

void shadow_for_each_since(const struct shadow *s, uint64_t since,
			   void (*fn)(struct attrs rule, bool added, void *aux), void *aux)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
		HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules)
			if (c->changed_at > since)
				fn(attrs_of(c), c->added_at > since, aux);
}

uint32_t shadow_rules_in(const struct shadow *s, uint8_t table)
{
	return (uint32_t)s->tables[table].rules.count;
}

size_t shadow_rules(const struct shadow *s)
{
	size_t n = 0;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
		n += s->tables[i].rules.count;
	return n;
}

/* ---- what our own transaction will have done ---- */

struct change {
	struct copy *added; /* NULL: the table is emptied */
	uint8_t table;      /* 255: all of them */
};
struct shadow_plan {
	VEC(struct change) changes;
};

/* Deletes whatever is in one table or in all. */
static bool empties(struct attrs op)
{
	size_t n;
	const void *match = attrs_bytes(op, ATTR_MATCH, &n);
	uint16_t lines = 0;
	if (match && n >= sizeof lines)
		memcpy(&lines, match, sizeof lines);
	return attrs_u64(op, ATTR_COMMAND, 0) == API_MOD_DELETE && !lines &&
	       !attrs_has(op, ATTR_COOKIE_MASK) && !attrs_has(op, ATTR_OUT_PORT) &&
	       !attrs_has(op, ATTR_OUT_GROUP);
}

bool shadow_foresees(struct attrs op)
{
	return attrs_u64(op, ATTR_OP_TYPE, API_OP_N) == API_OP_RULE_MOD &&
	       (attrs_u64(op, ATTR_COMMAND, API_MOD_MODIFY) == API_MOD_ADD || empties(op));
}

void shadow_plan_add(struct shadow_plan **plan, struct attrs op)
{
	struct change c = {.table = (uint8_t)attrs_u64(op, ATTR_TABLE, 255)};
	if (!*plan)
		*plan = xzalloc(sizeof **plan);
	if (attrs_u64(op, ATTR_COMMAND, API_MOD_ADD) == API_MOD_ADD)
		c.added = copy_config(op);
	vec_push(&(*plan)->changes, c);
}

size_t shadow_plan_len(const struct shadow_plan *plan)
{
	return plan ? plan->changes.len : 0;
}

bool shadow_plan_adds(const struct shadow_plan *plan, size_t i, uint8_t *table, struct attrs *rule)
{
	const struct change *c = &plan->changes.at[i];
	*table = c->table;
	if (c->added)
		*rule = attrs_of(c->added);
	return c->added;
}

static void empty(struct table *t, uint64_t version, uint32_t keep_flags)
{
	HMAP_FOR_EACH_SAFE (c, struct copy, node, &t->rules)
		if (!(c->flags & keep_flags) && (!c->version || c->version <= version))
			remove_rule(t, c);
	t->emptied = version;
}

void shadow_plan_do(struct shadow *s, struct shadow_plan *plan, size_t i, uint64_t version,
		    uint32_t keep_flags)
{
	struct change *c = &plan->changes.at[i];
	if (c->added) {
		c->added->version = version;
		put_copy(s, c->added);
		c->added = NULL;
		return;
	}
	for (unsigned t = 0; t < SL_ARRAY_SIZE(s->tables); t++)
		if (c->table == 255 || c->table == t)
			empty(&s->tables[t], version, keep_flags);
}

void shadow_for_each_in(const struct shadow *s, uint8_t table,
			void (*fn)(struct attrs rule, void *aux), void *aux)
{
	for (unsigned t = 0; t < SL_ARRAY_SIZE(s->tables); t++)
		if (table == 255 || table == t)
			HMAP_FOR_EACH (c, struct copy, node, &s->tables[t].rules)
				fn(attrs_of(c), aux);
}

void shadow_plan_free(struct shadow_plan *plan)
{
	if (!plan)
		return;
	VEC_FOR_EACH (c, &plan->changes)
		free(c->added);
	vec_free(&plan->changes);
	free(plan);
}

/* ---- groups and meters ---- */

void shadow_put_object(struct shadow *s, enum api_op op, struct attrs object)
{
	struct copy *c = copy_config(object);
	if (op == API_OP_GROUP_MOD)
		vec_push(&s->groups, c);
	else
		vec_push(&s->meters, c);
}

static void put_op(struct msg *m, enum api_op op, const char *bridge, const struct copy *c)
{
	size_t at = msg_op_begin(m, op);
	msg_put_str(m, ATTR_BRIDGE, bridge);
	msg_put_u8(m, ATTR_COMMAND, API_MOD_ADD);
	ATTR_FOR_EACH (a, attrs_of(c))
		msg_put_bytes(m, (enum api_attr)a->id, a->value, a->len);
	msg_nest_end(m, at);
}

size_t shadow_replay(const struct shadow *s, const char *bridge, struct msg *m)
{
	for (size_t i = 0; i < s->meters.len; i++)
		put_op(m, API_OP_METER_MOD, bridge, s->meters.at[i]);
	for (size_t i = 0; i < s->groups.len; i++)
		put_op(m, API_OP_GROUP_MOD, bridge, s->groups.at[i]);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
		HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules)
			put_op(m, API_OP_RULE_MOD, bridge, c);
	return s->meters.len + s->groups.len + shadow_rules(s);
}
