/* SPDX-License-Identifier: BSD-3-Clause */
/* Protocols without a state machine of their own (UDP, ICMP, any other), and SCTP, of which only
 * the beginning and the end matter (RFC 9260 §3.2). */
#include "datapath/conntrack/tracker.h"

#include <netinet/in.h>

enum { SCTP_INIT = 1, SCTP_ABORT = 6, SCTP_SHUTDOWN_COMPLETE = 14 };

const struct ct_timeouts ct_timeouts_default = {{
#define CT_TIMEOUT(id, name, seconds) (seconds) * 1000u,
#include "datapath/flow/ct_timeouts.def"
#undef CT_TIMEOUT
}};

static bool is_icmp(const struct ct_tuple *t)
{
	return t->proto == (t->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

bool tracker_may_begin(const struct ct_packet *p)
{
	if (p->related)
		return false;
	if (p->fragment)
		return !ct_proto_has_ports(p->tuple.proto) && !is_icmp(&p->tuple);
	if (p->tuple.proto == IPPROTO_TCP)
		return tracker_tcp_may_begin(p);
	if (is_icmp(&p->tuple))
		return ct_icmp_is_request(p->tuple.family, p->tuple.icmp_type);
	if (p->tuple.proto == IPPROTO_SCTP)
		return p->chunk != SCTP_ABORT && p->chunk != SCTP_SHUTDOWN_COMPLETE;
	return true;
}

bool tracker_is_decisive(const struct ct_packet *p)
{
	if (p->tuple.proto == IPPROTO_TCP)
		return p->flags & (TCP_SYN | TCP_FIN | TCP_RST);
	return p->related || p->tuple.proto == IPPROTO_SCTP;
}

static uint32_t timeout_of(const struct ct_conn *c, const struct ct_timeouts *t)
{
	const struct ct_tuple *k = &c->node[CONN_ORIG].tuple;
	enum conn_phase phase = (enum conn_phase)c->phase;

	if (is_icmp(k))
		return t->ms[phase == CONN_BIDIR ? CT_TIMEOUT_ICMP_REPLY : CT_TIMEOUT_ICMP_FIRST];
	switch (phase) {
	case CONN_FIRST:
		return t->ms[k->proto == IPPROTO_UDP ? CT_TIMEOUT_UDP_FIRST
						     : CT_TIMEOUT_OTHER_FIRST];
	case CONN_MULTIPLE:
		return t->ms[k->proto == IPPROTO_UDP ? CT_TIMEOUT_UDP_MULTIPLE
						     : CT_TIMEOUT_OTHER_MULTIPLE];
	case CONN_BIDIR:
		/* An SCTP association lives like a TCP connection. */
		return t->ms[k->proto == IPPROTO_UDP    ? CT_TIMEOUT_UDP_BIDIR
			     : k->proto == IPPROTO_SCTP ? CT_TIMEOUT_TCP_ESTABLISHED
							: CT_TIMEOUT_OTHER_BIDIR];
	case CONN_CLOSED:
		break;
	}
	return t->ms[CT_TIMEOUT_TCP_CLOSED];
}

void tracker_begin(struct ct_conn *c, const struct ct_packet *p, const struct ct_timeouts *t,
		   uint32_t now_ms)
{
	c->side[0].seen_ms = c->side[1].seen_ms = now_ms;
	c->phase = CONN_FIRST;
	c->node[CONN_ORIG].tuple = p->tuple;
	if (p->tuple.proto == IPPROTO_TCP)
		tracker_tcp_begin(c, p, t);
	else
		c->timeout_ms = timeout_of(c, t);
}

static void set_phase(struct ct_conn *c, enum conn_phase phase, const struct ct_timeouts *t)
{
	c->phase = (uint8_t)phase;
	__atomic_store_n(&c->timeout_ms, timeout_of(c, t), __ATOMIC_RELAXED);
}

static enum tracker_verdict update_sctp(struct ct_conn *c, const struct ct_packet *p,
					const struct ct_timeouts *t)
{
	if (c->phase == CONN_CLOSED)
		return p->chunk == SCTP_INIT ? TRACKER_REPLACE : TRACKER_OK;
	if (p->chunk == SCTP_ABORT || p->chunk == SCTP_SHUTDOWN_COMPLETE)
		set_phase(c, CONN_CLOSED, t);
	return TRACKER_OK;
}

enum tracker_verdict tracker_update(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
				    bool check_window, const struct ct_timeouts *t)
{
	if (p->tuple.proto == IPPROTO_TCP)
		return p->fragment ? TRACKER_OK : tracker_tcp_update(c, p, dir, check_window, t);
	if (p->tuple.proto == IPPROTO_SCTP && !p->fragment) {
		enum tracker_verdict v = update_sctp(c, p, t);

		if (v != TRACKER_OK || c->phase == CONN_CLOSED)
			return v;
	}
	if (dir == CONN_REPLY) {
		if (c->phase < CONN_BIDIR)
			set_phase(c, CONN_BIDIR, t);
		return TRACKER_OK;
	}
	if (c->phase == CONN_FIRST && !is_icmp(&p->tuple))
		set_phase(c, CONN_MULTIPLE, t);
	return c->phase < CONN_BIDIR ? TRACKER_NEW : TRACKER_OK;
}
