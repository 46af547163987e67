/* SPDX-License-Identifier: BSD-3-Clause */
/* The order lock has one word; whoever waits spins and then yields. The main thread goes first when
 * it asks, else poll threads that are never idle would starve it. */
#include "datapath/observe/record.h"

#include <sched.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_pause.h>

#include "datapath/base/clock.h"
#include "datapath/base/hash.h"
#include "datapath/core/pool.h"

uint32_t record_mode;

static bool locked;       /* the order lock; any, atomic */
static bool main_wants;   /* W: main */
static bool main_in_slot; /* main */

/* Everything below: under the lock. */
static struct recording *file;
static struct record_totals totals;
static struct record_play *play;
static struct {
	unsigned thread;
	uint64_t n_cuts, n_sendings;
	bool open; /* SLOT has been written */
} slot;
static uint64_t last_ns;
static bool ready; /* what the switch was has been told */
static struct record_port_state port_state[PORT_ID_MAX];
static struct {
	uint32_t flows, masks;
	uint64_t evicted;
} cache_state[POLL_THREADS_MAX];

/* ---- the lock ---- */

static bool try_lock(void)
{
	return !__atomic_load_n(&locked, __ATOMIC_RELAXED) &&
	       !__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE);
}

static void unlock(void)
{
	__atomic_clear(&locked, __ATOMIC_RELEASE);
}

static void wait_a_little(unsigned *spins)
{
	if (++*spins < 1000)
		rte_pause();
	else
		sched_yield();
}

static void begin_slot(unsigned thread)
{
	clock_freeze();
	memset(&slot, 0, sizeof slot);
	slot.thread = thread;
}

static void end_slot(void)
{
	if (!slot.open)
		return;
	recording_begin(file, REC_END);
	if (recording_end(file))
		totals.slots++;
	slot.open = false;
}

bool record_enter(unsigned thread_idx, const bool *stop)
{
	unsigned spins = 0;

	while (__atomic_load_n(&main_wants, __ATOMIC_ACQUIRE) || !try_lock()) {
		if (__atomic_load_n(stop, __ATOMIC_ACQUIRE) || !record_is_live())
			return false;
		wait_a_little(&spins);
	}
	if (!record_is_live()) {
		unlock();
		return false;
	}
	begin_slot(thread_idx);
	return true;
}

void record_leave(void)
{
	end_slot();
	unlock();
}

static void enter_main(void)
{
	unsigned spins = 0;

	__atomic_store_n(&main_wants, true, __ATOMIC_RELEASE);
	while (!try_lock())
		wait_a_little(&spins);
	__atomic_store_n(&main_wants, false, __ATOMIC_RELEASE);
	main_in_slot = true;
	begin_slot(RECORD_MAIN);
}

void record_main_begin(void)
{
	if (record_is_live() && !main_in_slot)
		enter_main();
}

void record_main_end(void)
{
	if (!main_in_slot)
		return;
	main_in_slot = false;
	if (file)
		end_slot();
	unlock();
}

bool record_main_has_slot(void)
{
	return main_in_slot || play;
}

/* ---- life ---- */

static void begin_part(size_t limit)
{
	file = recording_create(limit);
	ready = false;
	totals = (struct record_totals){0};
	memset(port_state, 0xff, sizeof port_state);
	memset(cache_state, 0, sizeof cache_state);
	last_ns = clock_mono_ns();
}

void record_start(size_t limit)
{
	record_main_end();
	enter_main();
	begin_part(limit);
	__atomic_store_n(&record_mode, RECORD_LIVE, __ATOMIC_SEQ_CST);
}

struct recording *record_stop(void)
{
	struct recording *r = file;

	end_slot();
	file = NULL;
	__atomic_store_n(&record_mode, RECORD_OFF, __ATOMIC_SEQ_CST);
	clock_thaw();
	return r;
}

struct recording *record_turn(size_t limit, struct record_totals *before)
{
	struct recording *r = file;

	end_slot();
	*before = totals;
	begin_slot(RECORD_MAIN);
	begin_part(limit);
	return r;
}

void record_close(struct recording *part, const struct record_totals *t, bool follows,
		  uint64_t evicted_pkts)
{
	const uint64_t v[] = {t->hash,     t->slots, t->pkts, t->lost_pkts, recording_is_full(part),
			      evicted_pkts};

	recording_close(part, follows ? REC_PART : REC_CLOSE, v, SL_ARRAY_SIZE(v));
}

struct recording *record_file(void)
{
	return file;
}

const struct record_totals *record_totals(void)
{
	return &totals;
}

