/* SPDX-License-Identifier: BSD-3-Clause */
/* Timeouts of rules. A binary heap holds, for each rule with a timeout, a time before which it
 * cannot be due; traffic does not touch the heap, an idle timeout is looked at again when that time
 * comes. Main thread, under the version lock; the heap also by learn actions on poll threads. */
#include <stdlib.h>

#include "datapath/table/bridge.h"
#include "datapath/table/flow_table_priv.h"

enum {
	EXPIRE_MAX = 4096, /* rules looked at in one go: bounds how long the lock is held */
	FIN_EVERY_MS = 500,
	TCP_FIN_RST = 0x001 | 0x004, /* RFC 9293 §3.1 control bits */
};

/* ---- heap ---- */
static void put(struct flow_tables *ts, size_t i, struct flow_timer t)
{
	ts->timers.at[i] = t;
	t.r->timer_at = (uint32_t)i + 1;
}

static void sift_up(struct flow_tables *ts, size_t i, struct flow_timer t)
{
	while (i && ts->timers.at[(i - 1) / 2].due_ms > t.due_ms) {
		put(ts, i, ts->timers.at[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(ts, i, t);
}

static void sift_down(struct flow_tables *ts, size_t i, struct flow_timer t)
{
	size_t n = ts->timers.len, child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n && ts->timers.at[child + 1].due_ms < ts->timers.at[child].due_ms)
			child++;
		if (ts->timers.at[child].due_ms >= t.due_ms)
			break;
		put(ts, i, ts->timers.at[child]);
		i = child;
	}
	put(ts, i, t);
}

/* When the rule's timeouts run out as things are, and by which of them. */
static uint64_t due_ms(const struct rule *r, enum rule_removed_reason *why)
{
	uint64_t used = __atomic_load_n(&r->stats->credit.used_ms, __ATOMIC_RELAXED);
	uint64_t hard = r->hard_s ? r->modified_ms + r->hard_s * 1000ull : UINT64_MAX;
	uint64_t idle = r->idle_s ? SL_MAX(used, r->modified_ms) + r->idle_s * 1000ull : UINT64_MAX;

	*why = hard <= idle ? RULE_REMOVED_HARD : RULE_REMOVED_IDLE;
	return SL_MIN(hard, idle);
}

uint64_t flow_rule_due_ms(const struct rule *r)
{
	enum rule_removed_reason why;

	return due_ms(r, &why);
}

void flow_timer_add(struct flow_tables *ts, struct rule *r)
{
	enum rule_removed_reason why;
	struct flow_timer t = {due_ms(r, &why), r};

	vec_push(&ts->timers, t);
	sift_up(ts, ts->timers.len - 1, t);
}

void flow_timer_remove(struct flow_tables *ts, struct rule *r)
{
	size_t i = r->timer_at - 1;
	struct flow_timer last = vec_last(&ts->timers);

	ts->timers.len--;
	r->timer_at = 0;
	if (last.r == r)
		return;
	if (i && ts->timers.at[(i - 1) / 2].due_ms > last.due_ms)
		sift_up(ts, i, last);
	else
		sift_down(ts, i, last);
}

/* ---- fin_timeout (ovs-actions(7)): shorter timeouts once TCP closes ---- */
static uint16_t shorter(uint16_t now_s, uint16_t fin_s)
{
	return fin_s && (!now_s || fin_s < now_s) ? fin_s : now_s;
}

void flow_fin_add(struct flow_tables *ts, struct rule *r)
{
	vec_push(&ts->fin_rules, r);
	r->fin_at = (uint32_t)ts->fin_rules.len;
}

void flow_fin_remove(struct flow_tables *ts, struct rule *r)
{
	size_t i = r->fin_at - 1;

	vec_swap_remove(&ts->fin_rules, i);
	if (i < ts->fin_rules.len)
		ts->fin_rules.at[i]->fin_at = (uint32_t)i + 1;
	r->fin_at = 0;
}

static void apply_fin(struct flow_tables *ts)
{
	for (size_t i = 0; i < ts->fin_rules.len;) {
		struct rule *r = ts->fin_rules.at[i];

		if (!(r->stats->credit.tcp_flags & TCP_FIN_RST)) {
			i++;
			continue;
		}
		flow_fin_remove(ts, r);
		r->idle_s = shorter(r->idle_s, r->fin_idle_s);
		r->hard_s = shorter(r->hard_s, r->fin_hard_s);
		if (r->timer_at)
			flow_timer_remove(ts, r);
		flow_timer_add(ts, r);
	}
}

/* By table and place. The heap's order among equals is history, which a recording does not have. */
static int compare_places(const void *a, const void *b)
{
	const struct rule *x = *(struct rule *const *)a, *y = *(struct rule *const *)b;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

bool flow_tables_expire(struct bridge *b, uint64_t now_ms)
{
	struct flow_tables *ts = b->tables;
	enum rule_removed_reason why;
	VEC(struct rule *) ended = {0};
	struct txn t;
	unsigned looked = 0;

	/* A glance without the lock; what a learn action adds meanwhile is seen next time. */
	if (!__atomic_load_n(&ts->timers.len, __ATOMIC_RELAXED) && !ts->fin_rules.len)
		return false;
	txn_begin(&t);
	t.now_ms = now_ms;
	if (now_ms >= ts->fin_at_ms) {
		ts->fin_at_ms = now_ms + FIN_EVERY_MS;
		apply_fin(ts);
	}
	while (ts->timers.len && ts->timers.at[0].due_ms <= now_ms && looked++ < EXPIRE_MAX) {
		struct rule *r = ts->timers.at[0].r;
		uint64_t due = due_ms(r, &why);

		if (due > now_ms) {
			sift_down(ts, 0, (struct flow_timer){due, r});
		} else {
			flow_timer_remove(ts, r);
			vec_push(&ended, r);
		}
	}
	if (ended.len > 1)
		qsort(ended.at, ended.len, sizeof ended.at[0], compare_places);
	VEC_FOR_EACH (it, &ended) {
		due_ms(*it, &why);
		if (rule_is_live(*it)) /* one that went may have taken what it had learnt along */
			flow_rule_remove(&t, ts, *it, why);
	}
	vec_free(&ended);
	bool more = looked > EXPIRE_MAX;
	txn_commit(&t);
	return more;
}
