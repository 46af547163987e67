/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets whose megaflow is known: counted, rewritten, sent or given to their program. Poll
 * thread. */
#include <string.h>

#include "datapath/exec/exec_ct.h"
#include "datapath/exec/exec_policed.h"
#include "datapath/exec/flat.h"
#include "datapath/poll/poll_priv.h"

/* The rewrite that a megaflow's own line holds. resolve has seen that the TTL is above 1. */
void hits_rewrite(const struct megaflow *mf, struct rte_mbuf *m, const struct flow_offsets *ofs)
{
	uint8_t *d = rte_pktmbuf_mtod(m, uint8_t *);

	if (mf->flags & MF_SET_DST)
		memcpy(d, mf->macs, 6);
	if (mf->flags & MF_SET_SRC)
		memcpy(d + 6, mf->macs + 6, 6);
	if (!(mf->flags & MF_DEC_TTL))
		return;
	uint8_t *ip = d + ofs->l3;
	if (ofs->ip_version == 4) {
		/* RFC 1624 for a decrement of the high byte of a word. */
		uint32_t sum = (uint32_t)load_be16(ip + 10) + 0x100;

		ip[8]--;
		store_be16(ip + 10, (uint16_t)(sum + (sum >> 16)));
	} else {
		ip[7]--;
	}
}

/* Asks for the connections of all packets whose program begins with ct(), before the first of them
 * is tracked. hint[i]: packet i's, or NULL. from: as for hits_run(); what a packet that came round
 * was told the first time still holds. */
static void prefetch_conns(struct poll_thread *t, const struct burst *b, unsigned first,
			   const struct packet *from, const struct conntrack_hint **hint,
			   bool whole)
{
	struct conntrack_hint *own = from ? t->ct_hint_again : t->ct_hint;
	unsigned n = 0;

	_Static_assert((int)BURST_MAX <= (int)CONNTRACK_BATCH, "a burst at once");
	memset(hint, 0, b->n * sizeof *hint);
	for (unsigned i = first; i < b->n; i++) {
		const struct flow_key *k = &b->key[i];
		uint32_t ports;

		if (!b->mf[i] || !(b->mf[i]->flags & MF_CT) || b->ofs[i].ip_version != 4 ||
		    !b->ofs[i].l4 || k->ip_frag)
			continue;
		memcpy(&ports, &k->tp_src, sizeof ports);
		ct_tuple_set4(&own[n].tuple, k->ip_src, k->ip_dst, ports, b->mf[i]->ct_zone,
			      k->ip_proto);
		if (from && from[i].ct_hint &&
		    ct_tuple_equal(&from[i].ct_hint->tuple, &own[n].tuple))
			hint[i] = from[i].ct_hint;
		else if (n && ct_tuple_equal(&own[n - 1].tuple, &own[n].tuple))
			hint[i] = &own[n - 1]; /* the next of a train */
		else
			hint[i] = &own[n++];
	}
	conntrack_prefetch(t->idx, own, n, whole);
}

struct programs { /* what running the programs of a burst needs */
	struct poll_thread *t;
	struct burst *b;
	uint32_t in_port;
	struct packet *from;
	bool has_hints;
	const struct conntrack_hint *hint[BURST_MAX];
};

static inline void fill_packet(struct programs *g, unsigned i, struct packet *p)
{
	struct burst *b = g->b;

	if (g->from) {
		*p = g->from[i];
	} else {
		p->m = b->pkt[i];
		p->has_ofs = p->key_whole = false;
		p->key = NULL;
		p->s = (struct packet_state){.in_port = g->in_port};
		if (b->depth > DEPTH_L2) {
			p->ofs = b->ofs[i];
			p->has_ofs = true;
			p->key = &b->key[i];
			p->key_whole = b->depth == DEPTH_FULL;
		}
	}
	p->ct_hint = g->has_hints ? g->hint[i] : NULL;
}

/* From one policed port to another: most packets belong to connections that both edges know. */
static void run_policed(struct programs *g, const struct program *prog, unsigned i, unsigned end)
{
	struct exec *x = g->t->exec;
	struct port_counters *c = counters_of(g->t->idx, g->in_port);
	struct rte_mbuf *const *pkt = &g->b->pkt[i];
	unsigned sent = 0, n = end - i;
	struct policy_pairs b;
	struct packet copy;

	_Static_assert((int)BURST_MAX <= (int)POLICY_PAIRS_MAX, "a burst at once");
	exec_policed_begin(x, prog, pkt, n, &b);
	for (unsigned k = 0;; k++) {
		unsigned known = exec_policed(x, &b, pkt, k);

		sent += known - k;
		k = known;
		if (k == n)
			break;
		fill_packet(g, i + k, &copy);
		exec_run(x, prog, &copy);
	}
	if (c && sent)
		counter_add(&c->sent, sent);
}