bool record_is_full(void)
{
	return file && recording_is_full(file);
}

/* ---- what comes in ---- */

static void open_slot(void)
{
	uint64_t now = clock_mono_ns();

	slot.open = true;
	recording_begin(file, REC_SLOT);
	recording_put(file, slot.thread);
	recording_put(file, now - last_ns);
	recording_put(file, clock_wall_ms());
	recording_end(file);
	last_ns = now;
}

struct recording *record_begin(enum recording_event type)
{
	bool is_start = recording_events[type].kind == REC_KIND_START;

	if (!file || recording_is_full(file) || (!is_start && !ready))
		return NULL;
	if (!slot.open && !is_start)
		open_slot();
	ready |= type == REC_READY;
	recording_begin(file, type);
	return file;
}

void record_end(void)
{
	recording_end(file);
}

void record_simple(enum recording_event type)
{
	if (record_begin(type))
		record_end();
}

void record_open(void)
{
	if (file && ready && !slot.open && !recording_is_full(file))
		open_slot();
}

void record_number(enum recording_event type, uint64_t v)
{
	struct recording *r = record_begin(type);

	if (!r)
		return;
	recording_put(r, v);
	record_end();
}

/* Flags in between are dynamic: of observers. */
#define PACKET_FLAGS                                                                               \
	~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL |                                              \
	  (RTE_MBUF_F_LAST_FREE | (RTE_MBUF_F_LAST_FREE - RTE_MBUF_F_FIRST_FREE)))

/* Offloads of transmission that a port's rx_burst sets are part of it (port.h). */
void record_packet(struct recording *r, const struct rte_mbuf *m)
{
	recording_put(r, m->ol_flags & PACKET_FLAGS);
	recording_put(r, m->tx_offload);
	recording_put(r, m->packet_type);
	recording_put(r, m->hash.rss);
	recording_put(r, m->nb_segs);
	for (const struct rte_mbuf *s = m; s; s = s->next)
		recording_put_bytes(r, rte_pktmbuf_mtod(s, const void *), s->data_len);
}

void record_rx(uint32_t port_id, struct rte_mbuf *const *pkts, unsigned n)
{
	struct recording *r = record_begin(REC_RX);

	if (!r) {
		totals.lost_pkts += n;
		return;
	}
	recording_put(r, port_id);
	recording_put(r, n);
	for (unsigned i = 0; i < n; i++)
		record_packet(r, pkts[i]);
	if (recording_end(r))
		totals.pkts += n;
	else
		totals.lost_pkts += n;
}

bool record_is_over(bool over)
{
	uint64_t at = slot.n_cuts++;

	if (play) {
		VEC_FOR_EACH (a, &play->cuts)
			if (a->at == at)
				return true;
		return false;
	}
	if (over)
		record_number(REC_CUT, at);
	return over;
}

unsigned record_sending(unsigned n)
{
	uint64_t at = slot.n_sendings++;

	VEC_FOR_EACH (a, &play->shorts)
		if (a->at == at)
			return (unsigned)SL_MIN(a->value, (uint64_t)n);
	return n;
}

void record_sent(unsigned taken, unsigned n)
{
	uint64_t at = slot.n_sendings++;
	struct recording *r = taken < n ? record_begin(REC_SHORT) : NULL;

	if (!r)
		return;
	recording_put(r, at);
	recording_put(r, taken);
	record_end();
}

void record_port_state(uint32_t port_id, const struct record_port_state *s)
{
	struct recording *r;

	if (!record_is_live() || !memcmp(&port_state[port_id], s, sizeof *s))
		return;
	port_state[port_id] = *s;
	r = record_begin(REC_STATE);
	if (!r)
		return;
	recording_put(r, port_id);
	recording_put(r, s->tx_state);
	recording_put(r, s->max_frame);
	recording_put(r, s->tx_offloads);
	record_end();
}

/* ---- what comes of it ---- */

uint64_t record_hash(uint64_t hash, const struct record_result *r)
{
	hash = hash_u64(hash + (uint64_t)r->kind);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(r->v); i++)
		hash = hash_u64(hash ^ r->v[i]) + r->v[i];
	return hash;
}

static void result(enum recording_event kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const struct record_result x = {kind, {a, b, c, d}};
	struct recording *r;

	if (play) {
		vec_push(&play->results, x);
		play->hash = record_hash(play->hash, &x);
		return;
	}
	r = record_begin(kind);
	if (!r)
		return;
	recording_put(r, a);
	recording_put(r, b);
	recording_put(r, c);
	if (kind == REC_CACHE)
		recording_put(r, d);
	if (recording_end(r))
		totals.hash = record_hash(totals.hash, &x);
}

