/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of resolve share: bridges and ports in a line each, and an executor that runs a
 * program on a flow key instead of on bytes. */
#pragma once
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/core/version.h"
#include "datapath/flow/field.h"
#include "datapath/resolve/resolve.h"
#include "datapath/table/bridge.h"
#include "datapath/table/mac_table.h"
#include "datapath/table/table_events.h"

static uint64_t test_now_ms = 1000000;

static inline struct bridge *make_bridge(const char *name)
{
	struct bridge_config c;
	struct bridge *b = NULL;
	struct txn t;
	struct err e = {0};

	bridge_config_init(&c);
	c.open = true;
	txn_begin(&t);
	if (bridge_set(&t, name, &c, &b, &e))
		fail_msg("%s", e.text);
	txn_commit(&t);
	return b;
}

static inline struct bridge_port_config port_config(const char *name, uint32_t id)
{
	struct bridge_port_config c;

	bridge_port_config_init(&c);
	snprintf(c.name, sizeof c.name, "%s", name);
	c.port_id = id;
	c.ofport = id;
	return c;
}

static inline void add_port(struct bridge *b, const struct bridge_port_config *c)
{
	struct txn t;
	struct err e = {0};

	txn_begin(&t);
	if (bridge_port_set(&t, b, c, &e))
		fail_msg("%s", e.text);
	txn_commit(&t);
}

static inline void add_access(struct bridge *b, uint32_t id, uint16_t tag)
{
	char name[16];
	struct bridge_port_config c;

	snprintf(name, sizeof name, "p%u", id);
	c = port_config(name, id);
	c.vlan_mode = VLAN_MODE_ACCESS;
	c.tag = tag;
	add_port(b, &c);
}

static inline void add_plain(struct bridge *b, uint32_t id)
{
	char name[16];
	struct bridge_port_config c;

	snprintf(name, sizeof name, "p%u", id);
	c = port_config(name, id);
	add_port(b, &c);
}

static inline void set_mac(uint8_t mac[6], uint8_t last)
{
	memset(mac, 0, 6);
	mac[0] = 2;
	mac[5] = last;
}

static inline struct flow_key eth_packet(uint32_t port, uint8_t src, uint8_t dst)
{
	struct flow_key k;

	memset(&k, 0, sizeof k);
	k.in_port = port;
	set_mac(k.eth_src, src);
	if (dst == 0xff)
		memset(k.eth_dst, 0xff, 6);
	else
		set_mac(k.eth_dst, dst);
	k.eth_type = cpu_to_be16(0x0800);
	k.ip_ttl = 64;
	k.ttl_class = 15;
	k.ip_proto = 17;
	k.ip_src = cpu_to_be32(0x0a000001);
	k.ip_dst = cpu_to_be32(0x0a000002);
	k.tp_src = cpu_to_be16(1000);
	k.tp_dst = cpu_to_be16(2000);
	return k;
}

static inline void tag_packet(struct flow_key *k, uint16_t vid, uint8_t pcp)
{
	k->vlan[1] = k->vlan[0];
	k->vlan[0].tpid = cpu_to_be16(0x8100);
	k->vlan[0].tci = cpu_to_be16((uint16_t)(vid | pcp << 13 | VLAN_CFI));
}

/* ---- executor ---- */
enum { RUN_OUTPUTS_MAX = 512 };
struct run_output {
	uint32_t port; /* datapath port; 0x10000 | id: controller; 0x20000 | id: recirculation */
	struct flow_key key;
};
struct run {
	unsigned n;
	struct run_output out[RUN_OUTPUTS_MAX];
};

static inline void apply_bytes(uint8_t *key, const struct prog_set *s, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		key[i] = (uint8_t)((key[i] & ~s->mask[from + i]) |
				   (s->value[from + i] & s->mask[from + i]));
}