/* Whoever is followed, or behind a packet that goes round already, goes the long way. So does who
 * might go round beside a packet that is followed: exec_ct_next() has no place then. */
static bool may_use_lane(const struct programs *g, const struct program *prog)
{
	const struct observer *o = g->t->observing;

	return !g->from && g->b->depth > DEPTH_L2 && !g->t->exec->n_recirc &&
	       !(o && (o->live || observer_follows(o, g->in_port))) && exec_ct_is_plain(prog);
}

static bool reads_ct_line(const struct programs *g)
{
	const struct port_cache *pc = flow_cache_port(g->t->cache, g->in_port);

	return pc->relevant.lines & 1u << FLOW_LINE_CT;
}

/* Packets [i, end) of one megaflow. */
static void run_programs(struct programs *g, const struct megaflow *mf, unsigned i, unsigned end)
{
	const struct program *prog = mf->info->prog;
	struct exec *x = g->t->exec;
	struct packet copy, *p;

	x->origin = &mf->info->origin;
	if (SL_UNLIKELY(x->observer != NULL))
		observer_running(x->observer, &mf->info->origin,
				 g->b->probed >> i & 1 ? LEVEL_MASK : LEVEL_FAST);
	bool goes_round = mf->flags & MF_CT && exec_is_ct_recirc(prog);
	bool lane = goes_round && may_use_lane(g, prog);

	if ((mf->flags & MF_CT) && g->b->depth > DEPTH_L2 && !g->has_hints) {
		prefetch_conns(g->t, g->b, i, g->from, g->hint, !lane || reads_ct_line(g));
		g->has_hints = true;
	}
	if (goes_round) {
		struct exec_ct c;

		exec_ct_begin(x, prog, &c);
		if (lane)
			i = ct_lane_run(g->t, g->b, g->in_port, &c, g->hint, i, end);
		for (; i < end && (p = exec_ct_next(x)); i++) {
			fill_packet(g, i, p);
			exec_ct_one(x, &c, p);
			/* For a second ct() in the same zone; compared there. */
			p->ct_hint = !g->from && g->has_hints ? g->hint[i] : NULL;
		}
	}
	/* Who is followed is told the rules, which the short way does not know. */
	if (prog->flags & PROG_POLICED && !g->from && !(x->observer && x->observer->live)) {
		run_policed(g, prog, i, end);
		return;
	}
	for (; i < end; i++) {
		fill_packet(g, i, &copy);
		exec_run(x, prog, &copy);
	}
}

/* Where the headers of packet i are, for a port whose megaflows do not read that far. Scattered
 * ones count as absent: the interpreter brings them together. */
static const struct flow_offsets *find_headers(struct burst *b, unsigned i)
{
	const struct rte_mbuf *m = b->pkt[i];

	if (SL_UNLIKELY(m->nb_segs > 1 && m->data_len < EXTRACT_MAX_BYTES)) {
		b->ofs[i].ip_version = 0;
		return &b->ofs[i];
	}
	flow_extract_depth(EXTRACT_L4, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
			   m->pkt_len, &b->key[i], &b->ofs[i]);
	return &b->ofs[i];
}

/* Rewrites packets [i, end) of one megaflow in a loop of its own. Those that the flat form cannot
 * do run the program, the others are staged; returns how many. */
static unsigned run_flat(struct programs *g, const struct megaflow *mf, unsigned i, unsigned end)
{
	const struct flat_rewrite *f = mf->info->flat;
	struct burst *b = g->b;
	bool parse = f->ip && b->depth == DEPTH_L2;
	uint32_t failed = 0;
	unsigned first = i;

	if (SL_UNLIKELY(g->t->observing != NULL))
		observer_running(g->t->observing, &mf->info->origin,
				 b->probed >> i & 1 ? LEVEL_MASK : LEVEL_FAST);
	for (; i < end; i++)
		if (SL_UNLIKELY(!flat_run(f, b->pkt[i], parse ? find_headers(b, i) : &b->ofs[i])))
			failed |= 1u << i;
	if (SL_LIKELY(!failed)) {
		exec_output_burst(g->t->exec, b->pkt + first, end - first, mf->out_port);
		return end - first;
	}
	for (i = first; i < end; i++) {
		if (failed >> i & 1)
			run_programs(g, mf, i, i + 1);
		else
			exec_output(g->t->exec, b->pkt[i], mf->out_port);
	}
	return end - first - (unsigned)__builtin_popcount(failed);
}

