/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a struct flat_rewrite on one packet. Straight-line code for the packets of a burst, one
 * after the other; what is out of the ordinary (a pending offload, headers that are not there) is
 * left to the interpreter. Poll thread. */
#pragma once
#include <netinet/in.h>

#include "datapath/exec/rewrite.h"
#include "datapath/flow/flat_rewrite.h"
#include "datapath/offload/offload.h"

/* The checksum behind a header that the sums of this packet go into; NULL: none. */
static inline uint8_t *flat_l4_sum(uint8_t *l4, uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return l4 + 16;
	case IPPROTO_UDP:
		return l4[6] | l4[7] ? l4 + 6 : NULL;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return l4 + 2;
	default:
		return NULL;
	}
}

static inline uint64_t flat_apply(uint8_t *at, const struct flat_patch *p)
{
	uint32_t was, is;

	memcpy(&was, at + p->ofs, 4);
	is = (was & ~p->mask) | p->value;
	memcpy(at + p->ofs, &is, 4);
	return (uint64_t)(uint32_t)~was + is;
}

/* Network and transport header; the caller has seen that they are there. */
static inline void flat_upper(const struct flat_rewrite *f, uint8_t *d,
			      const struct flow_offsets *ofs)
{
	const struct flat_patch *p = f->patch + f->n_l2;
	uint64_t ip_sum = 0, pseudo = 0, l4_sum = 0;
	uint8_t *ip = d + ofs->l3, *field;

	if (f->ttl_decs) {
		if (ofs->ip_version == 4) {
			uint16_t was, is;

			memcpy(&was, ip + 8, 2);
			ip[8] = (uint8_t)(ip[8] - f->ttl_decs);
			memcpy(&is, ip + 8, 2);
			ip_sum = (uint64_t)(uint16_t)~was + is;
		} else {
			ip[7] = (uint8_t)(ip[7] - f->ttl_decs);
		}
	}
	for (unsigned i = 0; i < f->n_l3; i++, p++) {
		uint64_t change = flat_apply(ip, p);

		ip_sum += p->sums & FLAT_SUM_IP ? change : 0;
		pseudo += p->sums & FLAT_SUM_PSEUDO ? change : 0;
	}
	if (f->n_l4)
		l4_sum = flat_apply(d + ofs->l4, p);
	if (ip_sum)
		rewrite_fix_sum(ip + 10, ip_sum, false, false);
	l4_sum += ofs->ip_proto == IPPROTO_ICMP ? 0 : pseudo;
	if (l4_sum && ofs->l4 && (field = flat_l4_sum(d + ofs->l4, ofs->ip_proto)))
		rewrite_fix_sum(field, l4_sum, false, ofs->ip_proto == IPPROTO_UDP);
}

static inline void flat_front(const struct flat_rewrite *f, struct rte_mbuf *m, uint8_t *d)
{
	uint64_t a;
	uint32_t b;

	memcpy(&a, d, 8);
	memcpy(&b, d + 8, 4);
	a = (a & ~f->mac_mask) | f->mac_value;
	b = (b & ~f->mac_mask2) | f->mac_value2;
	d -= f->shift;
	m->data_off = (uint16_t)(m->data_off - f->shift);
	m->data_len = (uint16_t)(m->data_len + f->shift);
	m->pkt_len = (uint32_t)((int)m->pkt_len + f->shift);
	memcpy(d, &a, 8);
	memcpy(d + 8, &b, 4);
	for (unsigned i = 0; i < f->n_tags; i++)
		memcpy(d + 12 + 4 * i, &f->tag[i], 4);
}

/* `ofs` is only read when f->ip asks for a network header. False: nothing was done, run the
 * program. */
static inline bool flat_run(const struct flat_rewrite *f, struct rte_mbuf *m,
			    const struct flow_offsets *ofs)
{
	uint8_t *d = rte_pktmbuf_mtod(m, uint8_t *);

	if (SL_UNLIKELY(offload_pending(m) || m->data_len < f->need_bytes ||
			(int)m->data_off < f->shift))
		return false;
	if (f->ip) {
		if (SL_UNLIKELY(!ofs->ip_version ||
				(f->ip != FLAT_ANY_IP && f->ip != ofs->ip_version) ||
				(f->n_l4 && !ofs->l4)))
			return false;
		flat_upper(f, d, ofs);
	}
	if (f->front)
		flat_front(f, m, d);
	for (unsigned i = 0; i < f->n_l2; i++)
		flat_apply(rte_pktmbuf_mtod(m, uint8_t *), &f->patch[i]);
	return true;
}
