/* SPDX-License-Identifier: BSD-3-Clause */
/* The classifier against a linear scan, its masks against flipped bits, and flow mods. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/core/rcu.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"
#include "datapath/table/table_events.h"

static uint64_t seed = 1;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static struct bridge *bridge;
static struct flow no_cst;
static uint64_t now_ms = 1000000;

static int setup(void **state)
{
	struct bridge_config c;
	struct txn t;

	bridge_config_init(&c);
	c.open = true;
	txn_begin(&t);
	bridge_set(&t, "br0", &c, &bridge, NULL);
	txn_commit(&t);
	return 0;
}

static int teardown(void **state)
{
	bridge_destroy_all();
	for (unsigned i = 0; i < 3; i++) /* what is freed may put off more */
		while (tables_run(now_ms))
			;
	table_events_sink(NULL);
	return 0;
}

/* ---- building ---- */
static const struct field_info *const random_fields[] = {
	&fields[FIELD_REG0],     &fields[FIELD_METADATA], &fields[FIELD_ETH_DST],
	&fields[FIELD_ETH_TYPE], &fields[FIELD_IP_PROTO], &fields[FIELD_IP_SRC],
	&fields[FIELD_IP_DST],   &fields[FIELD_TCP_SRC],  &fields[FIELD_TCP_DST],
	&fields[FIELD_IPV6_DST],
};

/* Few distinct values, so that rules and packets meet. */
static void random_value(const struct field_info *f, union field_value *v)
{
	memset(v, 0, sizeof *v);
	for (unsigned i = 0; i < f->n_bytes; i++)
		v->b[i] = (uint8_t)(rnd(3) ? 0 : rnd(4) << 6);
	v->b[f->n_bytes - 1] = (uint8_t)rnd(4);
}

static void random_mask(const struct field_info *f, union field_value *m)
{
	unsigned bits = f->n_bytes * 8u, keep = rnd(3) ? bits : rnd(bits) + 1;

	memset(m, 0, sizeof *m);
	if (f->mask_kind == FIELD_MASK_NONE)
		keep = bits;
	for (unsigned i = 0; i < keep; i++)
		m->b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	if (f->mask_kind == FIELD_MASK_ANY && !rnd(6))
		m->b[0] ^= 0x40; /* no prefix */
}

static void random_match(struct match *m)
{
	unsigned n = rnd(4);

	match_init(m);
	while (n--) {
		const struct field_info *f = random_fields[rnd(SL_ARRAY_SIZE(random_fields))];
		union field_value v, mask;

		random_value(f, &v);
		random_mask(f, &mask);
		field_match(f, m, &v, &mask);
	}
}

static void random_flow(struct flow *fl)
{
	memset(fl, 0, sizeof *fl);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(random_fields); i++) {
		union field_value v;

		random_value(random_fields[i], &v);
		field_set(random_fields[i], fl, &v);
	}
}

static int mod(struct txn *t, uint8_t command, uint8_t table, uint16_t priority,
	       const struct match *m, uint64_t cookie, const struct action_buf *actions)
{
	struct flow_mod fm;
	struct minimatch *mm = minimatch_create(m);
	int r;

	flow_mod_init(&fm);
	fm.command = command;
	fm.table = table;
	fm.priority = priority;
	fm.match = mm;
	fm.cookie = cookie;
	if (actions) {
		fm.actions = actions->data;
		fm.actions_len = (uint32_t)actions->len;
	}
	r = flow_mod(t, bridge, &fm, NULL, NULL, NULL);
	free(mm);
	return r;
}

/* ---- oracle ---- */
struct model_rule {
	struct minimatch *mm;
	uint16_t priority;
	uint64_t cookie;
	bool live;
};
enum { MODEL_MAX = 400 };
static struct model_rule model[MODEL_MAX];
static unsigned n_model;

static const struct model_rule *scan(const struct flow *fl)
{
	const struct model_rule *best = NULL;

	for (unsigned i = 0; i < n_model; i++)
		if (model[i].live && minimatch_covers_flow(model[i].mm, fl) &&
		    (!best || model[i].priority > best->priority))
			best = &model[i];
	return best;
}

