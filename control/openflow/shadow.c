/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies of what the datapath holds. */
#include "control/openflow/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/base/hmap.h"
#include "datapath/base/list.h"
#include "datapath/base/log.h"
#include "datapath/base/vec.h"

LOG_MODULE(shadow);

/* Attributes of an object without what is only status, ready for an operation. */
struct copy {
	struct hmap_node node;         /* rules */
	uint64_t added_at, changed_at; /* shadow_time() */
	uint64_t version;              /* of the datapath, that made it so; 0: not known */
	uint32_t phase; /* pending[0, phase) came before it; set by shadow_forget_versions() */
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

/* A transaction that is not wholly told: its effect is less than its operations. */
struct pending {
	uint64_t version;
	struct msg ops;  /* operations behind a header; without: a table was emptied */
	uint8_t emptied; /* which one; 255: all of them */
};
typedef VEC(struct copy *) copies;
enum { PENDING_BYTES_MAX = 256 << 20 };

struct shadow {
	struct table tables[256];
	uint64_t now; /* counts the rules that were put */
	/* The datapath's tables are being read: what they are as far as known; gets all news, too.
	 */
	struct shadow *reading;
	uint64_t floor; /* what it was read from had this version: news of older ones say nothing */
	uint64_t n_readings;
	/* What is pending was done to a datapath that has died, and is done again to the next one:
	 * its news of that only count in a reading. */
	bool frozen;
	VEC(struct pending) pending; /* oldest first */
	size_t pending_bytes;
	copies groups, meters;
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

static void free_objects(struct shadow *s, enum api_op op)
{
	if (op == API_OP_GROUP_MOD) {
		VEC_FOR_EACH (c, &s->groups)
			free(*c);
		vec_free(&s->groups);
	} else {
		VEC_FOR_EACH (c, &s->meters)
			free(*c);
		vec_free(&s->meters);
	}
}

/* Those that were done up to `version`. */
static void forget_pending(struct shadow *s, uint64_t version)
{
	size_t kept = 0;
	VEC_FOR_EACH (p, &s->pending) {
		if (p->version > version) {
			s->pending.at[kept++] = *p;
			continue;
		}
		s->pending_bytes -= p->ops.len;
		msg_free(&p->ops);
	}
	s->pending.len = kept;
	if (!kept)
		vec_free(&s->pending);
}

void shadow_told(struct shadow *s)
{
	/* What was told while the tables are read anew is in the reading only. */
	if (!s->frozen && !s->reading)
		forget_pending(s, UINT64_MAX);
}

void shadow_clear(struct shadow *s)
{
	free_rules(s);
	free_objects(s, API_OP_GROUP_MOD);
	free_objects(s, API_OP_METER_MOD);
	s->frozen = false;
	forget_pending(s, UINT64_MAX);
}

void shadow_destroy(struct shadow *s)
{
	if (!s)
		return;
	shadow_destroy(s->reading);
	shadow_clear(s);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
		hmap_destroy(&s->tables[i].rules);
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
	if (s->reading)
		shadow_del_rule(s->reading, rule, version, added);
	if (!c || s->frozen || (version && (version < c->version || version <= s->floor)))
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

/* Takes c. */
static void put_news(struct shadow *s, struct copy *c)
{
	if (s->reading)
		put_news(s->reading, xmemdup(c, sizeof *c + c->n));
	if (c->version && c->version <= s->floor)
		free(c);
	else
		put_copy(s, c);
}

void shadow_put_rule(struct shadow *s, struct attrs rule, uint64_t version)
{
	if (s->frozen) {
		if (s->reading)
			shadow_put_rule(s->reading, rule, version);
		return;
	}
	struct copy *c = copy_config(rule);
	c->version = version;
	put_news(s, c);
}

/* How many of the pending transactions were done before the version. */
static uint32_t phase_of(const struct shadow *s, uint64_t version)
{
	uint32_t n = 0;
	while (n < s->pending.len && s->pending.at[n].version < version)
		n++;
	return n;
}

/* Of a rule that has no version any more: as it was when it had one. */
static uint32_t phase_now(const struct shadow *s, const struct copy *c)
{
	return c->version ? phase_of(s, c->version) : SL_MIN(c->phase, (uint32_t)s->pending.len);
}

void shadow_forget_versions(struct shadow *s)
{
	shadow_destroy(s->reading);
	s->reading = NULL;
	s->floor = 0;
	s->frozen = s->pending.len;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++) {
		s->tables[i].emptied = 0;
		HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules) {
			c->phase = phase_now(s, c);
			c->version = 0;
		}
	}
	VEC_FOR_EACH (p, &s->pending)
		p->version = 0;
}

uint64_t shadow_read_begin(struct shadow *s)
{
	shadow_destroy(s->reading);
	s->reading = shadow_create();
	return ++s->n_readings;
}

void shadow_read_drop(struct shadow *s, uint64_t reading)
{
	if (reading != s->n_readings)
		return;
	shadow_destroy(s->reading);
	s->reading = NULL;
}

void shadow_read_put(struct shadow *s, uint64_t reading, struct attrs rule, uint64_t version)
{
	if (!s->reading || reading != s->n_readings)
		return;
	struct copy *c = copy_config(rule);
	c->version = version;
	put_copy(s->reading, c);
}

void shadow_read_at(struct shadow *s, uint64_t reading, uint64_t version)
{
	if (!s->reading || reading != s->n_readings)
		return;
	s->reading->floor = version;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++) {
		struct table *t = &s->reading->tables[i];
		HMAP_FOR_EACH_SAFE (c, struct copy, node, &t->rules)
			if (c->version <= version) /* news that came meanwhile */
				remove_rule(t, c);
	}
}

