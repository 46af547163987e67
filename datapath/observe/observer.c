/* SPDX-License-Identifier: BSD-3-Clause */
/* The poll thread's side of captures and live traces. No system call, no allocation: events go into
 * the thread's ring or are counted as lost. */
#include "datapath/observe/observer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>

#include "datapath/core/counters.h"
#include "datapath/flow/program.h"

enum {
	/* A packet is only taken when the rest of its story will fit as well. */
	SPARE_BYTES = 256 << 10,
	OWN_TOKENS = 4096, /* a mark that is older is not this packet's */
};

int packet_mark_offset = -1;
uint64_t packet_mark_flag;
const char *const cache_level_names[LEVEL_N] = {
	[LEVEL_NONE] = "",     [LEVEL_FAST] = "fast",         [LEVEL_MASK] = "mask",
	[LEVEL_MISS] = "miss", [LEVEL_UNCACHED] = "uncached", [LEVEL_INJECTED] = "injected",
};

int observer_init(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "sluice_packet_mark",
		.size = sizeof(struct packet_mark),
		.align = _Alignof(struct packet_mark),
	};

	static const struct rte_mbuf_dynflag flag = {.name = "sluice_packet_marked"};
	int bit;

	packet_mark_offset = rte_mbuf_dynfield_register(&field);
	bit = rte_mbuf_dynflag_register(&flag);
	if (packet_mark_offset < 0 || bit < 0)
		return -rte_errno;
	packet_mark_flag = 1ull << bit;
	return 0;
}

struct observer *observer_create(void)
{
	struct observer *o = aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *o, SL_CACHE_LINE));

	if (!o)
		return NULL;
	memset(o, 0, sizeof *o);
	o->ring = event_ring_create();
	if (!o->ring) {
		free(o);
		return NULL;
	}
	return o;
}

void observer_destroy(struct observer *o)
{
	if (!o)
		return;
	event_ring_destroy(o->ring);
	free(o);
}

void observer_use(struct observer *o, const struct probe_set *set)
{
	o->set = set;
	for (unsigned s = 0; set && s < PROBES_MAX; s++) {
		uint32_t id = set->probe[s] ? set->probe[s]->id : 0;

		/* A slot that became free keeps its counts for who still asks. */
		if (!id || id == o->probe_id[s])
			continue;
		o->countdown[s] = 0;
		o->taken[s] = 0;
		__atomic_store_n(&o->seen[s], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&o->lost[s], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&o->probe_id[s], id, __ATOMIC_RELEASE);
	}
}

void observer_clear_mark(struct rte_mbuf *m)
{
	m->ol_flags &= ~packet_mark_flag;
}

static void put_mark(struct rte_mbuf *m, uint64_t tsc, uint32_t token)
{
	*packet_mark_of(m) = (struct packet_mark){.rx_tsc = tsc, .token = token};
	m->ol_flags |= packet_mark_flag;
}

static void save_mark(const struct packet_mark *mark, struct event_mark *out)
{
	*out = (struct event_mark){
		.rx_tsc = mark->rx_tsc, .token = mark->token, .level = mark->level};
	if (mark->origin)
		out->origin = *mark->origin;
}

static bool has_port(const struct probe *p, uint32_t port_id)
{
	return p->all_ports || (p->port[port_id / 8] >> (port_id % 8) & 1);
}

/* Slots of the probes that want something of this port. Once per burst or flush. */
static uint32_t candidates(const struct observer *o, uint32_t port_id, uint8_t want)
{
	uint32_t slots = 0;

	if (!(o->set->port_wants[port_id] & want))
		return 0;
	for (unsigned s = 0; s < PROBES_MAX; s++) {
		const struct probe *p = o->set->probe[s];

		if (p && p->wants & want && has_port(p, port_id))
			slots |= 1u << s;
	}
	return slots;
}

/* Of these, those that take this packet; `filtered`: as far as their filters go, all. *snap: bytes
 * that the greediest of them keeps. */
