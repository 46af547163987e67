/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that came round: looked up again in bursts, with the keys they already have when nothing
 * was rewritten. Poll thread.
 *
 * Running one may put others aside behind it: that is the next generation. Keys of one generation
 * are in one burst of t->again while the next is made in the other; a generation of more than one
 * burst is extracted again. */
#include <string.h>

#include "datapath/poll/poll_priv.h"

/* Every line; whatever it was before. */
static void extract_whole(struct burst *b, unsigned i, const struct packet *p)
{
	flow_cache_extract(b, i, p->s.in_port, EXTRACT_FULL);
	recirc_put_context(&b->key[i], &p->s, p->s.ct_state != 0);
	if (p->s.ct_state)
		b->lines[i] |= 1u << FLOW_LINE_CT;
}

static void make_key(struct burst *b, unsigned i, struct packet *p, const struct relevance *r)
{
	struct flow_key *k = &b->key[i];

	b->pkt[i] = p->m;
	if (SL_UNLIKELY(!p->key || (r->depth == DEPTH_FULL && !p->key_whole))) {
		extract_whole(b, i, p);
		p->ofs = b->ofs[i];
		p->has_ofs = p->key_whole = true;
		p->key = k;
		return;
	}
	memcpy(k, p->key, FLOW_LINE_BYTES);
	for (unsigned rest = r->lines & ~1u; rest; rest &= rest - 1) {
		unsigned at = (unsigned)__builtin_ctz(rest) * FLOW_LINE_BYTES;

		memcpy((uint8_t *)k + at, (const uint8_t *)p->key + at, FLOW_LINE_BYTES);
	}
	recirc_put_context(k, &p->s, r->lines & 1u << FLOW_LINE_CT);
	b->ofs[i] = p->ofs;
	p->key = k;
	p->key_whole = false; /* lines that nobody reads now were left behind */
}

static void look_up_again(struct poll_thread *t, struct burst *b, struct packet *p, unsigned n,
			  bool keys_stay)
{
	uint32_t in_port = p[0].s.in_port;
	struct port_cache *pc = flow_cache_port(t->cache, in_port);
	uint8_t missed[BURST_MAX];

	if (SL_UNLIKELY(!pc)) {
		for (unsigned i = 0; i < n; i++)
			exec_drop(t->exec, p[i].m, in_port, DROP_FROZEN_GONE);
		return;
	}
	/* Who is followed is seen one by one. */
	if (SL_UNLIKELY(t->observing != NULL) && t->observing->live) {
		for (unsigned i = 0; i < n; i++) {
			b->pkt[i] = p[i].m;
			extract_whole(b, i, &p[i]);
			p[i].key = NULL;
			miss_settle(t, pc, b, i, &p[i]);
		}
		return;
	}
	b->n = (uint16_t)n;
	b->bytes = 0;
	for (unsigned i = 0; i < n; i++)
		make_key(b, i, &p[i], &pc->relevant);
	flow_cache_classify_keys(t->cache, pc, b, (uint32_t)t->version, t->now_ms);
	for (unsigned i = 0; i < n && !keys_stay; i++)
		p[i].key = NULL;
	unsigned n_missed = hits_run(t, b, in_port, p, missed);
	for (unsigned k = 0; k < n_missed; k++) {
		unsigned i = missed[k];

		extract_whole(b, i, &p[i]);
		miss_settle(t, pc, b, i, &p[i]);
	}
}

void recirc_run(struct poll_thread *t)
{
	struct exec *x = t->exec;
	unsigned generation = 0;

	for (unsigned at = 0, end = x->n_recirc; at < end; end = x->n_recirc, generation++) {
		bool keys_stay = end - at <= BURST_MAX;

		while (at < end) {
			struct packet *p = &x->recirc[at];
			unsigned n = 1;

			while (n < BURST_MAX && at + n < end && p[n].s.in_port == p->s.in_port)
				n++;
			look_up_again(t, &t->again[generation & 1], p, n,
				      keys_stay && at + n == end);
			at += n;
		}
	}
	x->n_recirc = 0;
}