static const struct rule *lookup(const struct flow *fl, struct flow *wc)
{
	static struct flow scratch;
	uint32_t conj;
	struct flow_table *ft = flow_table_get(bridge, 0);

	scratch = *fl;
	memset(wc, 0, sizeof *wc);
	return ft ? classifier_lookup(&ft->cls, version_now(), &scratch, wc, &no_cst, &conj) : NULL;
}

static void flip_wildcarded(struct flow *fl, const struct flow *wc)
{
	for (size_t i = 0; i < sizeof *fl; i++) {
		uint8_t random = (uint8_t)rnd(256) & (uint8_t)rnd(256);

		(&fl->line[0][0])[i] ^= random & (uint8_t) ~(&wc->line[0][0])[i];
	}
}

static void model_clear(void)
{
	for (unsigned i = 0; i < n_model; i++)
		free(model[i].mm);
	n_model = 0;
}

/* A random change of table and model. */
static void churn(struct txn *t)
{
	struct match m;

	if (n_model && !rnd(3)) {
		struct model_rule *r = &model[rnd(n_model)];

		minimatch_expand(r->mm, &m);
		assert_int_equal(mod(t, FLOW_MOD_DELETE_STRICT, 0, r->priority, &m, 0, NULL), 0);
		r->live = false;
		return;
	}
	if (n_model == MODEL_MAX)
		return;
	random_match(&m);
	model[n_model] = (struct model_rule){
		.mm = minimatch_create(&m),
		/* Distinct priorities: the best rule is then one. */
		.priority = (uint16_t)(n_model * 7 % 65000 + 1),
		.cookie = n_model + 1,
		.live = true,
	};
	assert_int_equal(
		mod(t, FLOW_MOD_ADD, 0, model[n_model].priority, &m, model[n_model].cookie, NULL),
		0);
	n_model++;
}

static void lookups_equal_a_linear_scan(void **state)
{
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned step = 0; step < 30; step++) {
			struct model_rule before[MODEL_MAX];
			unsigned n_before = n_model;
			struct txn t;

			memcpy(before, model, sizeof model);
			txn_begin(&t);
			for (unsigned i = rnd(6) + 1; i; i--)
				churn(&t);
			if (rnd(4)) {
				txn_commit(&t);
			} else {
				txn_abort(&t);
				for (unsigned i = n_before; i < n_model; i++)
					free(model[i].mm);
				memcpy(model, before, sizeof model);
				n_model = n_before;
			}
			if (!rnd(3))
				tables_run(now_ms);
			for (unsigned i = 0; i < 20; i++) {
				struct flow fl, wc, other;
				const struct model_rule *want;
				const struct rule *got, *again;

				random_flow(&fl);
				want = scan(&fl);
				got = lookup(&fl, &wc);
				assert_int_equal(got ? got->cookie : 0, want ? want->cookie : 0);
				other = fl;
				flip_wildcarded(&other, &wc);
				again = lookup(&other, &wc);
				assert_ptr_equal(got, again);
				assert_ptr_equal(scan(&other), want);
			}
		}
		struct txn t;
		struct match all;

		match_init(&all);
		txn_begin(&t);
		assert_int_equal(mod(&t, FLOW_MOD_DELETE, TABLE_ALL, 0, &all, 0, NULL), 0);
		txn_commit(&t);
		assert_int_equal(flow_tables_n_rules(bridge), 0);
		model_clear();
		tables_run(now_ms);
		tables_run(now_ms);
		assert_int_equal(flow_table_get(bridge, 0)->cls.n_rules, 0);
		assert_int_equal(flow_table_get(bridge, 0)->cls.subtables.count, 0);
	}
}

