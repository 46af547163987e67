/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/gen/packet_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/base/hash.h"
#include "perf/gen/packet_build.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMP6 = 58, PROTO_DSTOPTS = 60, EXT6_HEADERS = 8 };
enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IPV6 = 0x86dd };
enum { VXLAN_OUTER_BYTES = 14 + 20 + 8 + 8 };

/* Stations of the benchmark network: side A sends to side B; the router is what pipe5 routes. */
static const uint64_t mac_a = 0x020000000a00, mac_b = 0x020000000b00, mac_router = 0x02000000ee01;

/* ---- what a flow number becomes ------------------------------------------------------------ */

static struct packet_tuple tuple_of(const struct packet_set_spec *s, uint32_t i)
{
	uint64_t h = hash_u64(((uint64_t)s->seed << 32) + i + 1);
	/* The source address is the flow number itself, so that no two flows coincide. */
	return (struct packet_tuple){
		.src = 0x0a000000 + i + 1,
		.dst = 0x14000000 + (uint32_t)((h & 0xff) << 8) + (uint32_t)(h >> 8 & 0xff),
		.sport = (uint16_t)(1024 + (h >> 16) % 64000),
		.dport = (uint16_t)(1024 + (h >> 32) % 64000),
	};
}

static void swap_tuple(struct packet_tuple *t)
{
	*t = (struct packet_tuple){t->dst, t->src, t->dport, t->sport};
}

static void write_ip(struct packet_writer *w, const struct packet_set_spec *s, uint64_t dst_mac,
		     uint64_t src_mac, struct packet_tuple t, bool tcp)
{
	if (s->reverse) {
		uint64_t mac = dst_mac;
		dst_mac = src_mac;
		src_mac = mac;
		swap_tuple(&t);
	}
	packet_put_eth(w, dst_mac, src_mac, s->vlan, s->ipv6 ? TYPE_IPV6 : TYPE_IPV4);
	packet_put_ip(w, &t, tcp ? PROTO_TCP : PROTO_UDP, s->ipv6);
	packet_put_l4(w, &t);
	packet_finish(w);
}

static uint64_t source_mac(const struct packet_set_spec *s, uint32_t i)
{
	return mac_a + (s->macs > 1 ? (uint64_t)(i % s->macs) << 24 : 0);
}

static void fill_l2(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	write_ip(w, s, mac_b, source_mac(s, i), tuple_of(s, i), s->tcp);
}

static void fill_pipe5(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i);
	/* Route k of 100 is 20.0.k.0/24. */
	t.dst = 0x14000000 + (i % 100 << 8) + (t.dst & 0xff);
	write_ip(w, s, mac_router, mac_a, t, s->tcp);
}

static void fill_tse_victim(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i);
	t.dport = 80;
	write_ip(w, s, mac_b, mac_a, t, true);
}

/* value with bit `first` (0 = most significant) flipped and what follows taken from noise: it
 * differs from value there and nowhere before. */
static uint32_t differ_at(uint32_t value, unsigned width, unsigned first, uint32_t noise)
{
	uint32_t bit = 1u << (width - 1 - first);
	return ((value ^ bit) & ~(bit - 1)) | (noise & (bit - 1));
}

static void fill_tse(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	uint64_t h = hash_u64(((uint64_t)s->seed << 32) + i + 1);
	/* 32 x 16 x 16 triples; the low bits of i walk through all three so that any share of
	 * them has masks in every dimension. */
	uint32_t n = i % 8192;
	struct packet_tuple t = {
		.src = differ_at(0x0a00000a, 32, n % 32, (uint32_t)h),
		.dst = 0x14000001,
		.sport = (uint16_t)differ_at(12345, 16, n / 32 % 16, (uint32_t)(h >> 32)),
		.dport = (uint16_t)differ_at(80, 16, n / 512, (uint32_t)(h >> 48)),
	};
	write_ip(w, s, mac_b, mac_a + 0x40, t, true);
}

static void fill_mac_flood(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	write_ip(w, s, mac_b, 0x060000000000 + ((uint64_t)s->seed << 32) + i, tuple_of(s, 0),
		 false);
}

