/* SPDX-License-Identifier: BSD-3-Clause */
/* ct(table=N) and then what comes after it, without going round: what the second look-up will find
 * is remembered by port, context and state, and compared with the packet's key under its mask, as
 * any look-up does. A megaflow that matches is a right answer whoever finds it, because a mask
 * covers all that the decision read; its version is checked too.
 *
 * Packets of established connections that are only sent go in runs; others are tracked and run one
 * by one. Order: as soon as one packet has to go round, all behind it in the burst do. Poll thread.
 */
#include <string.h>

#include "datapath/exec/exec_ct.h"
#include "datapath/poll/poll_priv.h"

static inline struct megaflow **slot_of(struct poll_thread *t, uint32_t in_port, uint32_t recirc_id,
					uint8_t state)
{
	uint32_t h = in_port * 0x9e3779b1u ^ recirc_id * 0x85ebca6bu ^ state * 0xc2b2ae35u;

	return &t->after_ct[h >> 26];
}

void ct_lane_learn(struct poll_thread *t, const struct packet_state *s, struct megaflow *mf)
{
	_Static_assert(CT_LANE_SLOTS == 1 << (32 - 26), "slot_of()");
	*slot_of(t, s->in_port, s->recirc_id, s->ct_state) = mf;
}

typedef uint64_t pair __attribute__((vector_size(16)));
enum { LINE_PAIRS = FLOW_LINE_BYTES / sizeof(pair) };

static inline pair pair_at(const void *line, unsigned i)
{
	pair v;

	memcpy(&v, (const uint8_t *)line + i * sizeof v, sizeof v);
	return v;
}

static inline bool is_zero(pair v)
{
	return !(v[0] | v[1]);
}

/* A slot that was freed has no port in its key: nothing matches it. */
static inline bool matches(const struct poll_thread *t, const struct port_cache *pc,
			   const struct megaflow *mf, const struct flow_key *key)
{
	const uint8_t *mask = pc->mask0[mf->mask_idx];
	pair differ = {0, 0};

	for (unsigned i = 0; i < LINE_PAIRS; i++)
		differ |= (pair_at(key, i) ^ pair_at(mf->key, i)) & pair_at(mask, i);
	return is_zero(differ) && mf->stamp == (uint32_t)t->version &&
	       (SL_LIKELY(!(mf->flags & MF_HAS_EXT)) || megaflow_ext_matches(mf, key));
}

static inline bool only_sends(const struct megaflow *mf)
{
	return mf->out_port && !(mf->flags & MF_FLAT);
}

/* Does the first look-up's mask have all that the second one's has, but for what ct() writes? Then
 * what matches for one of its packets matches for all that were answered alike. */
static bool covers(const struct port_cache *pc, const struct megaflow *first,
		   const struct megaflow *second)
{
	static const struct flow_key written = {.recirc_id = UINT32_MAX,
						.ct_zone = UINT16_MAX,
						.ct_state = UINT8_MAX,
						.ct_mark = UINT32_MAX};
	const uint8_t *has = pc->mask0[first->mask_idx], *wants = pc->mask0[second->mask_idx];
	pair lacks = {0, 0};

	for (unsigned i = 0; i < LINE_PAIRS; i++)
		lacks |= pair_at(wants, i) & ~pair_at(has, i) & ~pair_at(&written, i);
	return is_zero(lacks) && !(second->flags & MF_HAS_EXT);
}

static uint32_t mark_mask(const struct port_cache *pc, const struct megaflow *mf)
{
	uint32_t m;

	memcpy(&m, pc->mask0[mf->mask_idx] + offsetof(struct flow_key, ct_mark), sizeof m);
	return m;
}

/* The packet's key as the second look-up has it. */
static void put_key(struct flow_key *k, const struct exec_ct *c, const struct conntrack_seen *seen,
		    bool ct_line)
{
	k->recirc_id = c->recirc_id;
	k->ct_zone = cpu_to_be16((uint16_t)c->q.context);
	k->ct_state = seen->state;
	k->ct_mark = cpu_to_be32(seen->conn->mark);
	if (ct_line)
		exec_ct_put_line(k, seen->conn);
}

/* What the second look-up finds for packets that are answered alike. */
struct lane_answer {
	struct megaflow *mf; /* NULL: nothing yet */
	uint8_t state;
	bool covered; /* the rest of their keys needs no comparison */
	be32_t mark, mark_mask;
};

static inline bool is_alike(const struct lane_answer *a, const struct conntrack_seen *seen)
{
	return a->covered && a->state == seen->state &&
	       (SL_LIKELY(!a->mark_mask) ||
		!((a->mark ^ cpu_to_be32(seen->conn->mark)) & a->mark_mask));
}

/* Packets [first, end) of one megaflow, with n bytes. */
static void send_run(struct poll_thread *t, struct burst *b, struct megaflow *mf, unsigned first,
		     unsigned end)
{
	uint64_t bytes = 0;

	if (SL_UNLIKELY(t->observing != NULL))
		observer_running(t->observing, &mf->info->origin, LEVEL_FAST);
	for (unsigned k = first; k < end; k++) {
		bytes += b->pkt[k]->pkt_len;
		if (mf->flags & MF_REWRITE)
			hits_rewrite(mf, b->pkt[k], &b->ofs[k]);
	}
	exec_output_burst(t->exec, b->pkt + first, end - first, mf->out_port);
	counter_add(&mf->pkts, end - first);
	counter_add(&mf->bytes, bytes);
	mf->used_ms = t->now_ms;
}