void shadow_read_end(struct shadow *s, uint64_t reading)
{
	struct shadow *from = s->reading;
	if (!from || reading != s->n_readings)
		return;
	s->reading = NULL;
	s->floor = from->floor;
	s->frozen = false;
	forget_pending(s, s->floor);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++) {
		struct table old = s->tables[i];
		s->tables[i] = from->tables[i];
		from->tables[i] = old;
		HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules)
			c->added_at = c->changed_at = ++s->now;
	}
	shadow_destroy(from);
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
		put_news(s, c->added);
		c->added = NULL;
		return;
	}
	for (unsigned t = 0; t < SL_ARRAY_SIZE(s->tables); t++)
		if (c->table == 255 || c->table == t) {
			empty(&s->tables[t], version, keep_flags);
			if (s->reading)
				empty(&s->reading->tables[t], version, keep_flags);
		}
	if (s->pending.len) /* which may have added rules */
		vec_push(&s->pending, (struct pending){.version = version, .emptied = c->table});
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

/* ---- what is told later ---- */

/* An attribute of an operation that is done again: whose it was does not matter, and a check that
 * it has passed is not made among what came later. */
static void put_again(struct msg *m, const struct attr *a)
{
	enum { CHECK_OVERLAP = 2, OVERLAP_CHECKED = 0x40000 };
	unsigned id = a->id & ~(unsigned)ATTR_CRITICAL;
	uint32_t flags = id == ATTR_RULE_FLAGS ? (uint32_t)attr_u64(a) : 0;
	if (flags & CHECK_OVERLAP)
		msg_put_u32(m, ATTR_RULE_FLAGS, flags | OVERLAP_CHECKED);
	else if (id != ATTR_ORIGIN)
		msg_put_bytes(m, (enum api_attr)a->id, a->value, a->len);
}

static void pend_op(struct msg *to, struct attrs op)
{
	size_t at = msg_nest_begin(to, ATTR_OP);
	ATTR_FOR_EACH (a, op)
		put_again(to, a);
	msg_nest_end(to, at);
}

void shadow_pend(struct shadow *s, struct attrs transaction, uint64_t version)
{
	struct pending p = {.version = version};
	if (s->pending_bytes > PENDING_BYTES_MAX) {
		LOG_LIMIT(log_warn, 1,
			  "the datapath is far behind with its news of rules: should it die now, "
			  "it gets some back that were deleted");
		return;
	}
	msg_init(&p.ops, API_TRANSACTION, 0);
	ATTR_FOR_EACH (a, transaction)
		if ((a->id & ~(unsigned)ATTR_CRITICAL) == ATTR_OP &&
		    attrs_u64(attr_nest(a), ATTR_OP_TYPE, API_OP_N) == API_OP_RULE_MOD)
			pend_op(&p.ops, attr_nest(a));
	s->pending_bytes += p.ops.len;
	vec_push(&s->pending, p);
}

