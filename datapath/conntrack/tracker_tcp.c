/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP (RFC 9293). Each end has a state and a window (tracker_tcp_inline.h).
 *
 * An end goes CLOSED → SYN_SENT (it sent something) → ESTABLISHED (that was acknowledged) →
 * CLOSING (it sent a FIN) → FIN_WAIT_2 (the FIN was acknowledged) → TIME_WAIT (reset). */
#include "datapath/conntrack/tracker_tcp_inline.h"

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

/* First packet of this end that we see: the answer to a SYN, or one end of a connection that was
 * there before. */
static void first_of_end(struct conn_side *src, struct conn_side *dst, const struct ct_packet *p,
			 struct tcp_segment *s)
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
	may = s->end + tcp_at_least_one(dst->max_win << s->dws);
	if (src->seq_hi == 1 || tcp_not_before(may, src->seq_hi)) {
		src->seq_hi = may;
		s->check_ack = false;
	}
	src->max_win = SL_MAX(src->max_win, s->win);
}

static bool in_window(const struct conn_side *src, const struct conn_side *dst,
		      const struct ct_packet *p, const struct tcp_segment *s)
{
	/* A reset must hit exactly, or be one off. */
	return tcp_is_in_window(s, src->seq_lo, src->seq_hi, dst->seq_lo, dst->max_win) &&
	       (!(p->flags & TCP_RST) || p->seq - src->seq_lo + 1 <= 2);
}

/* Near the window while an end has not spoken yet or has just finished: simultaneous opens, picked
 * up connections, late FINs. */
static bool near_window(const struct conn_side *src, const struct conn_side *dst,
			const struct tcp_segment *s)
{
	return (dst->tcp < CONN_TCP_SYN_SENT || dst->tcp >= CONN_TCP_FIN_WAIT_2 ||
		src->tcp >= CONN_TCP_FIN_WAIT_2) &&
	       tcp_not_before(src->seq_hi + TCP_SLACK, s->end) &&
	       tcp_not_before(s->seq, src->seq_lo - TCP_SLACK);
}

static void slide(struct conn_side *src, struct conn_side *dst, const struct tcp_segment *s)
{
	src->max_win = SL_MAX(src->max_win, s->win);
	if (tcp_after(s->end, src->seq_lo))
		src->seq_lo = s->end;
	if (tcp_not_before(s->ack + (s->win << s->sws), dst->seq_hi))
		dst->seq_hi = s->ack + tcp_at_least_one(s->win << s->sws);
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
	struct tcp_segment s = {.seq = p->seq, .ack = p->ack, .win = p->win, .check_ack = true};

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
	if (!(p->flags & TCP_SYN))
		tcp_scales(src->wscale, dst->wscale, &s);
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