static inline struct packet packet_of(const struct burst *b, uint32_t in_port, unsigned i)
{
	return (struct packet){.m = b->pkt[i],
			       .ofs = b->ofs[i],
			       .has_ofs = true,
			       .key = &b->key[i],
			       .key_whole = b->depth == DEPTH_FULL,
			       .s.in_port = in_port};
}

/* What has been tracked but has to be looked up goes round. */
static void go_round(struct poll_thread *t, struct burst *b, uint32_t in_port,
		     const struct exec_ct *c, const struct conntrack_seen *seen, unsigned i,
		     unsigned end)
{
	for (; i < end; i++) {
		struct packet *p = exec_ct_next(t->exec);

		*p = packet_of(b, in_port, i);
		exec_ct_tracked(t->exec, c, p, seen[i].conn, seen[i].state);
	}
}

/* The megaflow for packet i, which may be that of *a; NULL: it has to be looked up. */
static inline struct megaflow *find(struct poll_thread *t, const struct port_cache *pc,
				    struct burst *b, const struct exec_ct *c,
				    const struct conntrack_seen *seen, unsigned i,
				    struct lane_answer *a)
{
	struct flow_key *k = &b->key[i];
	struct megaflow *mf;

	if (SL_LIKELY(is_alike(a, seen)))
		return a->mf;
	mf = *slot_of(t, pc->port_id, c->recirc_id, seen->state);
	put_key(k, c, seen, pc->relevant.lines & 1u << FLOW_LINE_CT);
	if (SL_UNLIKELY(!mf || !only_sends(mf) || !matches(t, pc, mf, k)))
		return NULL;
	if (a->mf != mf)
		*a = (struct lane_answer){.mf = mf,
					  .covered = covers(pc, b->mf[i], mf),
					  .mark_mask = mark_mask(pc, mf)};
	a->state = seen->state;
	a->mark = k->ct_mark;
	return mf;
}

struct lane {
	struct poll_thread *t;
	const struct port_cache *pc;
	struct burst *b;
	struct exec_ct *c;
	const struct conntrack_hint *const *hint;
	unsigned sent, hits;
};

/* Packets [i, end) as far as they are of established connections. */
static unsigned run_steady(struct lane *l, unsigned i, unsigned end)
{
	struct poll_thread *t = l->t;
	struct burst *b = l->b;
	struct conntrack_seen seen[BURST_MAX];
	struct lane_answer a = {0};
	struct megaflow *mf = NULL;
	unsigned first = i, run = i;

	_Static_assert((int)BURST_MAX <= (int)RECIRC_MAX, "there is room to go round");
	end = i +
	      conntrack_steady(&l->c->q, b->pkt + i, b->ofs + i, l->hint + i, end - i, seen + i);
	for (; i < end; i++) {
		struct megaflow *now = find(t, l->pc, b, l->c, &seen[i], i, &a);

		if (SL_UNLIKELY(!now))
			break;
		if (now == mf)
			continue;
		if (mf)
			send_run(t, b, mf, run, i);
		mf = now;
		run = i;
	}
	if (mf)
		send_run(t, b, mf, run, i);
	l->sent += i - first;
	l->hits += i - first;
	go_round(t, b, l->pc->port_id, l->c, seen, i, end);
	return end;
}

/* Runs what is remembered for packet i, which has been tracked. False: it has to be looked up. */
static bool run_known(struct lane *l, struct packet *p, unsigned i)
{
	struct poll_thread *t = l->t;
	struct flow_key *k = &l->b->key[i];
	struct megaflow *mf = *slot_of(t, p->s.in_port, p->s.recirc_id, p->s.ct_state);

	if (SL_UNLIKELY(!mf || !p->key))
		return false;
	recirc_put_context(k, &p->s, l->pc->relevant.lines & 1u << FLOW_LINE_CT);
	if (SL_UNLIKELY(!matches(t, l->pc, mf, k)))
		return false;
	l->hits++;
	if (only_sends(mf)) {
		l->sent++;
		send_run(t, l->b, mf, i, i + 1);
		return true;
	}
	if (SL_UNLIKELY(t->observing != NULL))
		observer_running(t->observing, &mf->info->origin, LEVEL_FAST);
	counter_add(&mf->pkts, 1);
	counter_add(&mf->bytes, p->m->pkt_len);
	mf->used_ms = t->now_ms;
	exec_run(t->exec, mf->info->prog, p);
	return true;
}

/* Packet i, whatever connection it has. Its own answer may go round, too. */
static void run_one(struct lane *l, unsigned i)
{
	struct exec *x = l->t->exec;
	struct packet p = packet_of(l->b, l->pc->port_id, i);

	p.ct_hint = l->hint[i];
	if (!exec_ct_ask(x, l->c, &p))
		return;
	p.ct_hint = l->hint[i]; /* for a second ct() in the same zone; compared there */
	if (!run_known(l, &p, i)) /* the first to go round */
		x->recirc[x->n_recirc++] = p;
}

unsigned ct_lane_run(struct poll_thread *t, struct burst *b, uint32_t in_port, struct exec_ct *c,
		     const struct conntrack_hint *const *hint, unsigned i, unsigned end)
{
	struct lane l = {t, flow_cache_port(t->cache, in_port), b, c, hint, 0, 0};
	struct port_counters *counters = counters_of(t->idx, in_port);

	while (i < end && !t->exec->n_recirc) {
		if (hint[i] && hint[i]->node)
			i = run_steady(&l, i, end);
		if (i == end || t->exec->n_recirc || !hint[i])
			break;
		run_one(&l, i++);
	}
	if (counters) {
		counter_add(&counters->sent, l.sent);
		counter_add(&counters->cache_hits, l.hits);
	}
	t->cache->sig_hits += l.hits;
	return i;
}
