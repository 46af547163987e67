/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow mods: what adding, modifying and deleting mean. */
#include "datapath/table/flow_mod.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table_priv.h"
#include "datapath/table/group.h"
#include "datapath/table/meter.h"

void flow_mod_init(struct flow_mod *fm)
{
	memset(fm, 0, sizeof *fm);
	fm->priority = 32768;
	fm->out_port = OFP_PORT_ANY;
	fm->out_group = 0xffffffff;
}

static int refuse(uint32_t *ofp, uint32_t code, struct err *e, int err, const char *text,
		  const struct bridge *b, uint32_t arg)
{
	if (ofp)
		*ofp = code;
	return err_set(e, err, "bridge %s: flow: %s (%u)", b->name, text, arg);
}

/* ---- references that must exist ---- */
int flow_mod_check_actions(const struct bridge *b, const uint8_t *list, size_t len, uint32_t *ofp,
			   struct err *e)
{
	ACTION_FOR_EACH(a, list, len)
	{
		size_t n;
		const uint8_t *nested = action_nested(a, &n);
		int r = nested ? flow_mod_check_actions(b, nested, n, ofp, e) : 0;

		if (r)
			return r;
		if (a->type == ACTION_GROUP &&
		    !group_next(b, ((const struct action_group *)a)->group_id))
			return refuse(ofp, FM_ERR_BAD_OUT_GROUP, e, ENOENT, "no such group", b,
				      ((const struct action_group *)a)->group_id);
		if (a->type == ACTION_METER &&
		    !meter_next(b, ((const struct action_meter *)a)->meter_id))
			return refuse(ofp, FM_ERR_INVALID_METER, e, ENOENT, "no such meter", b,
				      ((const struct action_meter *)a)->meter_id);
	}
	return 0;
}

/* ---- learn actions with delete_learned ---- */
static uint64_t learn_hash(uint8_t table, uint64_t cookie)
{
	return hash_u64(cookie ^ (uint64_t)table << 56);
}

static struct learn_ref *learn_ref(struct flow_tables *ts, uint8_t table, uint64_t cookie)
{
	HMAP_FOR_EACH_WITH_HASH (l, struct learn_ref, node, learn_hash(table, cookie),
				 &ts->learn_refs)
		if (l->table == table && l->cookie == cookie)
			return l;
	return NULL;
}

static void learn_ref_add(struct flow_tables *ts, uint8_t table, uint64_t cookie, int n)
{
	struct learn_ref *l = learn_ref(ts, table, cookie);

	if (!l) {
		l = xzalloc(sizeof *l);
		l->table = table;
		l->cookie = cookie;
		hmap_insert(&ts->learn_refs, &l->node, learn_hash(table, cookie));
	}
	l->n += (uint32_t)n;
	if (!l->n) {
		hmap_remove(&ts->learn_refs, &l->node);
		free(l);
	}
}

struct learn_step {
	struct flow_tables *ts;
	uint64_t cookie;
	uint8_t table;
	int n;
};

static void undo_learn(void *p)
{
	struct learn_step *s = p;

	learn_ref_add(s->ts, s->table, s->cookie, -s->n);
	free(s);
}

static void count_learns(struct txn *t, struct flow_tables *ts, const uint8_t *list, size_t len,
			 int n)
{
	ACTION_FOR_EACH(a, list, len)
	{
		const struct action_learn *l = (const void *)a;
		size_t nested_len;
		const uint8_t *nested = action_nested(a, &nested_len);
		struct learn_step *s;

		if (nested)
			count_learns(t, ts, nested, nested_len, n);
		if (a->type != ACTION_LEARN || !(l->flags & LEARN_DELETE_LEARNED))
			continue;
		s = xmalloc(sizeof *s);
		*s = (struct learn_step){ts, be64_to_cpu(l->cookie), l->table, n};
		learn_ref_add(ts, s->table, s->cookie, n);
		txn_step(t, NULL, free, undo_learn, s);
	}
}

/* Collected before anything is removed: removing walks no structure that is being walked. */
struct rules {
	VEC(struct rule *) v;
	const struct rule_filter *f;
	const struct cls_key *k;
};