/* 100 routes of /24 and an ACL rule: a flow to a route rests on its prefix only. */
static void routes_keep_masks_short(void **state)
{
	struct flow fl, wc;
	struct txn t;
	struct match m;

	txn_begin(&t);
	for (unsigned i = 0; i < 100; i++) {
		match_init(&m);
		m.value.key.eth_type = cpu_to_be16(0x0800);
		m.mask.key.eth_type = 0xffff;
		m.value.key.ip_dst = cpu_to_be32(0x0a000000 | i << 8);
		m.mask.key.ip_dst = cpu_to_be32(0xffffff00);
		assert_int_equal(mod(&t, FLOW_MOD_ADD, 0, 100, &m, i + 1, NULL), 0);
	}
	txn_commit(&t);
	memset(&fl, 0, sizeof fl);
	fl.key.eth_type = cpu_to_be16(0x0800);
	fl.key.ip_dst = cpu_to_be32(0x0a000507);
	assert_int_equal(lookup(&fl, &wc)->cookie, 6);
	assert_int_equal(wc.key.ip_dst, cpu_to_be32(0xffffff00));
	assert_int_equal(wc.key.ip_src, 0);
	assert_int_equal(wc.key.tp_dst, 0);
	/* far away: a few bits suffice */
	fl.key.ip_dst = cpu_to_be32(0xc0a80001);
	assert_null(lookup(&fl, &wc));
	assert_int_equal(wc.key.ip_dst, cpu_to_be32(0x80000000));
	/* not IP: the first stage decides */
	fl.key.eth_type = cpu_to_be16(0x0806);
	assert_null(lookup(&fl, &wc));
	assert_int_equal(wc.key.ip_dst, 0);
	assert_int_equal(wc.key.eth_type, 0xffff);
}

static void make_clauses(struct action_buf clause[2])
{
	for (unsigned i = 0; i < 2; i++) {
		struct action_conjunction *c =
			action_buf_put(&clause[i], ACTION_CONJUNCTION, sizeof *c);

		c->id = 7;
		c->clause = (uint8_t)i;
		c->n_clauses = 2;
	}
}

static void conjunctions(void **state)
{
	struct action_buf clause[2] = {{0}, {0}};
	struct flow fl, wc;
	struct txn t;
	struct match m;

	make_clauses(clause);
	txn_begin(&t);
	for (unsigned i = 1; i <= 3; i++) {
		match_init(&m);
		m.value.key.ip_src = cpu_to_be32(i);
		m.mask.key.ip_src = 0xffffffff;
		mod(&t, FLOW_MOD_ADD, 0, 50, &m, 100 + i, &clause[0]);
		match_init(&m);
		m.value.key.ip_dst = cpu_to_be32(i);
		m.mask.key.ip_dst = 0xffffffff;
		mod(&t, FLOW_MOD_ADD, 0, 50, &m, 200 + i, &clause[1]);
	}
	match_init(&m);
	m.value.regs.conj_id = cpu_to_be32(7);
	m.mask.regs.conj_id = 0xffffffff;
	mod(&t, FLOW_MOD_ADD, 0, 50, &m, 300, NULL);
	match_init(&m);
	mod(&t, FLOW_MOD_ADD, 0, 1, &m, 1, NULL);
	txn_commit(&t);
	memset(&fl, 0, sizeof fl);
	fl.key.ip_src = cpu_to_be32(2);
	fl.key.ip_dst = cpu_to_be32(3);
	assert_int_equal(lookup(&fl, &wc)->cookie, 300);
	fl.key.ip_dst = cpu_to_be32(4);
	assert_int_equal(lookup(&fl, &wc)->cookie, 1);
	fl.key.ip_dst = cpu_to_be32(1);
	fl.key.ip_src = cpu_to_be32(9);
	assert_int_equal(lookup(&fl, &wc)->cookie, 1);
	action_buf_free(&clause[0]);
	action_buf_free(&clause[1]);
}