static uint32_t choose(struct observer *o, struct rte_mbuf *m, uint32_t of, bool filtered,
		       uint32_t *snap)
{
	uint32_t slots = 0;

	*snap = 0;
	for (; of; of &= of - 1) {
		unsigned s = (unsigned)__builtin_ctz(of);
		const struct probe *p = o->set->probe[s];

		if (!filtered && p->filter && !bpf_filter_matches(p->filter, m))
			continue;
		counter_add(&o->seen[s], 1);
		if (o->countdown[s]) {
			o->countdown[s]--;
			continue;
		}
		if (p->limit && o->taken[s] >= p->limit)
			continue;
		o->countdown[s] = p->sample ? p->sample - 1 : 0;
		o->taken[s]++;
		slots |= 1u << s;
		*snap = SL_MAX(*snap, p->snaplen);
	}
	return slots;
}

/* Of the candidates those that cannot be done with for all n packets at once: a probe without a
 * filter whose turn comes later. */
static uint32_t skip_whole(struct observer *o, uint32_t of, unsigned n)
{
	uint32_t rest = of;

	for (; of; of &= of - 1) {
		unsigned s = (unsigned)__builtin_ctz(of);

		if (o->set->probe[s]->filter || o->countdown[s] < n)
			continue;
		o->countdown[s] -= n;
		counter_add(&o->seen[s], n);
		rest &= ~(1u << s);
	}
	return rest;
}

static void count_lost(struct observer *o, uint32_t slots)
{
	for (; slots; slots &= slots - 1)
		counter_add(&o->lost[__builtin_ctz(slots)], 1);
}

static uint32_t new_token(struct observer *o)
{
	if (!++o->last_token)
		o->last_token = 1;
	return o->last_token;
}

static void *begin(struct observer *o, enum observe_event kind, size_t bytes, uint32_t spare,
		   uint32_t token, uint32_t port_id)
{
	struct event_common *c = event_ring_reserve(o->ring, (uint8_t)kind, (uint32_t)bytes, spare);

	if (!c)
		return NULL;
	c->token = token;
	c->port_id = port_id;
	c->tsc = rte_rdtsc();
	o->dirty = true;
	return c;
}

static void copy_bytes(struct rte_mbuf *m, uint32_t n, uint8_t *to)
{
	const void *d = rte_pktmbuf_read(m, 0, n, to);

	if (d != to && n)
		memcpy(to, d, n);
}

static void take_rx(struct observer *o, struct rte_mbuf *m, uint32_t port_id, uint64_t tsc,
		    uint32_t of, bool filtered)
{
	uint32_t snap, n, slots = choose(o, m, of, filtered, &snap);

	if (!slots)
		return;
	n = SL_MIN(m->pkt_len, snap);
	struct event_rx *e = begin(o, EVENT_RX, sizeof *e + n, SPARE_BYTES, new_token(o), port_id);
	if (!e) {
		count_lost(o, slots);
		return;
	}
	put_mark(m, tsc, e->c.token);
	o->live = o->followed = true;
	e->c.tsc = tsc;
	e->probes = slots;
	e->pkt_len = m->pkt_len;
	e->cap_len = n;
	copy_bytes(m, n, e->bytes);
	event_ring_commit(o->ring);
}

static const struct bpf_filter *only_filter(const struct observer *o, uint32_t of)
{
	return of && !(of & (of - 1)) ? o->set->probe[__builtin_ctz(of)]->filter : NULL;
}

/* Bit by bit: which packets of a burst the candidates may want. One filter, the common case, is run
 * over all of them at once: most packets do not match. */
static uint64_t fitting(const struct bpf_filter *only, uint32_t of, struct rte_mbuf *const *pkts,
			unsigned n)
{
	_Static_assert((int)BURST_MAX <= (int)BPF_FILTER_BURST_MAX && (int)BURST_MAX < 64,
		       "a burst at once");
	if (!of)
		return 0;
	return only ? bpf_filter_burst(only, pkts, n) : (1ull << n) - 1;
}