static void remove_with_learnt(struct txn *t, struct flow_tables *ts, struct rule *r,
			       enum rule_removed_reason why);

/* The rule's learn actions were the last with their table and cookie: what they made goes too. */
static void remove_learnt(struct txn *t, struct flow_tables *ts, const uint8_t *list, size_t len)
{
	bool quiet = t->quiet;

	t->quiet = false; /* nobody foresees these */
	ACTION_FOR_EACH(a, list, len)
	{
		const struct action_learn *l = (const void *)a;
		struct cookie_group *g;
		struct rules found = {0};
		size_t n;
		const uint8_t *nested = action_nested(a, &n);

		if (nested)
			remove_learnt(t, ts, nested, n);
		if (a->type != ACTION_LEARN || !(l->flags & LEARN_DELETE_LEARNED) ||
		    learn_ref(ts, l->table, be64_to_cpu(l->cookie)))
			continue;
		g = flow_cookie_find(ts, be64_to_cpu(l->cookie));
		if (!g)
			continue;
		LIST_FOR_EACH (it, struct rule, cookie_node, &g->rules)
			if (it->table == l->table && rule_is_live(it))
				vec_push(&found.v, it);
		VEC_FOR_EACH (it, &found.v)
			if (rule_is_live(*it))
				remove_with_learnt(t, ts, *it, RULE_REMOVED_DELETE);
		vec_free(&found.v);
	}
	t->quiet = quiet;
}

static void remove_with_learnt(struct txn *t, struct flow_tables *ts, struct rule *r,
			       enum rule_removed_reason why)
{
	flow_rule_remove(t, ts, r, why);
	count_learns(t, ts, rule_actions(r), r->actions_len, -1);
	remove_learnt(t, ts, rule_actions(r), r->actions_len);
}

/* ---- add ---- */
/* What a full table can spare (ovs-vswitchd.conf.db(5), Eviction Policy, with one group): of the
 * rules that have a timeout those of least importance, of these the one that expires first. */
static struct rule *least_important(const struct flow_table *ft)
{
	struct rule *worst = NULL;
	uint64_t worst_due = 0;

	VEC_FOR_EACH (s, &ft->slots) {
		struct rule *r = s->r;

		if (!r || !rule_is_live(r) || (r->flags & RULE_HIDDEN) || !(r->idle_s || r->hard_s))
			continue;
		if (worst && r->importance > worst->importance)
			continue;
		uint64_t due = flow_rule_due_ms(r);
		if (!worst || r->importance < worst->importance || due < worst_due) {
			worst = r;
			worst_due = due;
		}
	}
	return worst;
}

static int make_room(struct txn *t, struct bridge *b, uint8_t table, uint32_t *ofp, struct err *e)
{
	struct flow_tables *ts = b->tables;
	struct flow_table *ft = ts->at[table];
	struct rule *victim;

	if (ts->n_rules >= RULES_MAX)
		return refuse(ofp, FM_ERR_TABLE_FULL, e, ENOSPC, "too many rules", b, RULES_MAX);
	if (!ft || !ft->config.max_entries || ft->n_live < ft->config.max_entries)
		return 0;
	victim = ft->config.eviction ? least_important(ft) : NULL;
	if (!victim)
		return refuse(ofp, FM_ERR_TABLE_FULL, e, ENOSPC, "the table is full", b, table);
	bool quiet = t->quiet;
	t->quiet = false;
	remove_with_learnt(t, ts, victim, RULE_REMOVED_EVICTION);
	t->quiet = quiet;
	return 0;
}

static struct rule *build(const struct bridge *b, const struct flow_mod *fm,
			  const struct cls_key *k, const struct txn *t)
{
	struct rule *r = rule_create(&(struct rule_spec){.key = k,
							 .actions = fm->actions,
							 .actions_len = fm->actions_len,
							 .blob = fm->blob,
							 .blob_len = fm->blob_len,
							 .priority = fm->priority,
							 .table = fm->table});

	if (!r)
		return NULL;
	r->cookie = fm->cookie;
	r->flags = fm->flags & ~(uint32_t)(RULE_MODIFY_ADDS | RULE_RESET_COUNTS |
					   RULE_CHECK_OVERLAP | RULE_OVERLAP_CHECKED);
	/* Kept for dumps, which show them as they were sent. */
	r->flags |= fm->flags & (RULE_RESET_COUNTS | RULE_CHECK_OVERLAP);
	r->idle_s = fm->idle_timeout_s;
	r->hard_s = fm->hard_timeout_s;
	r->importance = fm->importance;
	r->is_learnt = fm->by_learn;
	r->created_ms = r->modified_ms = t->now_ms;
	return r;
}