static void fill_arp(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	uint64_t mac = 0x0a0000000000 + ((uint64_t)s->seed << 32) + i;
	packet_put_eth(w, 0xffffffffffff, mac, s->vlan, TYPE_ARP);
	uint8_t *p = w->data + w->at;
	store_be16(p, 1);
	store_be16(p + 2, TYPE_IPV4);
	p[4] = 6;
	p[5] = 4;
	store_be16(p + 6, 1);
	memcpy(p + 8, w->data + 6, 6);
	store_be32(p + 14, 0x0a000001 + i);
	store_be32(p + 24, 0x14000001 + i);
	w->at = (uint16_t)(w->at + 28);
}

static void fill_nd(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = {.src = 0x0a000001 + i, .dst = 0x14000001 + i};
	packet_put_eth(w, 0x3333ff000000 + (t.dst & 0xffffff), 0x0a0000000000 + i, s->vlan,
		       TYPE_IPV6);
	packet_put_ip(w, &t, PROTO_ICMP6, true);
	uint8_t *ip = w->data + w->l3, *p = w->data + w->l4;
	uint8_t target[16];
	memcpy(target, ip + 24, sizeof target);
	ip[7] = 255;
	/* solicited-node address of the target: ff02::1:ffXX:XXXX (RFC 4861 4.3) */
	memset(ip + 24, 0, 16);
	store_be16(ip + 24, 0xff02);
	ip[24 + 11] = 1;
	store_be32(ip + 24 + 12, 0xff000000 | (t.dst & 0xffffff));
	p[0] = 135;
	memcpy(p + 8, target, sizeof target);
	/* What follows the message (a mark, say) is padding of the frame, not of the message. */
	const uint16_t bytes = 24;
	store_be16(ip + 4, bytes);
	uint32_t sum = packet_sum(ip + 8, 32, (uint32_t)PROTO_ICMP6 + bytes);
	store_be16(p + 2, (uint16_t)~packet_sum(p, bytes, sum));
}

static void fill_frag(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i / 2);
	packet_put_eth(w, mac_b, mac_a, s->vlan, TYPE_IPV4);
	packet_put_ip(w, &t, PROTO_UDP, false);
	uint8_t *ip = w->data + w->l3;
	store_be16(ip + 4, (uint16_t)(i / 2));
	/* 1480 bytes of payload in the first, so the last begins at 185 x 8. The first is cut
	 * short: reassembly holds it until its time-out. */
	store_be16(ip + 6, i & 1 ? 185 : 0x2000);
	if (!(i & 1))
		packet_put_l4(w, &t);
	w->proto = 0;
	packet_finish(w);
}

static void fill_tiny_frag(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i / 4);
	packet_put_eth(w, mac_b, mac_a, s->vlan, TYPE_IPV4);
	packet_put_ip(w, &t, PROTO_UDP, false);
	uint8_t *ip = w->data + w->l3;
	store_be16(ip + 2, 20 + 8); /* what follows is padding of the frame */
	store_be16(ip + 4, (uint16_t)(i / 4));
	store_be16(ip + 6, (uint16_t)(0x2000 | i % 4));
	if (i % 4 == 0)
		packet_put_l4(w, &t);
	w->proto = 0;
	packet_finish(w);
}

static void fill_ext6(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i);
	packet_put_eth(w, mac_b, mac_a, s->vlan, TYPE_IPV6);
	packet_put_ip(w, &t, PROTO_DSTOPTS, true);
	for (unsigned n = 1; n <= EXT6_HEADERS; n++, w->at += 8) {
		uint8_t *p = w->data + w->at;
		p[0] = n < EXT6_HEADERS ? PROTO_DSTOPTS : PROTO_UDP;
		p[2] = 1; /* PadN to the end of the 8 bytes */
		p[3] = 4;
	}
	w->l4 = w->at;
	w->proto = PROTO_UDP;
	packet_put_l4(w, &t);
	packet_finish(w);
}

static void fill_syn(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i);
	packet_put_eth(w, mac_b, mac_a, s->vlan, TYPE_IPV4);
	packet_put_ip(w, &t, PROTO_TCP, false);
	packet_put_l4(w, &t);
	w->data[w->l4 + 13] = 0x02;
	store_be32(w->data + w->l4 + 8, 0);
	packet_finish(w);
}

static void fill_vlan_storm(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	struct packet_tuple t = tuple_of(s, i);
	packet_put_eth(w, 0xffffffffffff, 0x0a0000000000 + ((uint64_t)s->seed << 32) + i,
		       (uint16_t)(1 + i % 4094), TYPE_IPV4);
	packet_put_ip(w, &t, PROTO_UDP, false);
	packet_put_l4(w, &t);
	packet_finish(w);
}