void observer_rx(struct observer *o, struct rte_mbuf **pkts, unsigned n, uint32_t port_id,
		 uint64_t tsc)
{
	uint32_t of = skip_whole(o, candidates(o, port_id, OBSERVE_IN | OBSERVE_TRACE), n);

	o->cause = (struct packet_cause){.rx_tsc = tsc};
	const struct bpf_filter *only = only_filter(o, of);
	for (uint64_t fits = fitting(only, of, pkts, n); fits; fits &= fits - 1)
		take_rx(o, pkts[__builtin_ctzll(fits)], port_id, tsc, of, only != NULL);
}

const struct packet_origin *observer_keep(struct observer *o, const struct packet_origin *origin)
{
	struct packet_origin *kept = &o->passing[o->n_passing++ % OBSERVER_PASSING];

	*kept = *origin;
	return kept;
}

void observer_lookup(struct observer *o, struct rte_mbuf *m, uint32_t port_id,
		     const struct observed_lookup *l)
{
	struct packet_mark *mark = packet_mark_of(m);
	bool traced = o->set->any_wants & OBSERVE_TRACE;
	size_t key = traced && l->key ? sizeof *l->key : 0;
	size_t prog = traced && l->prog
			      ? sizeof *l->prog + l->prog->n_words * sizeof(union prog_word)
			      : 0;

	observer_running(o, l->origin, l->level);
	if (!packet_is_marked(m))
		return;
	o->live = true;
	mark->origin = l->origin;
	mark->level = (uint8_t)l->level;
	if (!mark->token)
		return;
	o->followed = true;
	struct event_lookup *e =
		begin(o, EVENT_LOOKUP, sizeof *e + key + prog, 0, mark->token, port_id);
	if (!e) {
		counter_add(&o->lost_events, 1);
		return;
	}
	e->origin = l->origin ? *l->origin : (struct packet_origin){0};
	e->version = l->version;
	e->recirc_id = l->recirc_id;
	e->ct_mark = l->ct_mark;
	e->ct_zone = l->ct_zone;
	e->ct_state = l->ct_state;
	e->level = (uint8_t)l->level;
	e->key_bytes = (uint16_t)key;
	e->prog_words = prog ? l->prog->n_words : 0;
	if (key)
		memcpy(e->data, l->key, key);
	if (prog)
		memcpy(e->data + key, l->prog, prog);
	event_ring_commit(o->ring);
}

static void mark_with(struct rte_mbuf *m, const struct packet_cause *cause)
{
	put_mark(m, cause->rx_tsc, 0);
	packet_mark_of(m)->origin = cause->origin;
	packet_mark_of(m)->level = cause->level;
}

static void take_out(struct observer *o, struct rte_mbuf *m, const struct packet_cause *cause,
		     uint32_t port_id, uint32_t of, bool filtered)
{
	struct packet_mark *mark = packet_mark_of(m);
	uint32_t snap = 0, slots = of ? choose(o, m, of, filtered, &snap) : 0;
	uint32_t len = slots ? SL_MIN(m->pkt_len, snap) : 0;

	if (!packet_is_marked(m)) {
		if (!slots)
			return;
		mark_with(m, cause);
	}
	if (!slots && !mark->token)
		return;
	/* So that a port that does not take it can say so. */
	if (!mark->token)
		mark->token = new_token(o);
	struct event_out *e = begin(o, EVENT_OUT, sizeof *e + len, 0, mark->token, port_id);
	if (!e) {
		count_lost(o, slots);
		counter_add(&o->lost_events, !slots);
		return;
	}
	save_mark(mark, &e->mark);
	e->probes = slots;
	e->from_port = m->port;
	e->pkt_len = m->pkt_len;
	e->cap_len = len;
	copy_bytes(m, len, e->bytes);
	event_ring_commit(o->ring);
}