static bool take_stats(struct rule *r, struct rule *old, uint64_t now_ms)
{
	if (old) {
		credit_get(&old->stats->credit);
		r->stats = old->stats;
		old->stats_moved_on = true;
	} else {
		r->stats = rule_stats_create(now_ms);
	}
	if (r->stats)
		__atomic_store_n(&r->stats->rule, r, __ATOMIC_RELEASE);
	return r->stats != NULL;
}

static int no_memory(const struct bridge *b, uint32_t *ofp, struct err *e)
{
	return refuse(ofp, FM_ERR_TABLE_FULL, e, ENOMEM, "no memory for another rule", b, 0);
}

static void insert(struct txn *t, struct bridge *b, struct rule *r, const struct cls_key *k,
		   struct rule *old)
{
	flow_rule_add(t, b->tables, r, k, old);
	count_learns(t, b->tables, rule_actions(r), r->actions_len, 1);
	if (old) {
		count_learns(t, b->tables, rule_actions(old), old->actions_len, -1);
		remove_learnt(t, b->tables, rule_actions(old), old->actions_len);
	}
}

static int add(struct txn *t, struct bridge *b, const struct flow_mod *fm, const struct cls_key *k,
	       uint32_t *n, uint32_t *ofp, struct err *e)
{
	struct flow_table *ft = b->tables->at[fm->table];
	struct rule *old = ft ? classifier_find(&ft->cls, k, fm->priority) : NULL, *r;
	int err;

	if (!old && ft &&
	    (fm->flags & (RULE_CHECK_OVERLAP | RULE_OVERLAP_CHECKED)) == RULE_CHECK_OVERLAP &&
	    classifier_find_overlap(&ft->cls, k, fm->priority))
		return refuse(ofp, FM_ERR_OVERLAP, e, EEXIST, "overlaps another rule of priority",
			      b, fm->priority);
	if (!old && (err = make_room(t, b, fm->table, ofp, e)))
		return err;
	r = build(b, fm, k, t);
	if (!r || !take_stats(r, fm->flags & RULE_RESET_COUNTS ? NULL : old, t->now_ms)) {
		if (r)
			rule_free(r);
		return no_memory(b, ofp, e);
	}
	insert(t, b, r, k, old);
	++*n;
	return 0;
}

/* ---- modify and delete: selecting ---- */
static void collect(struct rule *r, void *aux)
{
	struct rules *rs = aux;

	if (rule_is_live(r) && flow_filter_selects(rs->f, NULL, r))
		vec_push(&rs->v, r);
}

static void collect_table(const struct flow_tables *ts, uint8_t table, struct rules *rs)
{
	const struct flow_table *ft = ts->at[table];
	struct rule *r;

	if (!ft)
		return;
	if (rs->f->strict) {
		r = classifier_find(&ft->cls, rs->k, rs->f->priority);
		if (r)
			collect(r, rs);
	} else {
		classifier_for_each_within(&ft->cls, rs->k, collect, rs);
	}
}

static void select_rules(const struct flow_tables *ts, struct rules *rs)
{
	const struct rule_filter *f = rs->f;

	if (f->cookie_mask == UINT64_MAX && !f->strict) {
		struct cookie_group *g = flow_cookie_find(ts, f->cookie);

		if (!g)
			return;
		LIST_FOR_EACH (r, struct rule, cookie_node, &g->rules)
			if (rule_is_live(r) && (f->table == TABLE_ALL || f->table == r->table) &&
			    flow_filter_selects(f, rs->k, r))
				vec_push(&rs->v, r);
		return;
	}
	for (unsigned i = 0; i < TABLE_ALL; i++)
		if (f->table == TABLE_ALL || f->table == i)
			collect_table(ts, (uint8_t)i, rs);
}

