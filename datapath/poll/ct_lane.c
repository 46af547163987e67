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

struct lane { /* of a burst */
	struct poll_thread *t;
	const struct port_cache *pc;
	struct burst *b;
	struct exec_ct *c;
	const struct conntrack_hint *const *hint;
	bool ct_line; /* the port's megaflows read it */
	unsigned sent, hits;
};

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

static inline bool is_alike(const struct lane_answer *a, uint8_t state, uint32_t mark)
{
	return a->covered && a->state == state && !((a->mark ^ cpu_to_be32(mark)) & a->mark_mask);
}

/* The megaflow of packet i, whose key is that of the second look-up; NULL: it has to be looked
 * up. */
static struct megaflow *match(struct lane *l, struct lane_answer *a, unsigned i)
{
	const struct flow_key *k = &l->b->key[i];
	struct megaflow *mf = *slot_of(l->t, l->pc->port_id, k->recirc_id, k->ct_state);

	if (SL_UNLIKELY(!mf || !matches(l->t, l->pc, mf, k)))
		return NULL;
	if (a->mf != mf)
		*a = (struct lane_answer){.mf = mf,
					  .covered = covers(l->pc, l->b->mf[i], mf),
					  .mark_mask = mark_mask(l->pc, mf)};
	a->state = k->ct_state;
	a->mark = k->ct_mark;
	return mf;
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
		struct megaflow *now = a.mf;

		if (SL_UNLIKELY(!is_alike(&a, seen[i].state, seen[i].conn->mark))) {
			put_key(&b->key[i], l->c, &seen[i], l->ct_line);
			now = match(l, &a, i);
			if (!now || !only_sends(now))
				break;
		}
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

/* Packet i is mf's. */
static inline void count(struct lane *l, struct megaflow *mf, unsigned i)
{
	struct poll_thread *t = l->t;

	if (SL_UNLIKELY(t->observing != NULL))
		observer_running(t->observing, &mf->info->origin, LEVEL_FAST);
	counter_add(&mf->pkts, 1);
	counter_add(&mf->bytes, l->b->pkt[i]->pkt_len);
	mf->used_ms = t->now_ms;
	l->hits++;
}

/* Runs what is remembered for packet i, which has been tracked. False: it has to be looked up. */
static bool run_known(struct lane *l, struct packet *p, unsigned i)
{
	struct exec *x = l->t->exec;
	const struct packet_origin *first = x->origin;
	struct lane_answer a = {0};
	struct megaflow *mf;

	if (SL_UNLIKELY(!p->key))
		return false;
	recirc_put_context(&l->b->key[i], &p->s, l->ct_line);
	mf = match(l, &a, i);
	if (SL_UNLIKELY(!mf))
		return false;
	if (only_sends(mf)) {
		l->sent++;
		l->hits++;
		send_run(l->t, l->b, mf, i, i + 1);
		return true;
	}
	count(l, mf, i);
	x->origin = &mf->info->origin;
	exec_run(x, mf->info->prog, p);
	x->origin = first; /* of the packets to come */
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
	p.ct_hint = l->hint[i];   /* for a second ct() in the same zone; compared there */
	if (!run_known(l, &p, i)) /* the first to go round */
		x->recirc[x->n_recirc++] = p;
}

/* ct(commit) and an output, as new connections in a row have it. */
struct opening {
	struct megaflow *mf; /* NULL: not known yet */
	uint32_t out;        /* 0: mf does something else */
	struct exec_ct commit;
};

/* Commits and sends packet i. */
static void open_one(struct lane *l, struct opening *o, unsigned i, struct conntrack_meta *meta)
{
	struct rte_mbuf *m = l->b->pkt[i];
	enum drop_reason why;

	count(l, o->mf, i);
	why = exec_ct_commit(&o->commit, m, &l->b->ofs[i], l->pc->port_id, l->hint[i], meta);
	if (SL_UNLIKELY(why != DROP_NONE)) {
		exec_drop_by(l->t->exec, m, l->pc->port_id, why, &o->mf->info->origin);
		return;
	}
	l->sent++;
	exec_output(l->t->exec, m, o->out);
}

/* What is remembered for packets that are new, of which packet i is one. False: nothing of the
 * kind. */
static bool find_opening(struct lane *l, struct lane_answer *a, struct opening *o, unsigned i,
			 const struct conntrack_meta *meta)
{
	struct packet_state s = {.in_port = l->pc->port_id, .recirc_id = l->c->recirc_id};

	if (SL_LIKELY(is_alike(a, meta->state, 0)))
		return o->out;
	exec_ct_put_meta(&s, meta);
	recirc_put_context(&l->b->key[i], &s, l->ct_line);
	if (!match(l, a, i))
		return false;
	if (a->mf != o->mf) {
		o->mf = a->mf;
		o->out = only_sends(o->mf) ? 0 : exec_ct_commit_port(o->mf->info->prog);
		if (o->out)
			exec_ct_begin(l->t->exec, o->mf->info->prog, &o->commit);
	}
	return o->out;
}

/* Packets [i, end) as far as they open connections that are committed and sent. */
static unsigned run_new(struct lane *l, unsigned i, unsigned end)
{
	struct lane_answer a = {0};
	struct opening o;

	o.mf = NULL;
	o.out = 0;
	for (; i < end && l->hint[i]; i++) {
		struct conntrack_meta meta;

		if (!conntrack_is_new(&l->c->q, l->b->pkt[i], &l->b->ofs[i], l->hint[i], &meta) ||
		    !find_opening(l, &a, &o, i, &meta))
			break;
		open_one(l, &o, i, &meta);
	}
	return i;
}

unsigned ct_lane_run(struct poll_thread *t, struct burst *b, uint32_t in_port, struct exec_ct *c,
		     const struct conntrack_hint *const *hint, unsigned i, unsigned end)
{
	struct port_cache *pc = flow_cache_port(t->cache, in_port);
	struct lane l = {t, pc, b, c, hint, pc->relevant.lines & 1u << FLOW_LINE_CT, 0, 0};
	struct port_counters *counters = counters_of(t->idx, in_port);

	while (i < end && !t->exec->n_recirc) {
		if (hint[i] && hint[i]->node)
			i = run_steady(&l, i, end);
		else if (!t->observing)
			i = run_new(&l, i, end);
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