void observer_out(struct observer *o, struct rte_mbuf **pkts, const struct packet_cause *cause,
		  unsigned n, uint32_t port_id)
{
	uint32_t of = skip_whole(o, candidates(o, port_id, OBSERVE_OUT), n);

	o->sending = pkts;
	o->sending_cause = cause;
	o->n_sending = observer_wants_out(o, port_id) ? n : 0;
	if (!of && !o->followed)
		return;
	const struct bpf_filter *only = only_filter(o, of);
	uint64_t fits = fitting(only, of, pkts, n), marked = 0;
	/* Who is followed from his arrival on is told that he leaves. */
	bool follows = o->set->any_wants & (OBSERVE_IN | OBSERVE_TRACE);
	for (unsigned i = 0; follows && i < n; i++)
		marked |= (uint64_t)packet_is_marked(pkts[i]) << i;
	for (uint64_t rest = fits | marked; rest; rest &= rest - 1) {
		unsigned i = (unsigned)__builtin_ctzll(rest);

		take_out(o, pkts[i], &cause[i], port_id, fits >> i & 1 ? of : 0, only != NULL);
	}
}

/* Segments of a large packet are in buffers that carry the mark of whoever had them before. */
static bool is_own(const struct observer *o, struct rte_mbuf *m)
{
	return packet_is_marked(m) &&
	       (!packet_mark_of(m)->token || o->last_token - packet_mark_of(m)->token < OWN_TOKENS);
}

/* Why it came to where it is dropped. */
static struct packet_mark mark_at_drop(const struct observer *o, struct rte_mbuf *m, bool at_port)
{
	const struct packet_cause *cause = at_port ? NULL : &o->cause;

	if (is_own(o, m))
		return *packet_mark_of(m);
	for (unsigned i = 0; at_port && i < o->n_sending; i++)
		if (o->sending[i] == m)
			cause = &o->sending_cause[i];
	if (!cause)
		return (struct packet_mark){.rx_tsc = o->cause.rx_tsc};
	return (struct packet_mark){
		.rx_tsc = cause->rx_tsc, .origin = cause->origin, .level = cause->level};
}

void observer_drop(struct observer *o, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		   bool at_port)
{
	uint32_t of = candidates(o, port_id, OBSERVE_DROP);
	const struct bpf_filter *only = only_filter(o, of);
	bool fits = of && (!only || bpf_filter_matches(only, m));
	uint32_t snap = 0, slots = 0, len, policy_slot = o->policy_slot;

	o->policy_slot = 0;
	if (!fits && !packet_is_marked(m))
		return;
	struct packet_mark mark = mark_at_drop(o, m, at_port);
	if (fits)
		slots = choose(o, m, of, only != NULL, &snap);
	if (!slots && !mark.token)
		return;
	len = slots ? SL_MIN(m->pkt_len, snap) : 0;
	struct event_drop *e = begin(o, EVENT_DROP, sizeof *e + len, 0, mark.token, port_id);
	if (!e) {
		count_lost(o, slots);
		counter_add(&o->lost_events, !slots);
		return;
	}
	save_mark(&mark, &e->mark);
	e->probes = slots;
	e->from_port = m->port;
	e->pkt_len = m->pkt_len;
	e->cap_len = len;
	e->reason = (uint16_t)why;
	e->at_port = at_port;
	e->policy_slot = policy_slot;
	copy_bytes(m, len, e->bytes);
	event_ring_commit(o->ring);
}

void observer_note(struct observer *o, struct rte_mbuf *m, uint32_t port_id,
		   enum observe_event kind, uint64_t detail, uint64_t wide)
{
	uint32_t token = packet_is_marked(m) ? packet_mark_of(m)->token : 0;
	struct event_note *e;

	/* What waits keeps the time of its arrival with it. */
	if (kind == EVENT_HELD && !packet_is_marked(m) &&
	    o->set->any_wants & (OBSERVE_OUT | OBSERVE_DROP))
		put_mark(m, o->cause.rx_tsc, 0);
	if (!token)
		return;
	e = begin(o, kind, sizeof *e, 0, token, port_id);
	if (!e) {
		counter_add(&o->lost_events, 1);
		return;
	}
	e->detail = detail;
	e->wide = wide;
	event_ring_commit(o->ring);
}

void observer_end_iteration(struct observer *o)
{
	struct event_note *e;

	o->live = o->followed = false;
	if (!o->dirty)
		return;
	e = begin(o, EVENT_MARK, sizeof *e, 0, 0, 0);
	if (!e)
		return; /* the next one says it */
	event_ring_commit(o->ring);
	o->dirty = false;
}
