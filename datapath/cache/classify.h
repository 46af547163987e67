/* SPDX-License-Identifier: BSD-3-Clause */
/* Which build of the lookup runs: classify_<isa>.c are the same source (classify_impl.h) compiled
 * for one instruction set each; the choice is made once at start. Poll threads. */
#pragma once
#include "datapath/cache/flow_cache.h"

struct classify_ops {
	const char *name;
	flow_cache_classify_fn burst, keys;
	uint64_t (*hash_masked)(const struct flow_cache *c, const struct mf_mask *m,
				const struct flow_key *key);
	uint64_t (*hash_relevant)(const struct flow_cache *c, const struct relevance *r,
				  const struct flow_key *key);
};
extern const struct classify_ops classify_scalar, classify_sse42, classify_avx2, classify_avx512;
extern const struct classify_ops *classify_now;

/* The megaflow table's hash of a key under a mask. `key` must have zeros in lines it does not fill.
 */
static inline uint64_t classify_hash_masked(const struct flow_cache *c, const struct mf_mask *m,
					    const struct flow_key *key)
{
	return classify_now->hash_masked(c, m, key);
}