/* Byte `b` of the header at the anchor, as a place in the key; NULL: the key does not have it. */
static inline uint8_t *byte_of(struct flow_key *k, uint8_t anchor, unsigned b)
{
	bool v6 = k->eth_type == cpu_to_be16(0x86dd);

	switch (anchor) {
	case HDR_ETH:
		return b < 6 ? &k->eth_dst[b] : b < 12 ? &k->eth_src[b - 6] : NULL;
	case HDR_VLAN:
		return (uint8_t *)&k->vlan[0].tci + b;
	case HDR_VLAN2:
		return (uint8_t *)&k->vlan[1].tci + b;
	case HDR_L3:
		if (v6)
			return b == 7   ? &k->ip_ttl
			       : b < 8  ? NULL
			       : b < 24 ? &k->ipv6_src[b - 8]
					: &k->ipv6_dst[b - 24];
		return b == 1    ? &k->ip_tos
		       : b == 8  ? &k->ip_ttl
		       : b >= 12 ? (uint8_t *)&k->ip_src + (b - 12)
				 : NULL;
	case HDR_L4:
		if (k->ip_proto == 1 || k->ip_proto == 58)
			return b ? (uint8_t *)&k->tp_dst + 1 : (uint8_t *)&k->tp_src + 1;
		return (uint8_t *)&k->tp_src + b;
	case HDR_ARP:
		return b == 7   ? &k->ip_proto
		       : b < 14 ? &k->arp_sha[b - 8]
		       : b < 18 ? (uint8_t *)&k->ip_src + (b - 14)
		       : b < 24 ? &k->arp_tha[b - 18]
				: (uint8_t *)&k->ip_dst + (b - 24);
	case HDR_ND:
		return b >= 8 && b < 24 ? &k->nd_target[b - 8] : NULL;
	case HDR_ND_SLL:
		return b >= 2 && b < 8 ? &k->arp_sha[b - 2] : NULL;
	case HDR_ND_TLL:
		return b >= 2 && b < 8 ? &k->arp_tha[b - 2] : NULL;
	}
	return NULL;
}

static inline void apply_set(struct flow_key *k, const struct prog_set *s)
{
	if (s->anchor == HDR_L3 && !s->ofs && s->n_bytes == 4) {
		uint32_t mask = load_be32(s->mask), value = load_be32(s->value);
		uint32_t word = (uint32_t)k->ip_tos << 20 | be32_to_cpu(k->ipv6_label);

		word = (word & ~mask) | (value & mask);
		k->ip_tos = (uint8_t)(word >> 20);
		k->ipv6_label = cpu_to_be32(word & 0xfffff);
		return;
	}
	for (unsigned i = 0; i < s->n_bytes; i++) {
		uint8_t *p = byte_of(k, s->anchor, s->ofs + i);

		if (s->mask[i])
			assert_non_null(p);
		if (p)
			*p = (uint8_t)((*p & ~s->mask[i]) | (s->value[i] & s->mask[i]));
	}
	k->ttl_class = SL_MIN(k->ip_ttl, 15);
}

static inline void record(struct run *run, uint32_t port, const struct flow_key *k)
{
	if (run->n >= RUN_OUTPUTS_MAX)
		fail_msg("too many outputs");
	run->out[run->n].port = port;
	run->out[run->n++].key = *k;
}

