/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tracker's helpers change in a TCP packet behind its ports: sequence numbers, and a piece
 * of its payload. Poll thread. */
#include <string.h>

#include "datapath/conntrack/ct_shift.h"
#include "datapath/exec/exec_ct.h"
#include "datapath/exec/rewrite.h"
#include "datapath/flow/field.h"
#include "datapath/offload/checksum.h"
#include "datapath/offload/offload.h"

enum { SEQ_AT = 4, FLAGS_AT = 13, SUM_AT = 16, TCP_BYTES = 20, SACK = 5, EDGES_BYTES = 8 };

static bool put(struct packet *p, uint8_t anchor, unsigned ofs, enum field_csum csum,
		const void *value, unsigned n)
{
	struct prog_set s = {.anchor = anchor, .ofs = (uint8_t)ofs, .n_bytes = (uint8_t)n};

	s.csum = (uint8_t)csum;
	memcpy(s.value, value, n);
	memset(s.mask, 0xff, n);
	return rewrite_set(p, &s);
}

static bool put_edges(struct packet *p, unsigned from, unsigned to, const struct conn_shift *acked)
{
	for (unsigned at = from; at + EDGES_BYTES <= to; at += EDGES_BYTES) {
		const uint8_t *d = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->ofs.l4 + at);
		uint32_t left = load_be32(d), right = load_be32(d + 4);
		uint8_t edges[EDGES_BYTES];

		store_be32(edges, left - ct_shift_back(acked, left));
		store_be32(edges + 4, right - ct_shift_back(acked, right));
		if (!put(p, HDR_L4, at, CSUM_L4, edges, sizeof edges))
			return false;
	}
	return true;
}

/* Selective acknowledgments (RFC 2018 §3); options that are not sound end the search. */
static bool put_sack(struct packet *p, const struct conn_shift *acked)
{
	const uint8_t *tcp = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->ofs.l4);
	unsigned end = (tcp[12] >> 4) * 4u, at = TCP_BYTES;

	if (p->ofs.l4 + end > p->m->data_len)
		return true;
	while (at < end && tcp[at]) {
		if (tcp[at] == 1) {
			at++;
			continue;
		}
		if (end - at < 2 || tcp[at + 1] < 2 || tcp[at + 1] > end - at)
			break;
		if (tcp[at] == SACK && !put_edges(p, at + 2, at + tcp[at + 1], acked))
			return false;
		at += tcp[at + 1];
	}
	return true;
}

static bool put_numbers(struct packet *p, const struct ct_rewrite *rw)
{
	const uint8_t *tcp;
	uint8_t numbers[8];

	if (!p->ofs.l4)
		return true; /* a later fragment */
	if (p->m->data_len < p->ofs.l4 + TCP_BYTES)
		return false;
	tcp = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->ofs.l4);
	memcpy(numbers, tcp + SEQ_AT, sizeof numbers);
	store_be32(numbers, rw->seq);
	if (tcp[FLAGS_AT] & TCP_ACK)
		store_be32(numbers + 4, rw->ack);
	return put(p, HDR_L4, SEQ_AT, CSUM_L4, numbers, sizeof numbers) && put_sack(p, &rw->acked);
}

static bool put_ip_bytes(struct packet *p, int delta)
{
	bool v4 = p->ofs.ip_version == 4;
	unsigned at = v4 ? 2 : 4;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->ofs.l3);
	uint8_t bytes[2];

	store_be16(bytes, (uint16_t)(load_be16(ip + at) + delta));
	return put(p, HDR_L3, at, v4 ? CSUM_IP : CSUM_NONE, bytes, sizeof bytes);
}

/* Sum of TCP's bytes from an even place on, and of their number as the pseudo header has it. A
 * field that still awaits its checksum holds that number alone. */
static uint32_t sum_from(const struct packet *p, unsigned from, bool partial)
{
	unsigned end = p->m->data_len - p->ofs.tail_pad;
	uint32_t sum = cpu_to_be16((uint16_t)(end - p->ofs.l4));

	return partial ? sum : sum + checksum_sum(p->m, from, end - from);
}

static bool put_text(struct packet *p, const struct ct_edit *e)
{
	struct rte_mbuf *m = p->m;
	bool partial = offload_is_partial(m);
	int delta = (int)e->n_text - e->n_old;
	unsigned behind = e->at + e->n_old, from = p->ofs.l4 + ((e->at - p->ofs.l4) & ~1u), was_len;
	uint32_t was, is;
	uint8_t *d;

	was_len = m->data_len;
	if (m->nb_segs != 1 || !p->ofs.l4 || e->at < p->ofs.l4 + TCP_BYTES ||
	    behind + p->ofs.tail_pad > was_len)
		return false;
	was = sum_from(p, from, partial);
	if (delta > 0 && !rte_pktmbuf_append(m, (uint16_t)delta))
		return false;
	d = rte_pktmbuf_mtod(m, uint8_t *);
	memmove(d + e->at + e->n_text, d + behind, was_len - behind);
	memcpy(d + e->at, e->text, e->n_text);
	if (delta < 0)
		rte_pktmbuf_trim(m, (uint16_t)-delta);
	is = sum_from(p, from, partial);
	rewrite_fix_sum(d + p->ofs.l4 + SUM_AT, (uint64_t)(uint16_t)~rewrite_fold(was) + is,
			partial, false);
	return put_ip_bytes(p, delta);
}

bool exec_ct_may_edit(const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) &&
	       rte_pktmbuf_tailroom(m) >= CT_EDIT_BYTES;
}

bool exec_ct_payload(struct packet *p, const struct ct_rewrite *rw)
{
	return (!rw->shifted || put_numbers(p, rw)) && (!rw->edit.n_old || put_text(p, &rw->edit));
}
