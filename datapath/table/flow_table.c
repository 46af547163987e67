/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules going in and out of a bridge's tables, and walking over them. Under the version lock. */
#include "datapath/table/flow_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_table_priv.h"

/* ---- tables ---- */
struct flow_tables *flow_tables_create(uint32_t bridge_id)
{
	struct flow_tables *ts = xzalloc(sizeof *ts);

	ts->bridge_id = bridge_id;
	return ts;
}

static void free_credit(struct credit_target *c)
{
	free(c);
}

struct flow_table *flow_table_need(struct flow_tables *ts, uint8_t table)
{
	struct flow_table *ft = ts->at[table];

	if (ft)
		return ft;
	ft = xzalloc(sizeof *ft);
	classifier_init(&ft->cls);
	ft->config.miss = TABLE_MISS_DEFAULT;
	ft->next_seq = 1;
	ft->missed = xzalloc(sizeof *ft->missed);
	credit_init(ft->missed, free_credit);
	rcu_store(&ts->at[table], ft);
	return ft;
}

static void destroy_table(struct flow_table *ft)
{
	VEC_FOR_EACH (s, &ft->slots)
		if (s->r)
			rule_free(s->r);
	vec_free(&ft->slots);
	classifier_destroy(&ft->cls);
	credit_put(ft->missed);
	free(ft);
}

void flow_tables_destroy(struct flow_tables *ts)
{
	if (!ts)
		return;
	for (unsigned i = 0; i < TABLE_ALL; i++)
		if (ts->at[i])
			destroy_table(ts->at[i]);
	HMAP_FOR_EACH_SAFE (g, struct cookie_group, node, &ts->cookies) {
		hmap_remove(&ts->cookies, &g->node);
		free(g);
	}
	hmap_destroy(&ts->cookies);
	HMAP_FOR_EACH_SAFE (l, struct learn_ref, node, &ts->learn_refs) {
		hmap_remove(&ts->learn_refs, &l->node);
		free(l);
	}
	hmap_destroy(&ts->learn_refs);
	vec_free(&ts->timers);
	vec_free(&ts->fin_rules);
	free(ts);
}

struct flow_table *flow_table_get(const struct bridge *b, uint8_t table)
{
	return table < TABLE_ALL ? rcu_load(&b->tables->at[table]) : NULL;
}

uint32_t flow_table_bridge_of(const struct rule *r)
{
	return r->tables->bridge_id;
}

uint32_t flow_tables_n_rules(const struct bridge *b)
{
	return b->tables->n_rules;
}

size_t flow_tables_memory(const struct bridge *b)
{
	const struct flow_tables *ts = b->tables;
	size_t n = sizeof *ts + ts->bytes + ts->timers.cap * sizeof ts->timers.at[0];

	for (unsigned i = 0; i < TABLE_ALL; i++) {
		const struct flow_table *ft = ts->at[i];

		if (!ft)
			continue;
		n += sizeof *ft + ft->slots.cap * sizeof ft->slots.at[0];
		HMAP_FOR_EACH (s, struct cls_subtable, node, &ft->cls.subtables)
			n += sizeof *s + (s->rules.slots ? (s->rules.slots->mask + 1ull) * 8 : 0);
	}
	return n;
}

void flow_table_config_get(const struct bridge *b, uint8_t table, struct flow_table_config *out)
{
	const struct flow_table *ft = flow_table_get(b, table);

	memset(out, 0, sizeof *out);
	out->miss = TABLE_MISS_DEFAULT;
	if (ft)
		*out = ft->config;
}

struct table_step {
	struct flow_table *ft;
	struct flow_table_config config;
};

static void publish_table(void *p)
{
	struct table_step *s = p;

	s->ft->config = s->config;
	__atomic_store_n(&s->ft->used, true, __ATOMIC_RELAXED);
	free(s);
}

int flow_table_set(struct txn *t, struct bridge *b, uint8_t table,
		   const struct flow_table_config *c, struct err *e)
{
	struct table_step *s;

	if (table >= TABLE_ALL)
		return err_set(e, EINVAL, "bridge %s: table %u: there is no such table", b->name,
			       table);
	s = xmalloc(sizeof *s);
	s->ft = flow_table_need(b->tables, table);
	s->config = *c;
	txn_step(t, publish_table, NULL, free, s);
	txn_change(t, CHANGE_TABLE, b->id, table, NULL);
	return 0;
}

void flow_table_counts(const struct bridge *b, uint8_t table, uint64_t *lookups, uint64_t *matched)
{
	const struct flow_table *ft = flow_table_get(b, table);

	*lookups = *matched = 0;
	if (!ft)
		return;
	*matched = ft->matched_gone;
	VEC_FOR_EACH (s, &ft->slots)
		if (s->r)
			*matched += __atomic_load_n(&s->r->stats->credit.pkts, __ATOMIC_RELAXED);
	*lookups = *matched + __atomic_load_n(&ft->missed->pkts, __ATOMIC_RELAXED);
}

