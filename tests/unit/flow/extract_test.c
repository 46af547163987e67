/* SPDX-License-Identifier: BSD-3-Clause */
/* The parser against packets made and dissected by scapy (packets.txt, make_packets.py), cut at
 * every length, at every depth; and the field table against the parser: each field written into a
 * packet where the table says comes out of it, and nothing else changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/flow/extract.h"
#include "datapath/flow/field.h"
#include "datapath/flow/packet_build.h"

static uint64_t seed = 11;

static uint64_t draw(void)
{
	return hash_u64(seed++);
}

/* Extracts from an exact copy on the heap, so that ASan sees a read too far; lines that the parser
 * did not write hold rubbish first and are zeros in what is returned. */
typedef uint16_t extract_fn(const uint8_t *, uint32_t, uint32_t, struct flow_key *,
			    struct flow_offsets *);

static uint16_t run(extract_fn *fn, const uint8_t *data, size_t len, size_t pkt_len,
		    struct flow_key *key, struct flow_offsets *ofs)
{
	uint8_t *copy = malloc(len ? len : 1);
	uint16_t lines;

	assert_non_null(copy);
	memcpy(copy, data, len);
	memset(key, 0xa5, sizeof *key);
	memset(ofs, 0xa5, sizeof *ofs);
	lines = fn(copy, (uint32_t)len, (uint32_t)pkt_len, key, ofs);
	free(copy);
	assert_true(lines & 1u << FLOW_LINE_BASE);
	for (unsigned i = 0; i < FLOW_KEY_LINES; i++) {
		uint8_t *line = (uint8_t *)key + i * FLOW_LINE_BYTES;

		for (unsigned k = 0; !(lines >> i & 1) && k < FLOW_LINE_BYTES; k++)
			assert_int_equal(line[k], 0xa5);
		if (!(lines >> i & 1))
			memset(line, 0, FLOW_LINE_BYTES);
	}
	return lines;
}

static uint16_t line0(const uint8_t *data, uint32_t len, uint32_t pkt_len, struct flow_key *key,
		      struct flow_offsets *ofs)
{
	return flow_extract_depth(EXTRACT_L4, data, len, pkt_len, key, ofs);
}

static uint16_t l2(const uint8_t *data, uint32_t len, uint32_t pkt_len, struct flow_key *key,
		   struct flow_offsets *ofs)
{
	return flow_extract_depth(EXTRACT_L2, data, len, pkt_len, key, ofs);
}

/* All ways to parse the same bytes agree on what they promise. */
static void check_depths(const char *name, const uint8_t *data, size_t len, size_t pkt_len)
{
	struct flow_key full, ref, base, eth, only;
	struct flow_offsets ofs, ofs_ref, ofs_base, ofs_eth;
	uint16_t a = run(flow_extract, data, len, pkt_len, &full, &ofs);
	uint16_t b = run(flow_extract_reference, data, len, pkt_len, &ref, &ofs_ref);

	if (a != b || memcmp(&full, &ref, sizeof full) || memcmp(&ofs, &ofs_ref, sizeof ofs))
		fail_msg("%s: %zu of %zu bytes: short cut and reference differ", name, len,
			 pkt_len);
	run(line0, data, len, pkt_len, &base, &ofs_base);
	if (memcmp(&full, &base, FLOW_LINE_BYTES))
		fail_msg("%s: %zu bytes: line 0 differs", name, len);
	ofs_base.nd_sll = ofs.nd_sll; /* needs line 1 */
	ofs_base.nd_tll = ofs.nd_tll;
	assert_memory_equal(&ofs, &ofs_base, sizeof ofs);
	run(l2, data, len, pkt_len, &eth, &ofs_eth);
	assert_memory_equal(eth.eth_dst, full.eth_dst, 14);
	assert_memory_equal(eth.vlan, full.vlan, sizeof eth.vlan);
	assert_int_equal(ofs_eth.l3, ofs.l3);
	assert_int_equal(ofs_eth.n_vlans, ofs.n_vlans);
	memset(&only, 0, sizeof only);
	flow_extract_l2(data, (uint32_t)SL_MIN(len, pkt_len), &only);
	assert_memory_equal(&eth, &only, 32);
	assert_true(ofs.l3 <= len && ofs.l4 <= len && ofs.payload <= len && ofs.ip_payload <= len);
}

/* One line of packets.txt. */
struct packet {
	char name[64];
	uint8_t data[512];
	size_t len;
	struct flow want;
};

