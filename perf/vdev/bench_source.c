/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "perf/gen/packet_build.h"
#include "perf/vdev/bench_priv.h"

/* Rolling ports without touching a checksum is possible for UDP without one. */
static int find_roll(struct bench_source *s, struct err *e)
{
	struct packet_layout first = {0}, l;
	for (uint32_t i = 0; i < s->set.count; i++) {
		const uint8_t *p = packet_set_at(&s->set, i);
		if (!packet_locate(p, packet_set_bytes(&s->set, i), &l) ||
		    load_be16(p + l.checksum) != 0 || (i && l.l4 != first.l4))
			return err_set(e, EINVAL, "roll: needs UDP over IPv4 without checksums");
		if (i == 0)
			first = l;
	}
	s->roll_at = first.l4;
	return 0;
}

int bench_source_segment(struct bench_source *s, uint16_t mss, struct err *e)
{
	struct packet_layout first = {0}, l;
	struct rte_mbuf m = {.tso_segsz = mss};

	for (uint32_t i = 0; i < s->set.count; i++) {
		const uint8_t *p = packet_set_at(&s->set, i);
		if (!packet_locate(p, packet_set_bytes(&s->set, i), &l) || l.proto != 6 || l.ipv6 ||
		    (i && (l.l3 != first.l3 || l.l4 != first.l4 || p[l.l4 + 12] >> 4 != 5)))
			return err_set(e, EINVAL, "mss: needs TCP over IPv4 of one layout");
		if (i == 0)
			first = l;
	}
	m.l2_len = first.l3;
	m.l3_len = first.l4 - first.l3;
	m.l4_len = 20;
	s->tso = m.tx_offload;
	return 0;
}

int bench_source_open(struct bench_source *s, const struct bench_source_args *a, bool rss,
		      struct err *e)
{
	*s = (struct bench_source){0};
	if (!a->given)
		return 0;
	int ret = a->pcap[0] ? packet_set_load(&s->set, a->pcap, a->spec.mark, e)
			     : packet_set_build(&s->set, &a->spec, e);
	if (ret == 0 && a->roll)
		ret = find_roll(s, e);
	if (ret) {
		bench_source_close(s);
		return ret;
	}
	s->one_line = !s->set.lengths && s->set.uniform_bytes <= 64;
	if (rss) {
		s->hashes = xcalloc(s->set.count, sizeof *s->hashes);
		for (uint32_t i = 0; i < s->set.count; i++)
			s->hashes[i] = packet_set_hash(packet_set_at(&s->set, i),
						       packet_set_bytes(&s->set, i));
	}
	return 0;
}

void bench_source_close(struct bench_source *s)
{
	packet_set_free(&s->set);
	free(s->hashes);
	*s = (struct bench_source){0};
}

void bench_cursor_init(struct bench_cursor *c, const struct bench_source *s, uint32_t i, uint32_t n)
{
	*c = (struct bench_cursor){0};
	uint32_t count = s->set.count;
	if (count == 0)
		return;
	c->source = s;
	/* Each queue has its own flows, as a NIC's hash would see to; with fewer flows than
	 * queues they share them. */
	bool apart = count >= n;
	c->begin = apart ? (uint32_t)((uint64_t)count * i / n) : 0;
	c->end = apart ? (uint32_t)((uint64_t)count * (i + 1) / n) : count;
	c->next = c->begin;
	c->rolled = i << 26;
}
