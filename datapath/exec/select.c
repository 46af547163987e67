/* SPDX-License-Identifier: BSD-3-Clause */
/* Select groups: the bucket is chosen per packet, so that the cache entry need not be exact on what
 * the hash reads. Both directions of a connection choose alike by default. Poll thread. */
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/core/pool.h"
#include "datapath/exec/ops.h"
#include "datapath/exec/select.h"
#include "datapath/flow/match.h"

static uint64_t hash_named(const struct flow_key *key, const struct minimatch *fields,
			   uint32_t basis)
{
	uint64_t h = basis;
	unsigned at = 0;

	for (unsigned rest = fields->lines; rest; rest &= rest - 1, at++) {
		unsigned l = (unsigned)__builtin_ctz(rest);

		if (l >= FLOW_KEY_LINES)
			continue; /* registers are gone by now: resolve has made them exact */
		for (unsigned i = 0; i < FLOW_LINE_BYTES; i += 8) {
			uint64_t k, m;

			memcpy(&k, (const uint8_t *)key + l * FLOW_LINE_BYTES + i, 8);
			memcpy(&m, fields->data[fields->n_lines + at] + i, 8);
			if (m)
				h = hash_u64(h ^ (k & m)) + i;
		}
	}
	return h;
}

static uint64_t hash_symmetric(const struct flow_key *key, uint16_t lines, uint32_t basis)
{
	uint64_t src = 0, dst = 0, h = basis;

	memcpy(&src, key->eth_src, 6);
	memcpy(&dst, key->eth_dst, 6);
	h = hash_u64(h ^ (src ^ dst) ^ ((uint64_t)key->eth_type << 48));
	h = hash_u64(h ^ key->ip_src ^ key->ip_dst ^ ((uint64_t)key->ip_proto << 32));
	if (!(key->ip_frag & FLOW_FRAG_LATER) && key->ip_proto != 1 && key->ip_proto != 58)
		h = hash_u64(h ^ key->tp_src ^ key->tp_dst);
	for (unsigned i = 0; (lines & (1u << FLOW_LINE_IPV6)) && i < 16; i += 8) {
		memcpy(&src, key->ipv6_src + i, 8);
		memcpy(&dst, key->ipv6_dst + i, 8);
		h = hash_u64(h ^ src ^ dst);
	}
	return h;
}

uint32_t select_point(const struct prog_select *s, const struct flow_key *key, uint16_t lines)
{
	uint64_t h = s->fields ? hash_named(key, s->fields, s->basis)
			       : hash_symmetric(key, lines, s->basis);

	return (uint32_t)(((h >> 32) * s->total_weight) >> 32);
}

enum exec_next exec_GROUP_SELECT(struct exec *x, struct packet *p, const union prog_word *w,
				 bool last)
{
	const struct prog_select *s = (const struct prog_select *)&w[1];
	const union prog_word *at = w + 1 + sizeof *s / 8, *end = w + 1 + w->op.b;
	struct rte_mbuf *m = p->m;
	struct flow_key key;
	struct flow_offsets ofs;

	if (m->nb_segs > 1 && m->data_len < 256)
		pool_linearise(m, SL_MIN(m->pkt_len, 256u));
	uint16_t lines = flow_extract(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len,
				      &key, &ofs);
	for (unsigned l = 1; l < FLOW_KEY_LINES; l++)
		if (!(lines & (1u << l)))
			memset((uint8_t *)&key + l * FLOW_LINE_BYTES, 0, FLOW_LINE_BYTES);
	uint32_t point = select_point(s, &key, lines);

	while (at < end) {
		const struct prog_bucket *bucket = (const struct prog_bucket *)at;
		const union prog_word *ops = at + sizeof *bucket / sizeof *at;

		at = ops + bucket->n_words;
		if (point >= bucket->upto && at < end)
			continue;
		__atomic_fetch_add(&bucket->counts[0], 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&bucket->counts[1], m->pkt_len, __ATOMIC_RELAXED);
		struct packet copy;
		if (last) {
			exec_words(x, ops, bucket->n_words, p);
			return EXEC_GONE;
		}
		x->outputs++;
		if (exec_copy(x, p, &copy))
			exec_words(x, ops, bucket->n_words, &copy);
		return EXEC_ON;
	}
	return exec_dropped(x, p, DROP_GROUP_NO_BUCKET);
}
