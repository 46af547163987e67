/* SPDX-License-Identifier: BSD-3-Clause */
/* POLL, MEGAFLOWS. */
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/vec.h"
#include "datapath/core/counters.h"
#include "datapath/poll/poll.h"
#include "datapath/server/dump.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/flow/match.h"
#include "datapath/table/rule.h"

#define LOOK(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

static void put_port_name(struct msg *m, uint32_t port_id)
{
	const struct port_object *p = registry_port_by_id(port_id);

	msg_put_str(m, ATTR_PORT, p ? p->o.name : "");
}

static void put_rxq(struct msg *m, const struct poll_rxq_info *q)
{
	size_t at = msg_nest_begin(m, ATTR_RXQ);

	put_port_name(m, q->port_id);
	msg_put_u16(m, ATTR_QUEUE, q->queue);
	msg_put_u16(m, ATTR_PINNED_CORE, q->pinned_core);
	msg_put_u32(m, ATTR_BUSY_PERMILLE, q->busy_permille);
	msg_put_u64(m, ATTR_PKTS, q->pkts);
	if (q->pkts)
		msg_put_u32(m, ATTR_CYCLES_PER_PKT, (uint32_t)(q->cycles / q->pkts));
	msg_nest_end(m, at);
}

/* What a thread's packets found, of the ports that there are. */
static void put_lookups(struct msg *m, unsigned thread)
{
	uint64_t hits = 0, by_mask = 0, misses = 0, over = 0;

	for (uint32_t p = 0; p < PORT_ID_MAX; p++) {
		const struct port_counters *k = counters_of(thread, p);

		if (!k)
			continue;
		hits += LOOK(k->cache_hits);
		by_mask += LOOK(k->megaflow_hits);
		misses += LOOK(k->misses);
		over += LOOK(k->over_quota);
	}
	msg_put_u64(m, ATTR_CACHE_HITS, hits);
	msg_put_u64(m, ATTR_MEGAFLOW_HITS, by_mask);
	msg_put_u64(m, ATTR_MISSES, misses);
	msg_put_u64(m, ATTR_OVER_QUOTA, over);
}

static void put_thread(struct msg *m, const struct poll_thread_info *t)
{
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_u16(m, ATTR_CORE, t->core);
	msg_put_u32(m, ATTR_ID, t->idx);
	msg_put_u32(m, ATTR_BUSY_PERMILLE, t->busy_permille);
	msg_put_u64(m, ATTR_PKTS, t->pkts);
	if (t->pkts)
		msg_put_u32(m, ATTR_CYCLES_PER_PKT, (uint32_t)(t->cycles_busy / t->pkts));
	msg_put_bytes(m, ATTR_STAGE_CYCLES, t->stage_cycles, sizeof t->stage_cycles);
	msg_put_u64(m, ATTR_ITERATIONS, t->iterations);
	msg_put_u64(m, ATTR_SLEEPS, t->sleeps);
	msg_put_u64(m, ATTR_SLEEP_US, t->sleep_us);
	msg_put_u32(m, ATTR_MEGAFLOWS, t->megaflows);
	msg_put_u32(m, ATTR_MASKS, t->masks);
	put_lookups(m, t->idx);
	for (unsigned i = 0; i < SL_MIN(t->n_rxq, (unsigned)POLL_INFO_RXQS); i++)
		put_rxq(m, &t->rxq[i]);
	msg_nest_end(m, at);
}

struct poll_dump {
	struct dump d;
	unsigned next;
	struct poll_thread_info info; /* 10 kB: not on the stack */
};

static bool step_poll(struct dump *d, struct msg *m)
{
	struct poll_dump *s = SL_CONTAINER_OF(d, struct poll_dump, d);

	while (dump_has_room(m) && s->next < poll_thread_count())
		if (poll_thread_info(s->next++, &s->info))
			put_thread(m, &s->info);
	return s->next < poll_thread_count();
}

static void free_poll(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct poll_dump, d));
}

void request_POLL(struct conn *c, struct attrs a)
{
	struct poll_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step_poll, free_poll};
	conn_dump(c, &s->d);
}

/* ---- megaflows ---- */