/* The search with conj_id passes conjunctive flows by, but not the rules behind them. */
static void behind_a_conjunctive_flow(void **state)
{
	struct action_buf clause[2] = {{0}, {0}};
	struct flow fl, wc;
	struct txn t;
	struct match m;

	make_clauses(clause);
	txn_begin(&t);
	match_init(&m);
	m.value.key.ip_src = cpu_to_be32(1);
	m.mask.key.ip_src = 0xffffffff;
	mod(&t, FLOW_MOD_ADD, 0, 50, &m, 100, &clause[0]);
	match_init(&m);
	m.value.key.ip_dst = cpu_to_be32(3);
	m.mask.key.ip_dst = 0xffffffff;
	mod(&t, FLOW_MOD_ADD, 0, 50, &m, 200, &clause[1]);
	mod(&t, FLOW_MOD_ADD, 0, 40, &m, 400, NULL);
	match_init(&m);
	m.value.regs.conj_id = cpu_to_be32(7);
	m.mask.regs.conj_id = 0xffffffff;
	mod(&t, FLOW_MOD_ADD, 0, 30, &m, 300, NULL);
	txn_commit(&t);
	memset(&fl, 0, sizeof fl);
	fl.key.ip_src = cpu_to_be32(1);
	fl.key.ip_dst = cpu_to_be32(3);
	assert_int_equal(lookup(&fl, &wc)->cookie, 400);
	action_buf_free(&clause[0]);
	action_buf_free(&clause[1]);
}

/* ---- flow mods ---- */
static int mod_full(const struct flow_mod *fm, uint32_t *ofp)
{
	struct txn t;
	int r;

	txn_begin(&t);
	t.now_ms = now_ms;
	r = flow_mod(&t, bridge, fm, NULL, ofp, NULL);
	if (r)
		txn_abort(&t);
	else
		txn_commit(&t);
	return r;
}

static struct minimatch *ip_dst_match(uint32_t addr, uint32_t mask)
{
	struct match m;

	match_init(&m);
	m.value.key.ip_dst = cpu_to_be32(addr & mask);
	m.mask.key.ip_dst = cpu_to_be32(mask);
	return minimatch_create(&m);
}

static const struct rule *only_rule(void)
{
	struct rule_filter f;
	uint64_t cursor = 0;
	const struct rule *r;

	rule_filter_init(&f);
	r = rule_next(bridge, &f, &cursor);
	assert_non_null(r);
	assert_null(rule_next(bridge, &f, &cursor));
	return r;
}