/* ---- slots ---- */
/* First slot whose seq is not below. */
static size_t slot_index(const struct flow_table *ft, uint64_t seq)
{
	size_t lo = 0, hi = ft->slots.len;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ft->slots.at[mid].seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct flow_slot *flow_slot_find(struct flow_table *ft, uint64_t seq)
{
	size_t i = slot_index(ft, seq);

	return i < ft->slots.len && ft->slots.at[i].seq == seq ? &ft->slots.at[i] : NULL;
}

static void clear_slot(struct flow_table *ft, const struct rule *r)
{
	struct flow_slot *s = flow_slot_find(ft, r->seq);
	size_t kept = 0;

	if (!s || s->r != r)
		return;
	s->r = NULL;
	ft->n_holes++;
	if (ft->n_holes < 64 || ft->n_holes * 2 < ft->slots.len)
		return;
	VEC_FOR_EACH (it, &ft->slots)
		if (it->r)
			ft->slots.at[kept++] = *it;
	ft->slots.len = kept;
	ft->n_holes = 0;
}

/* ---- cookies ---- */
struct cookie_group *flow_cookie_find(const struct flow_tables *ts, uint64_t cookie)
{
	HMAP_FOR_EACH_WITH_HASH (g, struct cookie_group, node, hash_u64(cookie), &ts->cookies)
		if (g->cookie == cookie)
			return g;
	return NULL;
}

static void link_cookie(struct flow_tables *ts, struct rule *r)
{
	struct cookie_group *g = flow_cookie_find(ts, r->cookie);

	if (!g) {
		g = xzalloc(sizeof *g);
		g->cookie = r->cookie;
		list_init(&g->rules);
		hmap_insert(&ts->cookies, &g->node, hash_u64(r->cookie));
	}
	list_push_back(&g->rules, &r->cookie_node);
}

static void unlink_cookie(struct flow_tables *ts, struct rule *r)
{
	struct cookie_group *g;

	list_remove(&r->cookie_node);
	g = flow_cookie_find(ts, r->cookie);
	if (g && list_is_empty(&g->rules)) {
		hmap_remove(&ts->cookies, &g->node);
		free(g);
	}
}

/* ---- adding and removing ---- */
struct rule_step {
	struct flow_tables *ts;
	struct rule *r;
	struct table_cause cause;
};

static size_t size_of(const struct rule *r)
{
	return sizeof *r + sizeof(struct rule_stats) + (r->n_words + r->n_conj) * 8u +
	       r->actions_len + r->blob_len;
}

static void free_rule(void *p)
{
	rule_free(p);
}

/* Main thread, a grace period after the removal was published: no lookup needs the rule now. */
static void unlink_rule(void *p)
{
	struct rule *r = p;

	/* Deferred calls run in order: the bridge, if it goes as well, is freed later. */
	version_lock();
	classifier_remove(&r->tables->at[r->table]->cls, r);
	txn_later(free_rule, r);
	version_unlock();
}

static void publish_add(void *p)
{
	struct rule_step *s = p;

	__atomic_store_n(&s->ts->at[s->r->table]->used, true, __ATOMIC_RELAXED);
}

static void done_add(void *p)
{
	struct rule_step *s = p;
	struct rule *r = s->r;

	if (rule_is_live(r)) {
		if (r->idle_s || r->hard_s)
			flow_timer_add(s->ts, r);
		if (r->fin_idle_s || r->fin_hard_s)
			flow_fin_add(s->ts, r);
	}
	table_event_rule_added(r, s->cause);
	r->replaces = NULL;
	free(s);
}

static void undo_add(void *p)
{
	struct rule_step *s = p;
	struct rule *r = s->r;
	struct flow_table *ft = s->ts->at[r->table];

	if (r->replaces)
		flow_slot_find(ft, r->seq)->r = r->replaces;
	else
		clear_slot(ft, r);
	unlink_cookie(s->ts, r);
	classifier_remove(&ft->cls, r);
	ft->n_live--;
	s->ts->n_rules--;
	s->ts->bytes -= size_of(r);
	txn_later(free_rule, r);
	free(s);
}

static struct rule_step *make_step(const struct txn *t, struct flow_tables *ts, struct rule *r)
{
	struct rule_step *s = xmalloc(sizeof *s);

	*s = (struct rule_step){.ts = ts, .r = r, .cause = {t->origin, t->quiet}};
	return s;
}

static void log_change(struct txn *t, const struct rule *r)
{
	txn_change(t, CHANGE_TABLE, r->tables->bridge_id, r->table,
		   txn_keeps_match(t) ? rule_minimatch(r) : NULL);
}

void flow_rule_add(struct txn *t, struct flow_tables *ts, struct rule *r, const struct cls_key *k,
		   struct rule *old)
{
	struct flow_table *ft = flow_table_need(ts, r->table);

	r->tables = ts;
	r->added = t->version;
	r->replaces = old;
	if (old) {
		r->seq = old->seq;
		flow_slot_find(ft, r->seq)->r = r;
		flow_rule_remove(t, ts, old, RULE_REMOVED_REPLACED);
	} else {
		r->seq = ft->next_seq++;
		vec_push(&ft->slots, (struct flow_slot){r->seq, r});
	}
	link_cookie(ts, r);
	classifier_insert(&ft->cls, r, k);
	ft->n_live++;
	ts->n_rules++;
	ts->bytes += size_of(r);
	/* A table that comes into use concerns also packets that the rule does not match. */
	if (!ft->used)
		txn_change(t, CHANGE_BRIDGE, ts->bridge_id, 0, NULL);
	txn_step(t, publish_add, done_add, undo_add, make_step(t, ts, r));
	if (!old)
		log_change(t, r);
}

static void done_remove(void *p)
{
	struct rule_step *s = p;
	struct rule *r = s->r;
	struct flow_table *ft = s->ts->at[r->table];

	if (r->timer_at)
		flow_timer_remove(s->ts, r);
	if (r->fin_at)
		flow_fin_remove(s->ts, r);
	unlink_cookie(s->ts, r);
	clear_slot(ft, r);
	if (!r->stats_moved_on)
		ft->matched_gone += r->stats->credit.pkts;
	table_event_rule_removed(r, s->cause);
	s->ts->bytes -= size_of(r);
	txn_later(unlink_rule, r);
	free(s);
}

static void undo_remove(void *p)
{
	struct rule_step *s = p;

	s->r->removed = RULE_NOT_REMOVED;
	s->ts->at[s->r->table]->n_live++;
	s->ts->n_rules++;
	free(s);
}

void flow_rule_remove(struct txn *t, struct flow_tables *ts, struct rule *r,
		      enum rule_removed_reason reason)
{
	/* One that this txn added is never visible: [version, version). */
	__atomic_store_n(&r->removed, t->version, __ATOMIC_RELAXED);
	r->removed_reason = (uint8_t)reason;
	ts->at[r->table]->n_live--;
	ts->n_rules--;
	txn_step(t, NULL, done_remove, undo_remove, make_step(t, ts, r));
	log_change(t, r);
}

/* ---- dumps ---- */
void rule_filter_init(struct rule_filter *f)
{
	memset(f, 0, sizeof *f);
	f->table = TABLE_ALL;
	f->out_port = OFP_PORT_ANY;
	f->out_group = 0xffffffff;
}

static bool key_within(const struct rule *r, const struct cls_key *k, bool strict)
{
	const struct cls_subtable *s = r->subtable;
	unsigned j = 0;

	if (strict && (s->n_words != k->n || memcmp(s->word, k->word, k->n) ||
		       memcmp(s->mask, k->mask, k->n * 8u)))
		return false;
	/* Both list words in the same order. */
	for (unsigned i = 0; i < k->n; i++) {
		while (j < s->n_words && s->word[j] != k->word[i])
			j++;
		if (j == s->n_words || k->mask[i] & ~s->mask[j] ||
		    (rule_values(r)[j] ^ k->value[i]) & k->mask[i])
			return false;
	}
	return true;
}

bool flow_filter_selects(const struct rule_filter *f, const struct cls_key *k, const struct rule *r)
{
	if ((r->flags & RULE_HIDDEN) && !f->hidden)
		return false;
	if ((r->cookie ^ f->cookie) & f->cookie_mask)
		return false;
	if (k && f->strict && r->priority != f->priority)
		return false;
	if (k && !key_within(r, k, f->strict))
		return false;
	if (f->out_port != OFP_PORT_ANY && !rule_outputs_to(r, f->out_port))
		return false;
	return f->out_group == 0xffffffff || rule_uses_group(r, f->out_group);
}

enum { SEQ_BITS = 56 };

const struct rule *rule_next(const struct bridge *b, const struct rule_filter *f, uint64_t *cursor)
{
	unsigned table = (unsigned)(*cursor >> SEQ_BITS);
	uint64_t seq = *cursor & (((uint64_t)1 << SEQ_BITS) - 1);
	const struct rule *found = NULL;
	struct cls_key k;

	if (f->match)
		cls_key_init(&k, f->match);
	version_lock();
	for (; table < TABLE_ALL && !found; table++, seq = 0) {
		const struct flow_table *ft = b->tables->at[table];

		if (!ft || (f->table != TABLE_ALL && f->table != table))
			continue;
		for (size_t i = slot_index(ft, seq); i < ft->slots.len; i++) {
			struct rule *r = ft->slots.at[i].r;

			if (r && flow_filter_selects(f, f->match ? &k : NULL, r)) {
				found = r;
				*cursor = (uint64_t)table << SEQ_BITS | (r->seq + 1);
				break;
			}
		}
	}
	version_unlock();
	return found;
}