/* Entries come and go too fast for a cursor: a snapshot, cut into messages that are sent as the
 * client reads. Bounded by the caches' own size. */
struct megaflow_dump {
	struct dump d;
	VEC(struct msg) chunks; /* attributes behind an unused header */
	size_t next;
	struct dump_filter filter;
	uint64_t now_ms;
};

static bool wants_port(const struct megaflow_dump *s, uint32_t port_id)
{
	const struct port_object *p = registry_port_by_id(port_id);

	if (!*s->filter.bridge && !*s->filter.port)
		return true;
	return p && p->o.exists && dump_wants_port(&s->filter, p);
}

/* What tells the rule from others; its actions are in dumps of rules. */
static void put_rule(struct msg *m, const struct credit_target *credit)
{
	const struct rule *r = rule_of_credit(credit);
	struct match full;

	if (!r)
		return;
	size_t at = msg_nest_begin(m, ATTR_RULE);
	rule_match(r, &full);
	struct minimatch *mm = minimatch_create(&full);
	msg_put_u8(m, ATTR_TABLE, r->table);
	msg_put_u16(m, ATTR_PRIORITY, r->priority);
	msg_put_u64(m, ATTR_COOKIE, r->cookie);
	msg_put_bytes(m, ATTR_MATCH, mm, minimatch_size(mm));
	msg_nest_end(m, at);
	free(mm);
}

static void put_megaflow(const struct poll_megaflow *mf, void *aux)
{
	struct megaflow_dump *s = aux;

	if (!wants_port(s, mf->port_id))
		return;
	if (!s->chunks.len || !dump_has_room(&vec_last(&s->chunks))) {
		struct msg m;

		msg_init(&m, 0, 0);
		vec_push(&s->chunks, m);
	}
	struct msg *m = &vec_last(&s->chunks);
	size_t at = msg_nest_begin(m, ATTR_OBJECT);
	put_port_name(m, mf->port_id);
	msg_put_u32(m, ATTR_ID, mf->thread);
	msg_put_u16(m, ATTR_CORE, mf->core);
	msg_put_bytes(m, ATTR_KEY_LINES, mf->match, minimatch_size(mf->match));
	msg_put_u64(m, ATTR_PKTS, mf->pkts);
	msg_put_u64(m, ATTR_BYTES_COUNT, mf->bytes);
	msg_put_u64(m, ATTR_IDLE_AGE_MS, mf->used_ms ? s->now_ms - mf->used_ms : 0);
	msg_put_u64(m, ATTR_VERSION, mf->version);
	msg_put_u16(m, ATTR_TCP_FLAGS, mf->tcp_flags);
	msg_put_str(m, ATTR_PROGRAM_TEXT, mf->program);
	for (unsigned i = 0; i < mf->n_credits; i++)
		put_rule(m, mf->credits[i]);
	msg_nest_end(m, at);
}

static bool step_megaflows(struct dump *d, struct msg *m)
{
	struct megaflow_dump *s = SL_CONTAINER_OF(d, struct megaflow_dump, d);

	if (s->next < s->chunks.len) {
		struct msg *chunk = &s->chunks.at[s->next++];
		struct attrs all = {chunk->data + sizeof(struct msg_header),
				    chunk->len - sizeof(struct msg_header)};

		ATTR_FOR_EACH (a, all)
			msg_put_bytes(m, (enum api_attr)a->id, a->value, a->len);
		msg_free(chunk);
	}
	return s->next < s->chunks.len;
}

static void free_megaflows(struct dump *d)
{
	struct megaflow_dump *s = SL_CONTAINER_OF(d, struct megaflow_dump, d);

	for (; s->next < s->chunks.len; s->next++)
		msg_free(&s->chunks.at[s->next]);
	vec_free(&s->chunks);
	free(s);
}

void request_MEGAFLOWS(struct conn *c, struct attrs a)
{
	struct megaflow_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step_megaflows, free_megaflows};
	s->now_ms = clock_mono_ms();
	dump_filter_init(&s->filter, a);
	if (dump_refused(c, &s->filter)) {
		free_megaflows(&s->d);
		return;
	}
	poll_megaflow_dump(put_megaflow, s);
	conn_dump(c, &s->d);
}