/* Counts the packets from i on that are mf's, too; returns the first that is not. Its line is
 * written once per run. */
static inline unsigned count_run(const struct poll_thread *t, const struct burst *b,
				 struct megaflow *mf, unsigned i)
{
	unsigned first = i, n = b->n;
	uint64_t bytes = 0;

	if (b->one_flow && b->bytes) {
		bytes = b->bytes;
		i = n;
	} else {
		do {
			bytes += b->pkt[i++]->pkt_len;
		} while (i < n && b->mf[i] == mf);
	}
	counter_add(&mf->pkts, i - first);
	counter_add(&mf->bytes, bytes);
	mf->used_ms = t->now_ms;
	return i;
}

static inline bool is_plain(const struct megaflow *mf)
{
	return mf->out_port && !(mf->flags & MF_FLAT);
}

/* What came round found what it is after ct(). */
static inline void learn(struct poll_thread *t, const struct packet *from, struct megaflow *mf,
			 unsigned first)
{
	if (from && from[first].s.ct_state)
		ct_lane_learn(t, &from[first].s, mf);
}

static inline void prepare_plain(struct poll_thread *t, struct burst *b, const struct packet *from,
				 struct megaflow *mf, unsigned first, unsigned end)
{
	learn(t, from, mf, first);
	if (mf->flags & MF_REWRITE)
		for (unsigned k = first; k < end; k++)
			hits_rewrite(mf, b->pkt[k], &b->ofs[k]);
}

/* From packet i on, what mf and others only send to one port is staged together: ten addresses
 * taking turns cost 22 cycles a packet one by one. Returns the first that is left. */
static inline unsigned run_plain(struct poll_thread *t, struct burst *b, const struct packet *from,
				 struct megaflow *mf, unsigned i)
{
	const uint32_t out = mf->out_port;
	const unsigned first = i, n = b->n;

	if (SL_UNLIKELY(t->observing != NULL)) { /* who is told which rule it was, run by run */
		i = count_run(t, b, mf, i);
		prepare_plain(t, b, from, mf, first, i);
		observer_running(t->observing, &mf->info->origin,
				 b->probed >> first & 1 ? LEVEL_MASK : LEVEL_FAST);
		exec_output_burst(t->exec, b->pkt + first, i - first, out);
		return i;
	}
	do {
		unsigned at = i;

		i = count_run(t, b, mf, i);
		prepare_plain(t, b, from, mf, at, i);
	} while (i < n && (mf = b->mf[i]) && mf->out_port == out && is_plain(mf));
	exec_output_burst(t->exec, b->pkt + first, i - first, out);
	return i;
}

unsigned hits_run(struct poll_thread *t, struct burst *b, uint32_t in_port, struct packet *from,
		  uint8_t *missed)
{
	struct port_counters *c = counters_of(t->idx, in_port);
	struct programs g;
	unsigned n_missed = 0, sent = 0, n = b->n;
	bool programs = false;

	for (unsigned i = 0; i < n;) {
		struct megaflow *mf = b->mf[i];
		unsigned first = i;

		if (SL_UNLIKELY(!mf)) {
			missed[n_missed++] = (uint8_t)i++;
			continue;
		}
		if (SL_LIKELY(is_plain(mf))) {
			i = run_plain(t, b, from, mf, i);
			sent += i - first;
			continue;
		}
		i = count_run(t, b, mf, i);
		learn(t, from, mf, first);
		if (!programs) {
			programs = true;
			g.t = t;
			g.b = b;
			g.in_port = in_port;
			g.from = from;
			g.has_hints = false;
		}
		if (mf->flags & MF_FLAT)
			sent += run_flat(&g, mf, first, i);
		else
			run_programs(&g, mf, first, i);
	}
	if (c && sent)
		counter_add(&c->sent, sent);
	if (c)
		counter_add(&c->cache_hits, n - n_missed);
	return n_missed;
}