static void add_replace_modify_delete(void **state)
{
	struct minimatch *mm = ip_dst_match(0x0a000000, 0xff000000);
	struct minimatch *narrow = ip_dst_match(0x0a010000, 0xffff0000);
	struct minimatch *any = ip_dst_match(0, 0);
	struct action_buf out = {0};
	struct flow_mod fm;
	const struct rule *r;
	uint32_t ofp;

	action_put_output(&out, 3, 0);
	flow_mod_init(&fm);
	fm.match = mm;
	fm.cookie = 0x11;
	fm.blob = (const uint8_t *)"blob";
	fm.blob_len = 4;
	fm.idle_timeout_s = 30;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	r = only_rule();
	assert_int_equal(r->blob_len, 4);
	assert_memory_equal(rule_blob(r), "blob", 4);
	credit_add(&r->stats->credit, 5, 500, now_ms, 0);
	/* the same again keeps the counters, unless told */
	fm.cookie = 0x12;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	r = only_rule();
	assert_int_equal(r->cookie, 0x12);
	assert_int_equal(r->stats->credit.pkts, 5);
	fm.flags = RULE_RESET_COUNTS;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(only_rule()->stats->credit.pkts, 0);
	/* modify: actions and cookie change, timeouts stay; nothing that is wider is touched */
	credit_add(&only_rule()->stats->credit, 2, 200, now_ms, 0);
	flow_mod_init(&fm);
	fm.command = FLOW_MOD_MODIFY;
	fm.match = narrow;
	fm.cookie = UINT64_MAX;
	fm.actions = out.data;
	fm.actions_len = (uint32_t)out.len;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(only_rule()->actions_len, 0);
	fm.match = any;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	r = only_rule();
	assert_int_equal(r->actions_len, out.len);
	assert_int_equal(r->cookie, 0x12);
	assert_int_equal(r->idle_s, 30);
	assert_int_equal(r->stats->credit.pkts, 2);
	/* modify that adds (OpenFlow 1.0) */
	fm.command = FLOW_MOD_MODIFY_STRICT;
	fm.match = narrow;
	fm.priority = 7;
	fm.cookie = 5;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	fm.flags = RULE_MODIFY_ADDS;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 2);
	/* overlap is an error only of the same priority, and not of the rule itself */
	flow_mod_init(&fm);
	fm.match = narrow;
	fm.flags = RULE_CHECK_OVERLAP;
	assert_int_equal(mod_full(&fm, &ofp), -EEXIST);
	assert_int_equal(ofp, FM_ERR_OVERLAP);
	fm.priority = 7;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	/* delete by cookie, by out_port, strict */
	flow_mod_init(&fm);
	fm.command = FLOW_MOD_DELETE;
	fm.table = TABLE_ALL;
	fm.match = any;
	fm.cookie_match = 0x999;
	fm.cookie_mask = UINT64_MAX;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 2);
	fm.cookie_mask = 0;
	fm.out_port = 4;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 2);
	fm.out_port = 3;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	fm.out_port = OFP_PORT_ANY;
	fm.command = FLOW_MOD_DELETE_STRICT;
	fm.priority = 6;
	fm.match = narrow;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	fm.priority = 7;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	assert_int_equal(flow_tables_n_rules(bridge), 0);
	/* a table that is not there */
	flow_mod_init(&fm);
	fm.match = any;
	fm.table = 254;
	assert_int_equal(mod_full(&fm, &ofp), -EINVAL);
	assert_int_equal(ofp, FM_ERR_BAD_TABLE_ID);
	free(mm);
	free(narrow);
	free(any);
	action_buf_free(&out);
}

/* ---- events ---- */
static unsigned n_added, n_removed;
static enum rule_removed_reason last_reason;

static void on_added(void *aux, const struct rule *r, bool modified, bool by_learn,
		     struct table_cause cause)
{
	n_added++;
}
static void on_removed(void *aux, const struct rule *r, enum rule_removed_reason why,
		       struct table_cause cause)
{
	n_removed++;
	last_reason = why;
}
static const struct table_sink sink = {.rule_added = on_added, .rule_removed = on_removed};

static void timeouts_and_eviction(void **state)
{
	struct minimatch *mm = ip_dst_match(1, 0xffffffff), *mm2 = ip_dst_match(2, 0xffffffff);
	struct flow_table_config c = {.max_entries = 1, .miss = TABLE_MISS_DEFAULT};
	struct flow_mod fm;
	struct txn t;
	uint32_t ofp;

	table_events_sink(&sink);
	n_added = n_removed = 0;
	flow_mod_init(&fm);
	fm.match = mm;
	fm.idle_timeout_s = 10;
	fm.hard_timeout_s = 25;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	tables_run(now_ms);
	assert_int_equal(n_added, 1);
	tables_run(now_ms + 9900);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	credit_add(&only_rule()->stats->credit, 1, 60, now_ms + 9000, 0);
	tables_run(now_ms + 11000);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	tables_run(now_ms + 19500);
	assert_int_equal(flow_tables_n_rules(bridge), 0);
	assert_int_equal(n_removed, 1);
	assert_int_equal(last_reason, RULE_REMOVED_IDLE);
	now_ms += 20000;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	for (unsigned s = 1; s <= 24; s++) {
		credit_add(&only_rule()->stats->credit, 1, 60, now_ms + s * 1000, 0);
		tables_run(now_ms + s * 1000);
		assert_int_equal(flow_tables_n_rules(bridge), 1);
	}
	tables_run(now_ms + 25000);
	assert_int_equal(last_reason, RULE_REMOVED_HARD);
	now_ms += 30000;
	/* a full table refuses, or evicts what matters least */
	txn_begin(&t);
	flow_table_set(&t, bridge, 0, &c, NULL);
	txn_commit(&t);
	assert_int_equal(mod_full(&fm, &ofp), 0);
	fm.match = mm2;
	assert_int_equal(mod_full(&fm, &ofp), -ENOSPC);
	assert_int_equal(ofp, FM_ERR_TABLE_FULL);
	c.eviction = true;
	txn_begin(&t);
	flow_table_set(&t, bridge, 0, &c, NULL);
	txn_commit(&t);
	assert_int_equal(mod_full(&fm, &ofp), 0);
	tables_run(now_ms);
	assert_int_equal(last_reason, RULE_REMOVED_EVICTION);
	assert_int_equal(flow_tables_n_rules(bridge), 1);
	free(mm);
	free(mm2);
}