static struct rule_filter filter_of(const struct flow_mod *fm, bool strict)
{
	return (struct rule_filter){.table = fm->table,
				    .strict = strict,
				    .hidden = fm->hidden,
				    .priority = fm->priority,
				    .cookie = fm->cookie_match,
				    .cookie_mask = fm->cookie_mask,
				    .out_port = fm->out_port,
				    .out_group = fm->out_group};
}

/* The key of a rule that is there. */
static void key_of(const struct rule *r, struct cls_key *k)
{
	k->n = (uint8_t)r->n_words;
	memcpy(k->word, r->subtable->word, k->n);
	memcpy(k->mask, r->subtable->mask, k->n * sizeof k->mask[0]);
	memcpy(k->value, rule_values(r), k->n * sizeof k->value[0]);
}

/* Same rule, other actions: timeouts, flags and the time of creation stay. */
static int modify_one(struct txn *t, struct bridge *b, const struct flow_mod *fm, struct rule *old,
		      uint32_t *ofp, struct err *e)
{
	struct flow_mod as = *fm;
	struct cls_key k;
	struct rule *r;

	key_of(old, &k);
	as.table = old->table;
	as.priority = old->priority;
	as.flags = old->flags;
	as.idle_timeout_s = old->idle_s;
	as.hard_timeout_s = old->hard_s;
	as.importance = old->importance;
	if (as.cookie == UINT64_MAX)
		as.cookie = old->cookie;
	r = build(b, &as, &k, t);
	if (!r || !take_stats(r, fm->flags & RULE_RESET_COUNTS ? NULL : old, t->now_ms)) {
		if (r)
			rule_free(r);
		return no_memory(b, ofp, e);
	}
	r->created_ms = old->created_ms;
	r->is_learnt = old->is_learnt && fm->by_learn;
	r->by_modify = true;
	insert(t, b, r, &k, old);
	return 0;
}

static int modify(struct txn *t, struct bridge *b, const struct flow_mod *fm,
		  const struct cls_key *k, uint32_t *n, uint32_t *ofp, struct err *e)
{
	struct rule_filter f = filter_of(fm, fm->command == FLOW_MOD_MODIFY_STRICT);
	struct rules rs = {.f = &f, .k = k};
	int r = 0;

	/* These two select deletes only (OpenFlow 1.3.5 §6.4). */
	f.out_port = OFP_PORT_ANY;
	f.out_group = 0xffffffff;
	select_rules(b->tables, &rs);
	for (size_t i = 0; i < rs.v.len && !r; i++)
		r = modify_one(t, b, fm, rs.v.at[i], ofp, e);
	*n += (uint32_t)rs.v.len;
	if (!r && !rs.v.len && (fm->flags & RULE_MODIFY_ADDS) && !fm->cookie_mask) {
		struct flow_mod as = *fm;

		if (as.cookie == UINT64_MAX)
			as.cookie = 0;
		if (as.table == TABLE_ALL)
			as.table = 0;
		r = add(t, b, &as, k, n, ofp, e);
	}
	vec_free(&rs.v);
	return r;
}

static void delete (struct txn *t, struct bridge *b, const struct flow_mod *fm,
		    const struct cls_key *k, uint32_t *n)
{
	struct rule_filter f = filter_of(fm, fm->command == FLOW_MOD_DELETE_STRICT);
	struct rules rs = {.f = &f, .k = k};

	select_rules(b->tables, &rs);
	VEC_FOR_EACH (r, &rs.v)
		if (rule_is_live(*r))
			remove_with_learnt(t, b->tables, *r, RULE_REMOVED_DELETE);
	*n += (uint32_t)rs.v.len;
	vec_free(&rs.v);
}

