/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP (RFC 9293). Each end has a state and a window; what an end may send follows from what the
 * other acknowledged and offered (van Rooij, "Real Stateful TCP Packet Filtering in IP Filter",
 * 2001; the fudge factors are those of the BSD packet filters, which Open vSwitch has too).
 *
 * An end goes CLOSED → SYN_SENT (it sent something) → ESTABLISHED (that was acknowledged) →
 * CLOSING (it sent a FIN) → FIN_WAIT_2 (the FIN was acknowledged) → TIME_WAIT (reset). */
#include "datapath/conntrack/tracker.h"

enum { WSCALE_FACTOR = 0x0f, WSCALE_KNOWN = 0x80, WSCALE_UNKNOWN = 0x40, WSCALE_MAX = 14 };
enum { SLACK = 0xffff + 1500 }; /* how far behind or ahead of the window is still harmless */

static bool after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static bool not_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

/* Combinations that no stack sends. */
static bool flags_are_odd(uint8_t f)
{
	if (f & TCP_SYN ? f & (TCP_RST | TCP_FIN) : !(f & (TCP_ACK | TCP_RST)))
		return true;
	return !(f & TCP_ACK) && f & (TCP_FIN | TCP_PSH | TCP_URG);
}

bool tracker_tcp_may_begin(const struct ct_packet *p)
{
	/* A SYN, or the middle of a connection older than we are; not the second half of a
	 * handshake whose first half nobody saw. */
	return !flags_are_odd(p->flags) && (p->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
}

static uint8_t scale_of(const struct ct_packet *p)
{
	return p->wscale == CT_NO_WSCALE ? 0 : p->wscale | WSCALE_KNOWN;
}

static uint32_t unscaled(uint32_t win, uint8_t wscale)
{
	return SL_DIV_ROUND_UP(win, 1u << (wscale & WSCALE_FACTOR));
}

/* Sequence numbers that a packet takes up. */
static uint32_t length_of(const struct ct_packet *p)
{
	return p->payload_bytes + !!(p->flags & TCP_SYN) + !!(p->flags & TCP_FIN);
}

void tracker_tcp_begin(struct ct_conn *c, const struct ct_packet *p, const struct ct_timeouts *t)
{
	struct conn_side *src = &c->side[CONN_ORIG], *dst = &c->side[CONN_REPLY];

	src->seq_lo = p->seq;
	src->seq_hi = p->seq + 1 + length_of(p);
	src->max_win = SL_MAX(p->win, 1u);
	if (p->flags & TCP_SYN) {
		src->wscale = scale_of(p);
		dst->wscale = 0;
		src->max_win = unscaled(src->max_win, src->wscale);
	} else {
		src->wscale = dst->wscale = WSCALE_UNKNOWN;
	}
	dst->seq_lo = 0;
	dst->seq_hi = dst->max_win = 1;
	src->tcp = CONN_TCP_SYN_SENT;
	dst->tcp = CONN_TCP_CLOSED;
	c->timeout_ms = t->ms[CT_TIMEOUT_TCP_FIRST_PACKET];
}

struct segment { /* a packet in the terms of the windows */
	uint32_t seq, end, ack, win;
	uint8_t sws, dws; /* scale factors of sender and receiver */
	bool check_ack;
};

static void scales(const struct conn_side *src, const struct conn_side *dst, uint8_t flags,
		   struct segment *s)
{
	uint8_t both = src->wscale & dst->wscale;

	if (flags & TCP_SYN)
		return;
	if (both & WSCALE_KNOWN) {
		s->sws = src->wscale & WSCALE_FACTOR;
		s->dws = dst->wscale & WSCALE_FACTOR;
	} else if (both & WSCALE_UNKNOWN) {
		s->sws = s->dws = WSCALE_MAX;
	}
}

static uint32_t at_least_one(uint32_t win)
{
	return SL_MAX(win, 1u);
}

/* First packet of this end that we see: the answer to a SYN, or one end of a connection that was
 * there before. */
static void first_of_end(struct conn_side *src, struct conn_side *dst, const struct ct_packet *p,
			 struct segment *s)
{
	uint32_t may;

	if (p->flags & TCP_SYN && dst->wscale & WSCALE_KNOWN) {
		src->wscale = scale_of(p);
		if (src->wscale & WSCALE_KNOWN) {
			s->sws = src->wscale & WSCALE_FACTOR;
			s->win = unscaled(s->win, src->wscale);
			s->dws = dst->wscale & WSCALE_FACTOR;
		} else { /* only one end wants scaling: nobody scales */
			dst->max_win <<= dst->wscale & WSCALE_FACTOR;
			dst->wscale = 0;
		}
	}
	src->seq_lo = p->seq;
	src->tcp = CONN_TCP_SYN_SENT;
	may = s->end + at_least_one(dst->max_win << s->dws);
	if (src->seq_hi == 1 || not_before(may, src->seq_hi)) {
		src->seq_hi = may;
		s->check_ack = false;
	}
	src->max_win = SL_MAX(src->max_win, s->win);
}

static bool in_window(const struct conn_side *src, const struct conn_side *dst,
		      const struct ct_packet *p, const struct segment *s)
{
	int32_t skew = s->check_ack ? (int32_t)(dst->seq_lo - s->ack) : 0;

	if (!not_before(src->seq_hi, s->end) ||
	    !not_before(s->seq, src->seq_lo - (dst->max_win << s->dws)))
		return false;
	if (skew < -SLACK || skew > (int64_t)SLACK << s->sws)
		return false;
	/* A reset must hit exactly, or be one off. */
	return !(p->flags & TCP_RST) || p->seq - src->seq_lo + 1 <= 2;
}

/* Near the window while an end has not spoken yet or has just finished: simultaneous opens, picked
 * up connections, late FINs. */
static bool near_window(const struct conn_side *src, const struct conn_side *dst,
			const struct segment *s)
{
	return (dst->tcp < CONN_TCP_SYN_SENT || dst->tcp >= CONN_TCP_FIN_WAIT_2 ||
		src->tcp >= CONN_TCP_FIN_WAIT_2) &&
	       not_before(src->seq_hi + SLACK, s->end) && not_before(s->seq, src->seq_lo - SLACK);
}

static void slide(struct conn_side *src, struct conn_side *dst, const struct segment *s)
{
	src->max_win = SL_MAX(src->max_win, s->win);
	if (after(s->end, src->seq_lo))
		src->seq_lo = s->end;
	if (not_before(s->ack + (s->win << s->sws), dst->seq_hi))
		dst->seq_hi = s->ack + at_least_one(s->win << s->sws);
}

static enum ct_timeout timeout_of(const struct conn_side *a, const struct conn_side *b)
{
	uint8_t lo = SL_MIN(a->tcp, b->tcp), hi = SL_MAX(a->tcp, b->tcp);

	if (lo >= CONN_TCP_FIN_WAIT_2)
		return CT_TIMEOUT_TCP_CLOSED;
	if (lo >= CONN_TCP_CLOSING)
		return CT_TIMEOUT_TCP_FIN_WAIT;
	if (lo < CONN_TCP_ESTABLISHED)
		return CT_TIMEOUT_TCP_OPENING;
	return hi >= CONN_TCP_CLOSING ? CT_TIMEOUT_TCP_CLOSING : CT_TIMEOUT_TCP_ESTABLISHED;
}

static void advance(struct ct_conn *c, struct conn_side *src, struct conn_side *dst, uint8_t flags,
		    const struct ct_timeouts *t)
{
	uint32_t ms;

	if (flags & TCP_FIN && src->tcp < CONN_TCP_CLOSING)
		src->tcp = CONN_TCP_CLOSING;
	if (flags & TCP_ACK && dst->tcp == CONN_TCP_SYN_SENT)
		dst->tcp = CONN_TCP_ESTABLISHED;
	else if (flags & TCP_ACK && dst->tcp == CONN_TCP_CLOSING)
		dst->tcp = CONN_TCP_FIN_WAIT_2;
	if (flags & TCP_RST)
		src->tcp = dst->tcp = CONN_TCP_TIME_WAIT;
	ms = t->ms[timeout_of(src, dst)];
	if (ms != c->timeout_ms)
		__atomic_store_n(&c->timeout_ms, ms, __ATOMIC_RELAXED);
	/* Both ends have spoken and been heard: no longer half open. */
	if (SL_MIN(src->tcp, dst->tcp) >= CONN_TCP_ESTABLISHED && c->phase != CONN_BIDIR)
		c->phase = CONN_BIDIR;
}

enum tracker_verdict tracker_tcp_update(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
					bool check_window, const struct ct_timeouts *t)
{
	struct conn_side *src = &c->side[dir], *dst = &c->side[!dir];
	struct segment s = {.seq = p->seq, .ack = p->ack, .win = p->win, .check_ack = true};

	if (flags_are_odd(p->flags))
		return TRACKER_INVALID;
	if ((p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		if (SL_MIN(src->tcp, dst->tcp) >= CONN_TCP_FIN_WAIT_2) {
			src->tcp = dst->tcp = CONN_TCP_CLOSED;
			return TRACKER_REPLACE;
		}
		if (src->tcp <= CONN_TCP_SYN_SENT) { /* once more */
			src->tcp = CONN_TCP_SYN_SENT;
			__atomic_store_n(&c->timeout_ms, t->ms[CT_TIMEOUT_TCP_FIRST_PACKET],
					 __ATOMIC_RELAXED);
			return TRACKER_NEW;
		}
	}
	scales(src, dst, p->flags, &s);
	s.end = s.seq + length_of(p);
	if (src->tcp < CONN_TCP_SYN_SENT)
		first_of_end(src, dst, p, &s);
	/* Without an acknowledgment there is nothing to compare; some stacks reset with 0. */
	if (!(p->flags & TCP_ACK) || (!s.ack && p->flags & TCP_RST))
		s.ack = dst->seq_lo;
	if (s.seq == s.end) /* no data: be lenient */
		s.seq = s.end = src->seq_lo;
	if (!check_window || in_window(src, dst, p, &s)) {
		slide(src, dst, &s);
		advance(c, src, dst, p->flags, t);
		return TRACKER_OK;
	}
	if (!near_window(src, dst, &s))
		return TRACKER_INVALID;
	slide(src, dst, &s);
	if (p->flags & TCP_FIN && src->tcp < CONN_TCP_CLOSING)
		src->tcp = CONN_TCP_CLOSING;
	if (p->flags & TCP_RST)
		src->tcp = dst->tcp = CONN_TCP_TIME_WAIT;
	return TRACKER_OK;
}

static struct conn_side load_side(const struct conn_side *s)
{
	return (struct conn_side){.seq_lo = __atomic_load_n(&s->seq_lo, __ATOMIC_RELAXED),
				  .seq_hi = __atomic_load_n(&s->seq_hi, __ATOMIC_RELAXED),
				  .max_win = __atomic_load_n(&s->max_win, __ATOMIC_RELAXED),
				  .wscale = s->wscale,
				  .tcp = __atomic_load_n(&s->tcp, __ATOMIC_RELAXED)};
}

/* Only when it changes: a line that is not written stays in other caches, too. */
static inline void move_on(uint32_t *word, uint32_t was, uint32_t is)
{
	if (was != is)
		__atomic_store_n(word, is, __ATOMIC_RELAXED);
}

bool tracker_tcp_follow(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
			bool check_window, const struct ct_timeouts *t)
{
	struct conn_side src = load_side(&c->side[dir]), dst = load_side(&c->side[!dir]);
	struct conn_side src_was = src, dst_was = dst;
	struct segment s = {.seq = p->seq, .ack = p->ack, .win = p->win, .check_ack = true};

	if ((p->flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK ||
	    src.tcp != CONN_TCP_ESTABLISHED || dst.tcp != CONN_TCP_ESTABLISHED ||
	    c->phase != CONN_BIDIR || c->timeout_ms != t->ms[CT_TIMEOUT_TCP_ESTABLISHED])
		return false;
	scales(&src, &dst, p->flags, &s);
	s.end = s.seq + length_of(p);
	if (s.seq == s.end)
		s.seq = s.end = src.seq_lo;
	if (check_window && !in_window(&src, &dst, p, &s))
		return false;
	slide(&src, &dst, &s);
	move_on(&c->side[dir].max_win, src_was.max_win, src.max_win);
	move_on(&c->side[dir].seq_lo, src_was.seq_lo, src.seq_lo);
	move_on(&c->side[!dir].seq_hi, dst_was.seq_hi, dst.seq_hi);
	return true;
}
