/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows of TCP (RFC 9293), for the long way (tracker_tcp.c) and for packets that only move them
 * on. What an end may send follows from what the other acknowledged and offered (van Rooij, "Real
 * Stateful TCP Packet Filtering in IP Filter", 2001; the fudge factors are those of the BSD packet
 * filters, which Open vSwitch has too). Poll threads. */
#pragma once
#include "datapath/conntrack/tracker.h"

enum { WSCALE_FACTOR = 0x0f, WSCALE_KNOWN = 0x80, WSCALE_UNKNOWN = 0x40, WSCALE_MAX = 14 };
enum { TCP_SLACK = 0xffff + 1500 }; /* how far behind or ahead of the window is still harmless */

struct tcp_segment { /* a packet in the terms of the windows */
	uint32_t seq, end, ack, win;
	uint8_t sws, dws; /* scale factors of sender and receiver */
	bool check_ack;
};

static inline bool tcp_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static inline bool tcp_not_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

static inline uint32_t tcp_at_least_one(uint32_t win)
{
	return SL_MAX(win, 1u);
}

/* Of a segment that is no SYN, from what both ends said in theirs. */
static inline void tcp_scales(uint8_t src_wscale, uint8_t dst_wscale, struct tcp_segment *s)
{
	uint8_t both = src_wscale & dst_wscale;

	if (both & WSCALE_KNOWN) {
		s->sws = src_wscale & WSCALE_FACTOR;
		s->dws = dst_wscale & WSCALE_FACTOR;
	} else if (both & WSCALE_UNKNOWN) {
		s->sws = s->dws = WSCALE_MAX;
	}
}

/* dst_max_win: unscaled; dst_lo: end of what the receiver sent. A reset is looked at further. */
static inline bool tcp_is_in_window(const struct tcp_segment *s, uint32_t src_lo, uint32_t src_hi,
				    uint32_t dst_lo, uint32_t dst_max_win)
{
	int32_t skew = s->check_ack ? (int32_t)(dst_lo - s->ack) : 0;

	return tcp_not_before(src_hi, s->end) &&
	       tcp_not_before(s->seq, src_lo - (dst_max_win << s->dws)) && skew >= -TCP_SLACK &&
	       skew <= (int64_t)TCP_SLACK << s->sws;
}

/* Only when it changes: a line that is not written stays in other caches, too. */
static inline void tcp_move_on(uint32_t *word, uint32_t was, uint32_t is)
{
	if (was != is)
		__atomic_store_n(word, is, __ATOMIC_RELAXED);
}

/* A packet with these header bytes (20 are there) and `payload` bytes behind its header, that only
 * moves windows on, of a connection that both ends have opened and none closes: most of them. Takes
 * no lock: every word it writes belongs to this direction and only grows. False: nothing was done,
 * tracker_update() knows. */
static inline bool tracker_tcp_follow(struct ct_conn *c, const uint8_t *tcp, uint32_t payload,
				      unsigned dir, bool check_window, uint32_t established_ms)
{
	struct conn_side *src = &c->side[dir], *dst = &c->side[!dir];
	struct tcp_segment s = {.seq = load_be32(tcp + 4),
				.ack = load_be32(tcp + 8),
				.win = load_be16(tcp + 14),
				.check_ack = true};
	uint32_t src_lo = __atomic_load_n(&src->seq_lo, __ATOMIC_RELAXED);
	uint32_t max_win = __atomic_load_n(&src->max_win, __ATOMIC_RELAXED);
	uint32_t dst_hi = __atomic_load_n(&dst->seq_hi, __ATOMIC_RELAXED), may;

	if ((tcp[13] & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK ||
	    __atomic_load_n(&src->tcp, __ATOMIC_RELAXED) != CONN_TCP_ESTABLISHED ||
	    __atomic_load_n(&dst->tcp, __ATOMIC_RELAXED) != CONN_TCP_ESTABLISHED ||
	    c->phase != CONN_BIDIR ||
	    __atomic_load_n(&c->timeout_ms, __ATOMIC_RELAXED) != established_ms)
		return false;
	tcp_scales(src->wscale, dst->wscale, &s);
	s.end = s.seq + payload;
	if (!payload) /* no data: be lenient */
		s.seq = s.end = src_lo;
	if (check_window &&
	    !tcp_is_in_window(&s, src_lo, __atomic_load_n(&src->seq_hi, __ATOMIC_RELAXED),
			      __atomic_load_n(&dst->seq_lo, __ATOMIC_RELAXED),
			      __atomic_load_n(&dst->max_win, __ATOMIC_RELAXED)))
		return false;
	tcp_move_on(&src->max_win, max_win, SL_MAX(max_win, s.win));
	if (tcp_after(s.end, src_lo))
		__atomic_store_n(&src->seq_lo, s.end, __ATOMIC_RELAXED);
	may = s.win << s.sws;
	if (tcp_not_before(s.ack + may, dst_hi))
		tcp_move_on(&dst->seq_hi, dst_hi, s.ack + tcp_at_least_one(may));
	return true;
}
