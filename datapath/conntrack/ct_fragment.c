/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_fragment.h"

#include "datapath/base/hash.h"

static struct ct_fragment *slot_of(struct ct_fragments *f, const struct ct_packet *p)
{
	struct ct_tuple t = p->tuple;
	uint64_t h;

	t.src_port = t.dst_port = 0;
	t.icmp_type = t.icmp_code = 0;
	h = ct_tuple_hash(&t);
	return &f->at[hash_u64(h ^ p->frag_id) % CT_FRAGMENT_SLOTS];
}

static bool is_of(const struct ct_fragment *s, const struct ct_packet *p, uint32_t now_ms)
{
	const struct ct_tuple *a = &s->tuple, *b = &p->tuple;

	return s->used && s->id == p->frag_id && now_ms - s->seen_ms < CT_FRAGMENT_MS &&
	       a->context == b->context && a->proto == b->proto && a->family == b->family &&
	       !memcmp(a->src, b->src, sizeof a->src) && !memcmp(a->dst, b->dst, sizeof a->dst);
}

bool ct_fragment_track(struct ct_fragments *f, struct ct_packet *p, uint32_t now_ms)
{
	struct ct_fragment *s;

	if (SL_LIKELY(!p->fragment && !p->first_fragment))
		return true;
	s = slot_of(f, p);
	if (p->first_fragment) {
		if (!p->related)
			*s = (struct ct_fragment){p->tuple, p->frag_id, now_ms, true};
		return true;
	}
	if (!is_of(s, p, now_ms))
		return false;
	p->tuple = s->tuple;
	return true;
}