static void fill_vxlan(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i)
{
	uint64_t h = hash_u64(i + 1);
	struct packet_tuple outer = {.src = 0xc0a83202,
				     .dst = 0xc0a83201,
				     .sport = (uint16_t)(49152 + h % 16384),
				     .dport = 4789};
	packet_put_eth(w, mac_b, mac_a, 0, TYPE_IPV4);
	packet_put_ip(w, &outer, PROTO_UDP, false);
	packet_put_l4(w, &outer);
	packet_finish(w);
	store_be32(w->data + w->at, 0x08000000);
	store_be32(w->data + w->at + 4, 100 << 8);
	struct packet_writer inner = {.data = w->data + w->at + 8,
				      .bytes = (uint16_t)(w->bytes - w->at - 8)};
	fill_l2(&inner, s, i);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct kind_row {
	const char *name;
	uint32_t flows;
	void (*fill)(struct packet_writer *w, const struct packet_set_spec *s, uint32_t i);
	const char *doc;
} kinds[PACKET_SET_N_KINDS] = {
#define PACKET_SET(id, name, flows, fill, doc) [PACKET_SET_##id] = {name, flows, fill, doc},
#include "perf/gen/packet_sets.def"
#undef PACKET_SET
};

int packet_set_kind_from_name(const char *name, enum packet_set_kind *kind)
{
	for (unsigned i = 0; i < PACKET_SET_N_KINDS; i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*kind = (enum packet_set_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *packet_set_kind_name(enum packet_set_kind kind)
{
	return kinds[kind].name;
}

const char *packet_set_kind_doc(enum packet_set_kind kind)
{
	return kinds[kind].doc;
}

/* ---- building ---------------------------------------------------------------------------------
 */

static uint16_t needed_bytes(const struct packet_set_spec *s)
{
	unsigned tag = s->vlan ? 4 : 0, l3 = s->ipv6 ? 40 : 20, l4 = s->tcp ? 20 : 8, bytes = 0;
	switch (s->kind) {
	case PACKET_SET_L2:
	case PACKET_SET_PIPE5:
		bytes = 14 + tag + l3 + l4;
		break;
	case PACKET_SET_TSE_VICTIM:
	case PACKET_SET_TSE:
		bytes = 14 + tag + l3 + 20;
		break;
	case PACKET_SET_MAC_FLOOD:
		bytes = 14 + tag + l3 + 8;
		break;
	case PACKET_SET_ARP:
	case PACKET_SET_FRAG:
	case PACKET_SET_TINY_FRAG:
		bytes = 14 + tag + 28;
		break;
	case PACKET_SET_ND:
		bytes = 14 + tag + 40 + 24;
		break;
	case PACKET_SET_EXT6:
		bytes = 14 + tag + 40 + EXT6_HEADERS * 8 + 8;
		break;
	case PACKET_SET_SYN:
		bytes = 14 + tag + 20 + 20;
		break;
	case PACKET_SET_VLAN_STORM:
		bytes = 14 + 4 + 20 + 8;
		break;
	case PACKET_SET_VXLAN:
		bytes = VXLAN_OUTER_BYTES + 14 + tag + l3 + l4;
		break;
	case PACKET_SET_N_KINDS:
		break;
	}
	return (uint16_t)(bytes + (s->mark ? PACKET_TRAILER_MARK_BYTES : 0));
}

static int check_spec(struct packet_set_spec *s, struct err *e)
{
	if ((unsigned)s->kind >= PACKET_SET_N_KINDS)
		return err_set(e, EINVAL, "set: unknown kind %u", (unsigned)s->kind);
	if (s->flows == 0)
		s->flows = kinds[s->kind].flows;
	if (s->flows > PACKET_SET_MAX_FLOWS)
		return err_set(e, EINVAL, "flows: %u: at most %u", s->flows, PACKET_SET_MAX_FLOWS);
	if (s->mark >= PACKET_SET_MARKS)
		return err_set(e, EINVAL, "mark: %u: at most %u", s->mark, PACKET_SET_MARKS - 1);
	if (s->vlan > 4094)
		return err_set(e, EINVAL, "vlan: %u: at most 4094", s->vlan);
	uint16_t needed = needed_bytes(s);
	if (s->size_bytes == 0)
		s->size_bytes = SL_MAX(needed, 64);
	if (s->size_bytes < needed)
		return err_set(e, EINVAL, "size: %u: %s needs at least %u", s->size_bytes,
			       kinds[s->kind].name, needed);
	if (s->size_bytes > PACKET_SET_MAX_BYTES)
		return err_set(e, EINVAL, "size: %u: at most %u", s->size_bytes,
			       PACKET_SET_MAX_BYTES);
	return 0;
}

/* Zeroed pages from the kernel, huge ones if it has them to spare: a million 64-byte slots on small
 * pages would measure the TLB. A small set has small ones: it counts as the switch's memory. */
static int map_slots(struct packet_set *set, uint32_t count, uint32_t stride, struct err *e)
{
	enum { SMALL_PAGE = 4096, HUGE_PAGE = 2 << 20 };
	size_t bytes = (size_t)count * stride;
	bool huge = bytes > HUGE_PAGE / 32;

	bytes = SL_ALIGN_UP(bytes, (size_t)(huge ? HUGE_PAGE : SMALL_PAGE));
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return err_set(e, ENOMEM, "packet set: no memory for %u packets of %u bytes", count,
			       stride);
	if (huge)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	*set = (struct packet_set){
		.slots = p, .map_bytes = bytes, .stride_bytes = stride, .count = count};
	return 0;
}

int packet_set_build(struct packet_set *set, const struct packet_set_spec *wanted, struct err *e)
{
	struct packet_set_spec spec = *wanted;
	*set = (struct packet_set){0};
	int ret = check_spec(&spec, e);
	if (ret == 0)
		ret = map_slots(set, spec.flows, SL_ALIGN_UP(spec.size_bytes, 64u), e);
	if (ret)
		return ret;
	set->uniform_bytes = spec.size_bytes;
	for (uint32_t i = 0; i < spec.flows; i++) {
		struct packet_writer w = {.data = packet_set_at(set, i), .bytes = spec.size_bytes};
		kinds[spec.kind].fill(&w, &spec, i);
		if (spec.mark)
			packet_set_mark(w.data, spec.size_bytes, spec.mark);
	}
	return 0;
}

void packet_set_free(struct packet_set *set)
{
	if (set->slots)
		munmap(set->slots, set->map_bytes);
	free(set->lengths);
	*set = (struct packet_set){0};
}

/* ---- marks and hashes ----------------------------------------------------------------------- */

/* RFC 1624 on the whole packet's last four bytes: what leaves and what comes is summed as it stands
 * relative to the transport header, whose first byte is the even one. */
static void replace_checksum(uint8_t *packet, uint16_t at, uint32_t before, uint32_t after)
{
	uint32_t sum = (uint16_t)~load_be16(packet + at);
	sum += (uint16_t)~before + after;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	store_be16(packet + at, (uint16_t)~sum);
}

static uint32_t sum_tail(const uint8_t *tail, bool odd)
{
	uint8_t padded[6] = {0};
	memcpy(padded + odd, tail, PACKET_TRAILER_MARK_BYTES);
	return packet_sum(padded, sizeof padded, 0);
}

void packet_set_mark(uint8_t *packet, uint16_t bytes, uint8_t mark)
{
	if (bytes < PACKET_TRAILER_MARK_BYTES)
		return;
	uint8_t *tail = packet + bytes - PACKET_TRAILER_MARK_BYTES;
	const uint16_t magic = PACKET_TRAILER_MAGIC;
	uint8_t trailer[PACKET_TRAILER_MARK_BYTES] = {0, mark};
	memcpy(trailer + 2, &magic, sizeof magic);

	struct packet_layout l;
	if (packet_locate(packet, bytes, &l) && load_be16(packet + l.checksum) != 0 &&
	    tail >= packet + l.checksum + 2) {
		bool odd = ((bytes - PACKET_TRAILER_MARK_BYTES - l.l4) & 1) != 0;
		replace_checksum(packet, l.checksum, sum_tail(tail, odd), sum_tail(trailer, odd));
	}
	memcpy(tail, trailer, sizeof trailer);
}

uint32_t packet_set_hash(const uint8_t *packet, uint16_t bytes)
{
	static const uint64_t key[2] = {0x736c75696365, 0x62656e6368};
	struct packet_layout l;
	if (!packet_locate(packet, bytes, &l))
		return 0;
	uint8_t tuple[36];
	size_t addresses = l.ipv6 ? 32 : 8;
	memcpy(tuple, packet + l.l3 + (l.ipv6 ? 8 : 12), addresses);
	memcpy(tuple + addresses, packet + l.l4, 4);
	return (uint32_t)hash_bytes_keyed(tuple, addresses + 4, key) | 1;
}