int flow_mod(struct txn *t, struct bridge *b, const struct flow_mod *fm, uint32_t *n_changed,
	     uint32_t *ofp, struct err *e)
{
	unsigned n_tables = b->next_config->n_tables ? b->next_config->n_tables : TABLE_ALL;
	bool is_delete = fm->command == FLOW_MOD_DELETE || fm->command == FLOW_MOD_DELETE_STRICT;
	bool selects_all = fm->table == TABLE_ALL && fm->command != FLOW_MOD_ADD;
	struct cls_key k;
	uint32_t n = 0;
	int r;

	if (ofp)
		*ofp = 0;
	if (fm->table >= n_tables && !selects_all)
		return refuse(ofp, FM_ERR_BAD_TABLE_ID, e, EINVAL, "no such table", b, fm->table);
	cls_key_init(&k, fm->match);
	if (!is_delete && (r = flow_mod_check_actions(b, fm->actions, fm->actions_len, ofp, e)))
		return r;
	r = 0;
	switch (fm->command) {
	case FLOW_MOD_ADD:
		r = add(t, b, fm, &k, &n, ofp, e);
		break;
	case FLOW_MOD_MODIFY:
	case FLOW_MOD_MODIFY_STRICT:
		r = modify(t, b, fm, &k, &n, ofp, e);
		break;
	case FLOW_MOD_DELETE:
	case FLOW_MOD_DELETE_STRICT:
		delete (t, b, fm, &k, &n);
		break;
	default:
		return refuse(ofp, FM_ERR_BAD_COMMAND, e, EINVAL, "unknown command", b,
			      fm->command);
	}
	if (n_changed)
		*n_changed = n;
	return r;
}

/* ---- learn actions ---- */
static bool same_rule(const struct rule *have, const struct flow_mod *fm)
{
	return have->cookie == fm->cookie && have->idle_s == fm->idle_timeout_s &&
	       have->hard_s == fm->hard_timeout_s && have->flags == fm->flags &&
	       have->actions_len == fm->actions_len &&
	       !memcmp(rule_actions(have), fm->actions, fm->actions_len);
}

static uint32_t count_cookie(const struct flow_tables *ts, uint8_t table, uint64_t cookie)
{
	const struct cookie_group *g = flow_cookie_find(ts, cookie);
	uint32_t n = 0;

	if (g)
		LIST_FOR_EACH (r, struct rule, cookie_node, &g->rules)
			n += r->table == table && rule_is_live(r);
	return n;
}

bool flow_mod_learn(struct txn *t, struct bridge *b, const struct flow_mod *fm, uint32_t limit,
		    bool *present)
{
	struct flow_table *ft = fm->table < TABLE_ALL ? b->tables->at[fm->table] : NULL;
	struct rule *have;
	struct cls_key k;

	cls_key_init(&k, fm->match);
	have = ft ? classifier_find(&ft->cls, &k, fm->priority) : NULL;
	*present = true;
	if (have && same_rule(have, fm)) {
		have->modified_ms = t->now_ms;
		return false;
	}
	*present = (have || !limit || count_cookie(b->tables, fm->table, fm->cookie) < limit) &&
		   !flow_mod(t, b, fm, NULL, NULL, NULL);
	return *present;
}

static void delete_users(struct txn *t, struct bridge *b,
			 bool (*uses)(const struct rule *r, uint32_t id), uint32_t id,
			 enum rule_removed_reason why)
{
	struct rules rs = {0};

	for (unsigned i = 0; i < TABLE_ALL; i++) {
		struct flow_table *ft = b->tables->at[i];

		for (size_t s = 0; ft && s < ft->slots.len; s++) {
			struct rule *r = ft->slots.at[s].r;

			if (r && rule_is_live(r) && uses(r, id))
				vec_push(&rs.v, r);
		}
	}
	VEC_FOR_EACH (r, &rs.v)
		if (rule_is_live(*r))
			remove_with_learnt(t, b->tables, *r, why);
	vec_free(&rs.v);
}

void flow_mod_delete_group_users(struct txn *t, struct bridge *b, uint32_t group_id)
{
	delete_users(t, b, rule_uses_group, group_id, RULE_REMOVED_GROUP_DELETE);
}

void flow_mod_delete_meter_users(struct txn *t, struct bridge *b, uint32_t meter_id)
{
	delete_users(t, b, rule_uses_meter, meter_id, RULE_REMOVED_METER_DELETE);
}