/* Members of the key that are no field of OpenFlow. */
static bool set_internal(struct flow *flow, const char *key, const char *value)
{
	unsigned long v = strtoul(value, NULL, 0);
	struct flow_key *k = &flow->key;

	if (!strncmp(key, "vlan", 4) && (key[4] == '0' || key[4] == '1')) {
		struct flow_vlan *t = &k->vlan[key[4] - '0'];

		*(strcmp(key + 6, "tci") ? &t->tpid : &t->tci) = cpu_to_be16((uint16_t)v);
		return true;
	}
	if (!strncmp(key, "mpls_lse", 8)) {
		k->mpls_lse[key[8] - '0'] = cpu_to_be32((uint32_t)v);
		return true;
	}
	if (!strcmp(key, "mpls_depth")) {
		k->mpls_depth = (uint8_t)v;
		return true;
	}
	return false;
}

static void set_named(struct flow *flow, const char *key, const char *value)
{
	const struct field_info *f;
	union field_value v, mask;
	struct err e = {0};

	if (set_internal(flow, key, value))
		return;
	f = field_by_name(key, strlen(key));
	if (!f || field_parse_value(f, value, &v, &mask, &e))
		fail_msg("packets.txt: %s=%s: %s", key, value, e.text);
	field_set(f, flow, &v);
}

static size_t unhex(const char *s, uint8_t *out, size_t max)
{
	size_t n = 0;

	for (; *s && *s != '-' && n < max; s += 2)
		out[n++] = (uint8_t)strtoul((char[]){s[0], s[1], '\0'}, NULL, 16);
	return n;
}

static bool read_packet(FILE *f, struct packet *p)
{
	char line[4096], *save, *word;

	if (!fgets(line, sizeof line, f))
		return false;
	memset(p, 0, sizeof *p);
	line[strcspn(line, "\n")] = '\0';
	word = strtok_r(line, " ", &save);
	snprintf(p->name, sizeof p->name, "%s", word);
	p->len = unhex(strtok_r(NULL, " ", &save), p->data, sizeof p->data);
	while ((word = strtok_r(NULL, " ", &save))) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		set_named(&p->want, word, value);
	}
	return true;
}

static FILE *open_packets(void)
{
	FILE *f = fopen("tests/unit/flow/packets.txt", "r");

	assert_non_null(f);
	return f;
}

static void keys_are_what_scapy_sees(void **state)
{
	FILE *f = open_packets();
	struct packet p;
	unsigned n = 0;

	for (; read_packet(f, &p); n++) {
		struct flow_key key;
		struct flow_offsets ofs;

		run(flow_extract, p.data, p.len, p.len, &key, &ofs);
		for (size_t i = 0; i < sizeof key; i++)
			if (((uint8_t *)&key)[i] != ((uint8_t *)&p.want.key)[i])
				fail_msg("%s: byte %zu of the key is %02x, not %02x", p.name, i,
					 ((uint8_t *)&key)[i], ((uint8_t *)&p.want.key)[i]);
		check_depths(p.name, p.data, p.len, p.len);
	}
	fclose(f);
	assert_true(n > 80);
}

/* Cut anywhere, whole or only at the front: never a byte too far, and all depths agree. */
static void any_length_is_safe(void **state)
{
	FILE *f = open_packets();
	struct packet p;

	while (read_packet(f, &p))
		for (size_t len = 0; len <= p.len; len++) {
			check_depths(p.name, p.data, len, p.len);
			check_depths(p.name, p.data, len, len);
			check_depths(p.name, p.data, p.len, len);
		}
	fclose(f);
}

static void damage_is_safe(void **state)
{
	FILE *f = open_packets();
	struct packet p;

	while (read_packet(f, &p))
		for (int round = 0; round < 200 && p.len; round++) {
			uint8_t data[sizeof p.data];

			memcpy(data, p.data, p.len);
			for (int k = 0; k < 3; k++)
				data[draw() % p.len] = (uint8_t)draw();
			check_depths(p.name, data, p.len, p.len + draw() % 3);
		}
	fclose(f);
}

static void random_bytes(void *p, size_t n)
{
	uint8_t *b = p;

	while (n--)
		*b++ = (uint8_t)draw();
}

