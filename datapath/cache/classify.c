/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/classify.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"

LOG_MODULE(cache);

static const struct classify_ops *const all[] = {&classify_avx512, &classify_avx2, &classify_sse42,
						 &classify_scalar};
const struct classify_ops *classify_now = &classify_scalar;
flow_cache_classify_fn flow_cache_classify, flow_cache_classify_keys;

static bool supported(const struct classify_ops *o)
{
	__builtin_cpu_init();
	if (o == &classify_avx512)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
		       __builtin_cpu_supports("aes");
	if (o == &classify_avx2)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes");
	if (o == &classify_sse42)
		return __builtin_cpu_supports("sse4.2");
	return true;
}

void flow_cache_select_isa(const char *name)
{
	if (!name)
		name = getenv("SLUICE_SIMD");
	for (size_t i = 0; i < SL_ARRAY_SIZE(all); i++) {
		if ((name && strcmp(name, all[i]->name)) || !supported(all[i]))
			continue;
		classify_now = all[i];
		flow_cache_classify = all[i]->burst;
		flow_cache_classify_keys = all[i]->keys;
		return;
	}
	log_warn("SLUICE_SIMD=%s: not known or not supported by this CPU: using scalar code", name);
	classify_now = &classify_scalar;
	flow_cache_classify = classify_scalar.burst;
	flow_cache_classify_keys = classify_scalar.keys;
}

const char *flow_cache_isa(void)
{
	return classify_now->name;
}

/* One key at a time, for recirculation, queued packets and misses of the same burst: the table
 * only. */
struct megaflow *flow_cache_find(struct flow_cache *c, struct port_cache *pc,
				 const struct flow_key *key, uint16_t lines, uint32_t version,
				 uint32_t now_ms, struct megaflow **stale)
{
	*stale = NULL;
	for (unsigned k = 0; k < pc->n_order; k++) {
		unsigned slot = pc->order[k];
		struct mf_mask *m = pc->mask[slot];

		for (uint32_t i = c->head[classify_now->hash_masked(c, m, key) & c->head_mask]; i;
		     i = c->flow[i].next) {
			struct megaflow *mf = &c->flow[i];

			if (mf->mask_idx != slot || !megaflow_matches(mf, m, key, lines))
				continue;
			m->hits++;
			if (flow_cache_is_fresh(c, mf, version, now_ms))
				return mf;
			*stale = mf;
			return NULL;
		}
	}
	return NULL;
}
