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
	size_t n;
	uint8_t data[] __attribute__((aligned(8)));
};

struct shadow {
	struct hmap rules;
	uint64_t now;       /* counts the rules that were put */
	uint32_t n_in[256]; /* rules by table */
	VEC(struct copy *) groups, meters;
};

struct shadow *shadow_create(void)
{
	return xzalloc(sizeof(struct shadow));
}

static void free_rules(struct shadow *s)
{
	HMAP_FOR_EACH_SAFE (c, struct copy, node, &s->rules) {
		hmap_remove(&s->rules, &c->node);
		free(c);
	}
	memset(s->n_in, 0, sizeof s->n_in);
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
	hmap_destroy(&s->rules);
	vec_free(&s->groups);
	vec_free(&s->meters);
	free(s);
}

/* What an operation takes: configuration, no counters or ages. */
static bool is_config(uint16_t id)
{
	static const uint16_t config[] = {
		ATTR_TABLE,          ATTR_PRIORITY,        ATTR_MATCH,
		ATTR_COOKIE,         ATTR_RULE_FLAGS,      ATTR_IDLE_TIMEOUT_S,
		ATTR_HARD_TIMEOUT_S, ATTR_IMPORTANCE,      ATTR_ACTIONS,
		ATTR_GROUP_ID,       ATTR_GROUP_TYPE,      ATTR_SELECTION_METHOD,
		ATTR_BUCKET,         ATTR_SELECTION_PARAM, ATTR_SELECTION_FIELDS,
		ATTR_METER_ID,       ATTR_METER_FLAGS,     ATTR_BAND,
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(config); i++)
		if (config[i] == id)
			return true;
	return false;
}

static struct copy *copy_config(struct attrs a)
{
	size_t n = 0;
	struct copy *c = xmalloc(sizeof *c + a.len);
	ATTR_FOR_EACH (at, a) {
		size_t bytes = SL_ALIGN_UP(sizeof *at + (size_t)at->len, 8);
		if (!is_config(at->id & (uint16_t)~ATTR_CRITICAL))
			continue;
		memcpy(c->data + n, at, bytes);
		n += bytes;
	}
	c->n = n;
	return xrealloc(c, sizeof *c + n);
}

static struct attrs attrs_of(const struct copy *c)
{
	return (struct attrs){.data = c->data, .len = c->n};
}

static uint64_t key_hash(struct attrs a)
{
	size_t n;
	const void *match = attrs_bytes(a, ATTR_MATCH, &n);
	uint64_t h = match ? hash_bytes(match, n) : 0;
	return hash_u64(h ^ attrs_u64(a, ATTR_TABLE, 0) << 16 ^ attrs_u64(a, ATTR_PRIORITY, 0));
}

static bool same_key(struct attrs a, struct attrs b)
{
	size_t n, k;
	const void *x = attrs_bytes(a, ATTR_MATCH, &n), *y = attrs_bytes(b, ATTR_MATCH, &k);
	return attrs_u64(a, ATTR_TABLE, 0) == attrs_u64(b, ATTR_TABLE, 0) &&
	       attrs_u64(a, ATTR_PRIORITY, 0) == attrs_u64(b, ATTR_PRIORITY, 0) &&
	       (x && y ? n == k && !memcmp(x, y, n) : x == y);
}

static struct copy *find(const struct shadow *s, struct attrs rule, uint64_t hash)
{
	HMAP_FOR_EACH_WITH_HASH (c, struct copy, node, hash, &s->rules)
		if (same_key(attrs_of(c), rule))
			return c;
	return NULL;
}

bool shadow_find_rule(const struct shadow *s, struct attrs rule, struct attrs *out)
{
	const struct copy *c = find(s, rule, key_hash(rule));
	if (c)
		*out = attrs_of(c);
	return c;
}

bool shadow_del_rule(struct shadow *s, struct attrs rule)
{
	struct copy *c = find(s, rule, key_hash(rule));
	if (!c)
		return false;
	hmap_remove(&s->rules, &c->node);
	s->n_in[attrs_u64(rule, ATTR_TABLE, 0) & 0xff]--;
	free(c);
	return true;
}

bool shadow_put_rule(struct shadow *s, struct attrs rule)
{
	uint64_t hash = key_hash(rule);
	struct copy *old = find(s, rule, hash), *c = copy_config(rule);
	c->changed_at = ++s->now;
	c->added_at = old ? old->added_at : s->now;
	bool was = old;
	s->n_in[attrs_u64(rule, ATTR_TABLE, 0) & 0xff] += !was;
	if (old)
		hmap_remove(&s->rules, &old->node);
	free(old);
	hmap_insert(&s->rules, &c->node, hash);
	return was;
}

uint64_t shadow_time(const struct shadow *s)
{
	return s->now;
}

void shadow_for_each_since(const struct shadow *s, uint64_t since,
			   void (*fn)(struct attrs rule, bool added, void *aux), void *aux)
{
	HMAP_FOR_EACH (c, struct copy, node, &s->rules)
		if (c->changed_at > since)
			fn(attrs_of(c), c->added_at > since, aux);
}

void shadow_put_object(struct shadow *s, enum api_op op, struct attrs object)
{
	struct copy *c = copy_config(object);
	if (op == API_OP_GROUP_MOD)
		vec_push(&s->groups, c);
	else
		vec_push(&s->meters, c);
}

uint32_t shadow_rules_in(const struct shadow *s, uint8_t table)
{
	return s->n_in[table];
}

size_t shadow_rules(const struct shadow *s)
{
	return s->rules.count;
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
	HMAP_FOR_EACH (c, struct copy, node, &s->rules)
		put_op(m, API_OP_RULE_MOD, bridge, c);
	return s->meters.len + s->groups.len + s->rules.count;
}
