/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_fragment.h"

#include "datapath/base/hash.h"
#include "datapath/core/spin.h"

struct first {
	struct ct_tuple tuple; /* with ports */
	uint32_t id, seen_ms;
	uint32_t end; /* of its bytes */
	bool used;
};
static struct set {
	rte_spinlock_t lock;
	struct first way[CT_FRAGMENT_WAYS]; /* W, R: lock */
} sets[CT_FRAGMENT_SETS];

static struct set *set_of(const struct ct_packet *p)
{
	struct ct_tuple t = p->tuple;
	uint64_t h;

	t.src_port = t.dst_port = 0;
	t.icmp_type = t.icmp_code = 0;
	h = ct_tuple_hash(&t);
	return &sets[hash_u64(h ^ p->frag_id) % CT_FRAGMENT_SETS];
}

static bool is_over(const struct first *f, uint32_t now_ms)
{
	return !f->used || now_ms - f->seen_ms >= CT_FRAGMENT_MS;
}

static bool is_of(const struct first *f, const struct ct_packet *p, uint32_t now_ms)
{
	const struct ct_tuple *a = &f->tuple, *b = &p->tuple;

	return !is_over(f, now_ms) && f->id == p->frag_id && a->context == b->context &&
	       a->proto == b->proto && a->family == b->family &&
	       !memcmp(a->src, b->src, sizeof a->src) && !memcmp(a->dst, b->dst, sizeof a->dst);
}

static struct first *find(struct set *s, const struct ct_packet *p, uint32_t now_ms)
{
	for (unsigned i = 0; i < CT_FRAGMENT_WAYS; i++)
		if (is_of(&s->way[i], p, now_ms))
			return &s->way[i];
	return NULL;
}

/* Its own place, a free one, one of the same port, the oldest. */
static struct first *place_for(struct set *s, const struct ct_packet *p, uint32_t now_ms)
{
	struct first *at = find(s, p, now_ms), *own = NULL, *oldest = &s->way[0];

	for (unsigned i = 0; i < CT_FRAGMENT_WAYS && !at; i++) {
		struct first *f = &s->way[i];

		if (is_over(f, now_ms))
			at = f;
		else if (f->tuple.context == p->tuple.context)
			own = f;
		if ((int32_t)(f->seen_ms - oldest->seen_ms) < 0)
			oldest = f;
	}
	return at ? at : own ? own : oldest;
}

bool ct_fragment_track(struct ct_packet *p, uint32_t now_ms)
{
	struct first *f;
	struct set *s;

	if (SL_LIKELY(!p->fragment && !p->first_fragment))
		return true;
	if (p->first_fragment && p->related)
		return true;
	s = set_of(p);
	rte_spinlock_lock(&s->lock);
	if (p->first_fragment) {
		f = place_for(s, p, now_ms);
		*f = (struct first){p->tuple, p->frag_id, now_ms, p->frag_end, true};
	} else {
		f = find(s, p, now_ms);
		if (f && p->frag_begin < f->end)
			f = NULL;
		if (f)
			p->tuple = f->tuple;
	}
	spin_unlock(&s->lock);
	return f;
}