/* Many at once are told, and then freed, in several runs: when they are counted, as for a
 * recording, in so many; when they are timed, in one or more. */
static void change_many(bool counted)
{
	enum { RULES = 3000 };
	struct flow_mod fm;
	struct minimatch *every;
	struct match all;
	unsigned runs = 0;
	uint32_t ofp;

	table_events_sink(&sink);
	rcu_note_calls(counted);
	n_added = n_removed = 0;
	for (unsigned i = 0; i < RULES; i++) {
		struct minimatch *mm = ip_dst_match(i, 0xffffffff);

		flow_mod_init(&fm);
		fm.match = mm;
		assert_int_equal(mod_full(&fm, &ofp), 0);
		free(mm);
	}
	flow_mod_init(&fm);
	match_init(&all);
	fm.match = every = minimatch_create(&all);
	fm.command = FLOW_MOD_DELETE;
	fm.table = TABLE_ALL;
	assert_int_equal(mod_full(&fm, &ofp), 0);
	free(every);
	if (counted) {
		assert_true(tables_run(now_ms));
		assert_in_range(n_added, 1, RULES - 1);
		assert_int_equal(n_removed, 0);
	}
	/* no rule is unlinked before its removal was told */
	assert_int_equal(flow_table_get(bridge, 0)->cls.n_rules, RULES);
	while (tables_run(now_ms))
		assert_true(flow_table_get(bridge, 0)->cls.n_rules >= RULES - n_removed &&
			    ++runs < RULES);
	assert_int_equal(n_added, RULES);
	assert_int_equal(n_removed, RULES);
	assert_int_equal(last_reason, RULE_REMOVED_DELETE);
	assert_int_equal(flow_table_get(bridge, 0)->cls.n_rules, 0);
	rcu_note_calls(false);
}

static void many_changes_are_told_in_slices(void **state)
{
	change_many(true);
	change_many(false);
}

static void dumps_go_on_after_changes(void **state)
{
	struct rule_filter f;
	uint64_t cursor = 0;
	unsigned seen = 0;
	struct flow_mod fm;
	uint32_t ofp;

	flow_mod_init(&fm);
	for (unsigned i = 0; i < 1000; i++) {
		struct minimatch *mm = ip_dst_match(i, 0xffffffff);

		fm.match = mm;
		fm.cookie = i;
		fm.table = (uint8_t)(i % 3);
		mod_full(&fm, &ofp);
		free(mm);
	}
	rule_filter_init(&f);
	while (rule_next(bridge, &f, &cursor)) {
		if (seen++ == 100) {
			struct minimatch *mm = ip_dst_match(0, 0);

			fm.match = mm;
			fm.command = FLOW_MOD_DELETE;
			fm.table = 1;
			mod_full(&fm, &ofp);
			tables_run(now_ms);
			free(mm);
		}
	}
	assert_int_equal(seen, 334 + 333);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(lookups_equal_a_linear_scan),
		T(routes_keep_masks_short),
		T(conjunctions),
		T(behind_a_conjunctive_flow),
		T(add_replace_modify_delete),
		T(timeouts_and_eviction),
		T(many_changes_are_told_in_slices),
		T(dumps_go_on_after_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
