/* SPDX-License-Identifier: BSD-3-Clause */
/* The main thread's side of a poll thread's cache: crediting what was counted, freeing what was
 * retired, putting memory in place ahead of the thread, dumps. Never writes to a megaflow. */
#include <string.h>
#include <sys/mman.h>

#include "datapath/cache/flow_cache.h"
#include "datapath/core/rcu.h"
#include "datapath/flow/match.h"

static uint64_t widen_ms(uint32_t used_ms, uint64_t now_ms)
{
	return now_ms - (uint32_t)((uint32_t)now_ms - used_ms);
}

static void credit(struct mf_info *info, uint64_t pkts, uint64_t bytes, uint32_t used_ms,
		   uint16_t tcp_flags, uint64_t now_ms)
{
	uint64_t new_pkts = pkts - info->seen_pkts, new_bytes = bytes - info->seen_bytes;

	if (!new_pkts)
		return;
	info->seen_pkts = pkts;
	info->seen_bytes = bytes;
	for (unsigned i = 0; i < info->n_targets; i++)
		credit_add(info->target[i], new_pkts, new_bytes, widen_ms(used_ms, now_ms),
			   tcp_flags);
}

static void free_infos(void *p)
{
	struct mf_info *info = p, *next;

	for (; info; info = next) {
		next = info->next_retired;
		mf_info_put_targets(info);
		info_pool_put(info->pool, info);
	}
}

void flow_cache_drain(struct flow_cache *c, uint64_t now_ms)
{
	struct mf_info *all = __atomic_exchange_n(&c->retired, NULL, __ATOMIC_ACQUIRE);

	for (struct mf_info *r = all; r; r = r->next_retired)
		credit(r, r->final_pkts, r->final_bytes, r->final_used_ms, r->final_tcp_flags,
		       now_ms);
	if (all)
		rcu_defer_noted(free_infos, all);
}

void flow_cache_collect(struct flow_cache *c, uint64_t now_ms)
{
	uint32_t top = __atomic_load_n(&c->flow_top, __ATOMIC_ACQUIRE);

	for (uint32_t i = 1; c->flow && i < top; i++) {
		struct megaflow *mf = &c->flow[i];
		struct mf_info *info = __atomic_load_n(&mf->info, __ATOMIC_ACQUIRE);

		if (!info)
			continue;
		uint64_t bytes = __atomic_load_n(&mf->bytes, __ATOMIC_RELAXED);
		uint64_t pkts = __atomic_load_n(&mf->pkts, __ATOMIC_RELAXED);
		uint32_t used = mf->used_ms;
		uint16_t tcp_flags = mf->tcp_flags;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* The slot may have changed hands while we read; its old info then waits in
		 * `retired` with the final counts. */
		if (__atomic_load_n(&mf->info, __ATOMIC_RELAXED) != info ||
		    pkts < info->seen_pkts || bytes < info->seen_bytes)
			continue;
		credit(info, pkts, bytes, used, tcp_flags, now_ms);
	}
	flow_cache_drain(c, now_ms);
}

/* Pages of the megaflows that the thread will come to next: two blocks ahead. */
static void prepare_flows(struct flow_cache *c)
{
	enum { AHEAD = 2 << 20 };
	size_t used = __atomic_load_n(&c->flow_top, __ATOMIC_RELAXED) * sizeof *c->flow;
	size_t all = ((size_t)c->flow_limit + 1) * sizeof *c->flow;
	size_t want = used < AHEAD / 2 ? 0 : SL_MIN(used * 2, used + 4 * (size_t)AHEAD);
	uint8_t *base = (uint8_t *)c->flow;

	want = SL_MIN(want, all) & ~(size_t)4095;
#ifdef MADV_POPULATE_WRITE
	while (c->prepared_bytes < want) {
		size_t n = SL_MIN(want - c->prepared_bytes, (size_t)AHEAD);

		if (madvise(base + c->prepared_bytes, n, MADV_POPULATE_WRITE))
			return;
		c->prepared_bytes += n;
	}
#endif
}

void flow_cache_prepare(struct flow_cache *c)
{
	info_pool_prepare(c->infos);
	prepare_flows(c);
}

void flow_cache_dump(struct flow_cache *c,
		     void (*fn)(const struct megaflow *mf, const struct minimatch *match,
				const struct program *prog, void *aux),
		     void *aux)
{
	uint32_t top = __atomic_load_n(&c->flow_top, __ATOMIC_ACQUIRE);
	union {
		struct minimatch mm;
		uint8_t room[sizeof(struct minimatch) + 2 * FLOW_KEY_LINES * FLOW_LINE_BYTES];
	} m;

	for (uint32_t i = 1; i < top; i++) {
		struct megaflow copy = c->flow[i];
		struct mf_info *info = __atomic_load_n(&c->flow[i].info, __ATOMIC_ACQUIRE);

		if (!info || copy.info != info)
			continue;
		/* Nobody but this thread frees infos. */
		memset(&m.mm, 0, sizeof m.mm);
		m.mm.lines = info->mask_lines;
		m.mm.n_lines = (uint16_t)__builtin_popcount(info->mask_lines);
		memcpy(m.mm.data, info->lines, 2u * m.mm.n_lines * FLOW_LINE_BYTES);
		fn(&copy, &m.mm, info->prog, aux);
	}
}