/* A flow with random contents for which the field's prerequisites hold. */
static void random_flow(const struct field_info *f, struct flow *flow)
{
	struct match m;
	struct flow_key *k = &flow->key;
	bool v6;

	match_init(&m);
	field_prereq_fill(f->prereq, &m);
	*flow = m.value;
	random_bytes(k->eth_dst, 12);
	if (!k->eth_type)
		k->eth_type = cpu_to_be16(0x0800);
	v6 = be16_to_cpu(k->eth_type) == 0x86dd;
	if (f->anchor == HDR_VLAN) {
		k->vlan[0].tpid = cpu_to_be16(0x8100);
		k->vlan[0].tci = (be16_t)draw() | cpu_to_be16(VLAN_CFI);
	}
	if (be16_to_cpu(k->eth_type) == 0x8847) {
		k->mpls_lse[0] = (be32_t)draw() | cpu_to_be32(0x100);
		k->mpls_depth = 1;
		return;
	}
	k->ip_ttl = (uint8_t)draw();
	k->ip_tos = (uint8_t)draw();
	if (be16_to_cpu(k->eth_type) == 0x0806) {
		k->ip_ttl = k->ip_tos = 0;
		k->ip_proto = (uint8_t)draw();
		random_bytes(k->arp_sha, 12);
		random_bytes(&k->ip_src, 8);
		return;
	} else if (!k->ip_proto) {
		k->ip_proto = 17;
	}
	k->ttl_class = SL_MIN(k->ip_ttl, 15);
	if (v6) {
		random_bytes(k->ipv6_src, 32);
		k->ipv6_label = (be32_t)draw() & cpu_to_be32(0xfffff);
	} else {
		random_bytes(&k->ip_src, 8);
	}
	if (k->ip_proto == 6 || k->ip_proto == 17 || k->ip_proto == 132)
		random_bytes(&k->tp_src, 4);
	if (k->ip_proto == 6)
		k->tcp_flags = (be16_t)draw() & cpu_to_be16(0xfff);
	if (f->prereq == PREREQ_ND || f->prereq == PREREQ_ND_SOLICIT ||
	    f->prereq == PREREQ_ND_ADVERT) {
		k->tp_src = cpu_to_be16(f->prereq == PREREQ_ND_ADVERT ? 136 : 135);
		random_bytes(k->nd_target, 16);
		random_bytes(k->arp_sha, 12);
		k->nd_reserved = (be32_t)draw();
		k->nd_options_type = 1;
	}
}

/* Values that keep the packet the same kind of packet. */
static void tame(const struct field_info *f, union field_value *v)
{
	if (f->id == FIELD_VLAN_VID || f->id == FIELD_VLAN_TCI)
		v->b[0] |= VLAN_CFI >> 8;
	if (f->id == FIELD_MPLS_BOS)
		v->b[0] = 1;
	if (f->id == FIELD_ICMPV6_TYPE)
		v->b[0] &= 0x7f;
	if (f->id == FIELD_IP_PROTO)
		v->b[0] = (uint8_t)(200 + v->b[0] % 50);
	if (f->id == FIELD_ND_OPTIONS_TYPE)
		v->b[0] = 1;
	if (f->id == FIELD_ARP_OP)
		v->b[0] = 0;
}

static void written_fields_come_out(void **state)
{
	unsigned written = 0;

	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];

		for (int round = 0; round < 30 && f->anchor != HDR_NONE; round++) {
			struct flow flow, got = {0};
			struct flow_offsets ofs;
			uint8_t packet[PACKET_BUILD_MAX];
			union field_value v, all;
			size_t len;

			random_flow(f, &flow);
			len = packet_build(&flow, 8, packet, sizeof packet);
			assert_true(len > 0);
			run(flow_extract, packet, len, len, &got.key, &ofs);
			if (memcmp(&flow.key, &got.key, sizeof got.key))
				fail_msg("%s: what was built is not what was meant", f->name);
			field_full_mask(f, &all);
			for (size_t i = 0; i < f->n_bytes; i++)
				v.b[i] = (uint8_t)draw() & all.b[i];
			tame(f, &v);
			assert_true(packet_write_field(packet, &ofs, f, &v));
			packet_fix_checksums(packet, len, &ofs);
			run(flow_extract, packet, len, len, &got.key, &ofs);
			field_set(f, &flow, &v);
			if (id == FIELD_IP_PROTO)
				flow.key.tp_src = flow.key.tp_dst = flow.key.tcp_flags = 0;
			if (memcmp(&flow.key, &got.key, sizeof got.key))
				fail_msg("%s: written into a packet, something else came out",
					 f->name);
			written++;
		}
	}
	assert_true(written > 30 * 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_what_scapy_sees),
		cmocka_unit_test(any_length_is_safe),
		cmocka_unit_test(damage_is_safe),
		cmocka_unit_test(written_fields_come_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