/* Of all bytes, and of what the device is still to do. Not against anybody: a mixer is enough. */
static uint64_t hash_packet(const struct rte_mbuf *m)
{
	uint64_t todo = m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
	uint64_t h = hash_u64(m->pkt_len ^ todo) ^ (todo ? m->tx_offload : 0), word = 0;
	unsigned have = 0;

	for (const struct rte_mbuf *s = m; s; s = s->next) {
		const uint8_t *p = rte_pktmbuf_mtod(s, const uint8_t *);
		uint32_t n = s->data_len;

		/* The same whatever the segments: words are filled across them. */
		for (; n && have; n--) {
			word |= (uint64_t)*p++ << (8 * have++);
			if (have == 8) {
				h = hash_u64(h ^ word);
				word = have = 0;
			}
		}
		for (; n >= 8; n -= 8, p += 8) {
			memcpy(&word, p, 8);
			h = hash_u64(h ^ word);
		}
		for (word = have ? word : 0; n; n--)
			word |= (uint64_t)*p++ << (8 * have++);
	}
	return hash_u64(h ^ word ^ have);
}

void record_out(uint32_t port_id, struct rte_mbuf *const *pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		result(REC_OUT, port_id, pkts[i]->pkt_len, hash_packet(pkts[i]), 0);
		if (play && play->output)
			play->output(play->aux, port_id, pkts[i]);
	}
}

void record_drop(uint32_t port_id, enum drop_reason why, unsigned n)
{
	result(REC_DROP, port_id, why, n, 0);
}

void record_miss(uint32_t port_id, bool cached, uint64_t hash)
{
	result(REC_MISS, port_id, cached, hash, 0);
}

void record_cache(unsigned thread_idx, uint32_t flows, uint32_t masks, uint64_t evicted)
{
	__typeof__(cache_state[0]) *s = &cache_state[thread_idx];

	if (s->flows == flows && s->masks == masks && s->evicted == evicted)
		return;
	s->flows = flows;
	s->masks = masks;
	s->evicted = evicted;
	result(REC_CACHE, thread_idx, flows, masks, evicted);
}

/* ---- replay ---- */

void record_play(struct record_play *p)
{
	play = p;
	memset(cache_state, 0, sizeof cache_state);
	__atomic_store_n(&record_mode, p ? RECORD_REPLAY : RECORD_OFF, __ATOMIC_SEQ_CST);
}

void record_play_slot(void)
{
	memset(&slot, 0, sizeof slot);
}

static struct rte_mbuf *read_segment(struct rec_in *in)
{
	size_t n;
	const uint8_t *p = rec_in_bytes(in, &n);
	struct rte_mbuf *m;

	if (in->bad || n > POOL_DATA_ROOM + RTE_PKTMBUF_HEADROOM) {
		in->bad = true;
		return NULL;
	}
	m = rte_pktmbuf_alloc(pool_get(0));
	if (!m)
		return NULL;
	if (n > rte_pktmbuf_tailroom(m))
		m->data_off = 0;
	memcpy(rte_pktmbuf_mtod(m, void *), p, n);
	m->data_len = (uint16_t)n;
	m->pkt_len = (uint32_t)n;
	return m;
}

struct rte_mbuf *record_read_packet(struct rec_in *in)
{
	uint64_t ol_flags = rec_in_u64(in), tx_offload = rec_in_u64(in);
	uint64_t packet_type = rec_in_u64(in), rss = rec_in_u64(in), n_segs = rec_in_u64(in);
	struct rte_mbuf *head = NULL, **next = &head;
	uint32_t len = 0;

	if (in->bad || !n_segs || n_segs > UINT16_MAX) {
		in->bad = true;
		return NULL;
	}
	for (uint64_t i = 0; i < n_segs; i++) {
		struct rte_mbuf *s = read_segment(in);

		if (!s) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		len += s->data_len;
		*next = s;
		next = &s->next;
		head->nb_segs = (uint16_t)(i + 1);
	}
	head->pkt_len = len;
	head->ol_flags = ol_flags & PACKET_FLAGS;
	head->tx_offload = tx_offload;
	head->packet_type = (uint32_t)packet_type;
	head->hash.rss = (uint32_t)rss;
	return head;
}

void record_read_result(struct rec_in *in, struct record_result *out)
{
	*out = (struct record_result){.kind = in->type};
	for (unsigned i = 0; i < (in->type == REC_CACHE ? 4 : 3); i++)
		out->v[i] = rec_in_u64(in);
}