bool shadow_has_pending(const struct shadow *s)
{
	return s->pending.len;
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

void shadow_take_objects(struct shadow *s, enum api_op op, struct shadow *from)
{
	free_objects(s, op);
	if (op == API_OP_GROUP_MOD) {
		vec_append(&s->groups, from->groups.at, from->groups.len);
		vec_clear(&from->groups);
	} else {
		vec_append(&s->meters, from->meters.at, from->meters.len);
		vec_clear(&from->meters);
	}
}

static uint32_t object_id(const struct copy *c, enum api_op op)
{
	return (uint32_t)attrs_u64(attrs_of(c),
				   op == API_OP_GROUP_MOD ? ATTR_GROUP_ID : ATTR_METER_ID, 0);
}

void shadow_add_objects(struct shadow *s, enum api_op op, struct shadow *from)
{
	copies *to = op == API_OP_GROUP_MOD ? &s->groups : &s->meters;
	copies *more = op == API_OP_GROUP_MOD ? &from->groups : &from->meters;
	VEC_FOR_EACH (c, more)
		for (size_t i = 0; i < to->len; i++)
			if (object_id(to->at[i], op) == object_id(*c, op)) {
				free(to->at[i]);
				vec_swap_remove(to, i);
				break;
			}
	vec_append(to, more->at, more->len);
	vec_clear(more);
}

static void put_op(struct msg *m, enum api_op op, const char *bridge, const struct copy *c)
{
	size_t at = msg_op_begin(m, op);
	msg_put_str(m, ATTR_BRIDGE, bridge);
	msg_put_u8(m, ATTR_COMMAND, API_MOD_ADD);
	ATTR_FOR_EACH (a, attrs_of(c))
		put_again(m, a);
	msg_nest_end(m, at);
}

static void put_pending(struct msg *m, const char *bridge, const struct pending *p)
{
	if (p->ops.data) {
		struct attrs ops = {p->ops.data + sizeof(struct msg_header),
				    p->ops.len - sizeof(struct msg_header)};
		ATTR_FOR_EACH (a, ops)
			msg_put_bytes(m, ATTR_OP, a->value, a->len);
		return;
	}
	size_t at = msg_op_begin(m, API_OP_RULE_MOD);
	msg_put_str(m, ATTR_BRIDGE, bridge);
	msg_put_u8(m, ATTR_COMMAND, API_MOD_DELETE);
	msg_put_u8(m, ATTR_TABLE, p->emptied);
	msg_nest_end(m, at);
}

struct placed {
	uint32_t phase;
	const struct copy *c;
};

static int by_phase(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	return (x->phase > y->phase) - (x->phase < y->phase);
}

/* Each pending transaction behind the rules that were there before it, before those that came
 * later. */
static void replay_in_order(const struct shadow *s, const char *bridge, struct msg *m)
{
	VEC(struct placed) all = {0};
	size_t at = 0;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
		HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules)
			vec_push(&all, (struct placed){phase_now(s, c), c});
	if (all.len)
		qsort(all.at, all.len, sizeof all.at[0], by_phase);
	for (size_t phase = 0; phase <= s->pending.len; phase++) {
		while (at < all.len && all.at[at].phase == phase)
			put_op(m, API_OP_RULE_MOD, bridge, all.at[at++].c);
		if (phase < s->pending.len)
			put_pending(m, bridge, &s->pending.at[phase]);
	}
	vec_free(&all);
}

static void put_clear(struct msg *m, enum api_op op, const char *bridge, enum api_attr id,
		      uint32_t all)
{
	size_t at = msg_op_begin(m, op);
	msg_put_str(m, ATTR_BRIDGE, bridge);
	msg_put_u8(m, ATTR_COMMAND, API_MOD_DELETE);
	msg_put_u32(m, id, all);
	msg_nest_end(m, at);
}

/* A bridge whose rules were refused once may have been given groups and meters since: ours come in
 * their place, for an add of one that is there would be refused. */
static void clear_objects(const struct shadow *s, const char *bridge, struct msg *m)
{
	enum { ALL_GROUPS = -4, ALL_METERS = -1 }; /* OFPG_ALL, OFPM_ALL */
	if (s->groups.len)
		put_clear(m, API_OP_GROUP_MOD, bridge, ATTR_GROUP_ID, (uint32_t)ALL_GROUPS);
	if (s->meters.len)
		put_clear(m, API_OP_METER_MOD, bridge, ATTR_METER_ID, (uint32_t)ALL_METERS);
}

size_t shadow_replay(const struct shadow *s, const char *bridge, struct msg *m)
{
	clear_objects(s, bridge, m);
	for (size_t i = 0; i < s->meters.len; i++)
		put_op(m, API_OP_METER_MOD, bridge, s->meters.at[i]);
	for (size_t i = 0; i < s->groups.len; i++)
		put_op(m, API_OP_GROUP_MOD, bridge, s->groups.at[i]);
	if (s->pending.len)
		replay_in_order(s, bridge, m);
	else
		for (unsigned i = 0; i < SL_ARRAY_SIZE(s->tables); i++)
			HMAP_FOR_EACH (c, struct copy, node, &s->tables[i].rules)
				put_op(m, API_OP_RULE_MOD, bridge, c);
	return s->meters.len + s->groups.len + shadow_rules(s) + s->pending.len;
}