/* `select`: which share of a select group this packet falls into, per mille. */
static inline void run_ops(struct run *run, const union prog_word *w, uint32_t n,
			   struct flow_key *k, unsigned select)
{
	for (uint32_t i = 0; i < n;) {
		const struct prog_op *op = &w[i].op;
		const union prog_word *data = &w[i + 1];

		i += 1u + op->n_words;
		switch ((enum prog_op_code)op->code) {
		case OP_OUTPUT:
		case OP_POLICY_OUT: /* what the edges say is theirs */
			record(run, op->b, k);
			break;
		case OP_POLICY_IN:
			break;
		case OP_DROP:
			return;
		case OP_SET:
			apply_set(k, (const struct prog_set *)data);
			break;
		case OP_PUSH_VLAN:
			k->vlan[1] = k->vlan[0];
			k->vlan[0].tpid = (be16_t)op->a;
			k->vlan[0].tci = (be16_t)op->b | cpu_to_be16(VLAN_CFI);
			break;
		case OP_POP_VLAN:
			assert_true(k->vlan[0].tci & cpu_to_be16(VLAN_CFI));
			k->vlan[0] = k->vlan[1];
			memset(&k->vlan[1], 0, sizeof k->vlan[1]);
			break;
		case OP_DEC_TTL:
			k->ip_ttl--;
			k->ttl_class = SL_MIN(k->ip_ttl, 15);
			break;
		case OP_PUSH_MPLS:
			if (k->eth_type != cpu_to_be16(0x8847)) { /* nothing behind it is seen */
				memset(&k->ip_proto, 0, 2);
				memset(&k->ip_src, 0, 16);
				memset(k->ipv6_src, 0, 64);
				k->ttl_class = 0;
			}
			k->mpls_lse[2] = k->mpls_lse[1];
			k->mpls_lse[1] = k->mpls_lse[0];
			k->mpls_lse[0] = op->b;
			k->eth_type = (be16_t)op->a;
			break;
		case OP_SET_MPLS:
			k->mpls_lse[0] = (k->mpls_lse[0] & ~(be32_t)data->u64) | op->b;
			break;
		case OP_COPY_BEGIN: {
			struct flow_key copy = *k;

			run_ops(run, &w[i], op->b, &copy, select);
			i += op->b;
			break;
		}
		case OP_GROUP_SELECT: {
			const struct prog_select *s = (const struct prog_select *)data;
			uint32_t at = i, end = i - op->n_words + op->b;
			uint64_t point = (uint64_t)select * s->total_weight / 1000;

			while (at < end) {
				const struct prog_bucket *b = (const void *)&w[at];
				uint32_t head = sizeof *b / sizeof *w;

				if (point < b->upto) {
					run_ops(run, &w[at + head], b->n_words, k, select);
					break;
				}
				at += head + b->n_words;
			}
			i = end;
			break;
		}
		case OP_CT: /* keys here have no connections */
		case OP_CT_CLEAR:
			break;
		case OP_CHECK_LEN:
			i += op->b; /* test packets are short */
			break;
		case OP_CONTROLLER:
			record(run, 0x10000 | op->b, k);
			break;
		case OP_RECIRC:
			record(run, 0x20000 | op->b, k);
			return;
		case OP_COPY_END:
		case OP_METER:
		case OP_TRUNC:
		case OP_SET_QUEUE:
		case OP_POP_MPLS:
		case OP_N:
			break;
		}
	}
}

static inline void run_program(struct run *run, const struct prog_builder *p,
			       const struct flow_key *key)
{
	struct flow_key k = *key;

	run->n = 0;
	run_ops(run, p->word, p->n_words, &k, 500);
}

/* ---- one packet ---- */
static inline void resolve_key(struct resolver *r, const struct flow_key *k, bool side_effects,
			       struct resolve_result *out)
{
	struct resolve_request req = {.key = k,
				      .version = version_now(),
				      .now_ms = test_now_ms,
				      .side_effects = side_effects};

	resolve(r, &req, out);
}

/* Ports of the outputs in ascending order, as text: "2 3". */
static inline const char *ports_text(const struct run *run)
{
	static char text[4096];
	uint32_t port[RUN_OUTPUTS_MAX];
	size_t at = 0;

	for (unsigned i = 0; i < run->n; i++)
		port[i] = run->out[i].port;
	for (unsigned i = 0; i < run->n; i++)
		for (unsigned j = i + 1; j < run->n; j++)
			if (port[j] < port[i]) {
				uint32_t x = port[i];

				port[i] = port[j];
				port[j] = x;
			}
	text[0] = '\0';
	for (unsigned i = 0; i < run->n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", i ? " " : "", port[i]);
	return text;
}
