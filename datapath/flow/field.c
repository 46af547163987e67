/* SPDX-License-Identifier: BSD-3-Clause */
/* The field tables and what follows from a row: get, set, match, prerequisites. Sub-fields are in
 * subfield.c, text of values in field_text.c. Tables are immutable after the index is built (once,
 * by whoever looks up first); any thread. Nothing here allocates. */
#include "datapath/flow/field.h"

#include <pthread.h>
#include <string.h>

#include "datapath/flow/field_priv.h"
#include "datapath/flow/tun_opt.h"

/* Rows of fields.def as initialisers. A header is (header, version, name, experimenter). */
#define NO_WIRE                 (OXM_NONE, 0, NULL, 0)
#define OXM_HDR(class, n)       (((uint32_t)(class) << 16) | ((uint32_t)(n) << 9))
#define NXM_OF(name, n)         (OXM_HDR(0x0000, n), 0, "NXM_OF_" #name, 0)
#define NXM_NX(name, n)         (OXM_HDR(0x0001, n), 0, "NXM_NX_" #name, 0)
#define NXM_NX_N(name, i, base) (OXM_HDR(0x0001, (base) + (i)), 0, "NXM_NX_" #name #i, 0)
#define OXM_OF(name, n, since)  (OXM_HDR(0x8000, n), since, "OXM_OF_" #name, 0)
#define PKT_REG(n)              (OXM_HDR(0x8001, n), 4, "OXM_OF_PKT_REG" #n, 0)
#define ONF_ET(name, n, since)  (OXM_HDR(0xffff, n), since, "ONFOXM_ET_" #name, 0x4f4e4600)
#define NX_ET(name, n)          (OXM_HDR(0xffff, n), 0, "NXOXM_ET_" #name, 0x00002320)
#define ERIC(name, n)           (OXM_HDR(0x1000, n), 0, "ERICOXM_OF_" #name, 0)

#define W_HEADER(header, since, name, exp) header
#define W_SINCE(header, since, name, exp)  since
#define W_NAME(header, since, name, exp)   name
#define W_EXP(header, since, name, exp)    exp
#define WIRE(a, b, c)                                                                              \
	.oxm = {W_HEADER a, W_HEADER b, W_HEADER c},                                               \
	.oxm_since = {W_SINCE a, W_SINCE b, W_SINCE c},                                            \
	.oxm_name = {W_NAME a, W_NAME b, W_NAME c},                                                \
	.oxm_experimenter = W_EXP a + W_EXP b + W_EXP c

#define KEY(member, byte, bytes, low, bits, hole_)                                                 \
	.offset = offsetof(struct flow, member) + (byte), .key_bytes = (bytes), .lsb = (low),      \
	.key_bits = (bits), .hole = (hole_)
#define WIDTH(bits, bytes)      .n_bits = (bits), .n_bytes = (bytes)
#define MASK_NONE               .mask_kind = FIELD_MASK_NONE, .overlay = false
#define MASK_ANY                .mask_kind = FIELD_MASK_ANY, .overlay = false
#define MASK_OVERLAY            .mask_kind = FIELD_MASK_ANY, .overlay = true
#define MASK_OVERLAY_NONE       .mask_kind = FIELD_MASK_NONE, .overlay = true
#define RO                      false
#define RW                      true
#define NO_HDR                  .anchor = HDR_NONE
#define HDR(anchor_, byte, sum) .anchor = HDR_##anchor_, .hdr_byte = (byte), .csum = CSUM_##sum

const struct field_info fields[FIELD_N] = {
#define FIELD(ID, NAME, ALIAS, KEY_, WIDTH_, MASK, ACCESS, PRE, FORMAT, WIRE_, HDR_, DOC)          \
	[FIELD_##ID] = {.id = FIELD_##ID,                                                          \
			.name = NAME,                                                              \
			.alias = ALIAS,                                                            \
			KEY_,                                                                      \
			WIDTH_,                                                                    \
			MASK,                                                                      \
			.writable = ACCESS,                                                        \
			.prereq = PREREQ_##PRE,                                                    \
			.format = FMT_##FORMAT,                                                    \
			WIRE_,                                                                     \
			HDR_,                                                                      \
			.doc = DOC},
#include "datapath/flow/fields.def"
#undef FIELD
};

const struct prereq_info prereqs[PREREQ_N] = {
#define PREREQ(ID, PARENT, TEST, VALUE, OTHER, NAME)                                               \
	[PREREQ_##ID] = {PREREQ_##PARENT, TEST, VALUE, OTHER, NAME},
#include "datapath/flow/prereqs.def"
#undef PREREQ
};

/* Lookup by name (open addressing) and by header (direct). 0 is "no entry", else id + 1. */
enum { NAME_SLOTS = 2048, OXM_FIELDS = 128 };
static uint16_t by_name[NAME_SLOTS];
static uint16_t by_oxm[5][OXM_FIELDS];
static pthread_once_t index_once = PTHREAD_ONCE_INIT;

static unsigned name_slot(const char *name, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return (h ^ (h >> 15)) % NAME_SLOTS;
}

/* The candidates of a field: its names, then the headers' names. */
static const char *nth_name(const struct field_info *f, unsigned i)
{
	return i == 0 ? f->name : i == 1 ? f->alias : f->oxm_name[i - 2];
}
enum { FIELD_NAMES = 5 };

static bool has_name(const struct field_info *f, const char *name, size_t len)
{
	for (unsigned i = 0; i < FIELD_NAMES; i++) {
		const char *s = nth_name(f, i);

		if (s && strlen(s) == len && !memcmp(s, name, len))
			return true;
	}
	return false;
}

static int oxm_class_row(uint32_t header)
{
	switch (header >> 16) {
	case 0x0000:
		return 0;
	case 0x0001:
		return 1;
	case 0x8000:
		return 2;
	case 0x8001:
		return 3;
	case 0x1000:
		return 4;
	}
	return -1;
}

static void build_index(void)
{
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];

		for (unsigned i = 0; i < FIELD_NAMES; i++) {
			const char *s = nth_name(f, i);
			unsigned slot;

			if (!s)
				continue;
			for (slot = name_slot(s, strlen(s)); by_name[slot];)
				slot = (slot + 1) % NAME_SLOTS;
			by_name[slot] = (uint16_t)(id + 1);
		}
		for (unsigned i = 0; i < 3; i++) {
			int row = f->oxm_name[i] ? oxm_class_row(f->oxm[i]) : -1;

			if (row >= 0)
				by_oxm[row][(f->oxm[i] >> 9) % OXM_FIELDS] = (uint16_t)(id + 1);
		}
	}
}

const struct field_info *field_by_name(const char *name, size_t len)
{
	pthread_once(&index_once, build_index);
	for (unsigned slot = name_slot(name, len); by_name[slot]; slot = (slot + 1) % NAME_SLOTS) {
		const struct field_info *f = &fields[by_name[slot] - 1];

		if (has_name(f, name, len))
			return f;
	}
	return NULL;
}

const struct field_info *field_by_oxm(uint32_t header, uint32_t experimenter)
{
	int row;

	header &= 0xfffffe00u;
	if (header >> 16 == 0xffff) {
		for (unsigned id = 0; id < FIELD_N; id++) {
			const struct field_info *f = &fields[id];

			if (f->oxm_experimenter == experimenter && experimenter)
				for (unsigned i = 0; i < 3; i++)
					if (f->oxm_name[i] && f->oxm[i] == header)
						return f;
		}
		return NULL;
	}
	pthread_once(&index_once, build_index);
	row = oxm_class_row(header);
	if (row < 0 || !by_oxm[row][(header >> 9) % OXM_FIELDS])
		return NULL;
	return &fields[by_oxm[row][(header >> 9) % OXM_FIELDS] - 1];
}

int field_oxm_index(const struct field_info *f, uint8_t of_version)
{
	int last = -1;

	for (int i = 0; i < 3; i++) {
		if (!f->oxm_name[i])
			continue;
		last = i;
		if (f->oxm_since[i] <= of_version)
			return i;
	}
	return last;
}

const char *field_nxm_name(const struct field_info *f)
{
	int i = field_oxm_index(f, 0);

	return i < 0 ? f->name : f->oxm_name[i];
}

static bool is_tun_opt(const struct field_info *f)
{
	return f->id >= FIELD_TUN_METADATA0 && f->id <= FIELD_TUN_METADATA63;
}

uint16_t field_offset(const struct field_info *f)
{
	if (is_tun_opt(f))
		return tun_opt_place(f->id - FIELD_TUN_METADATA0).offset;
	return f->offset;
}

uint16_t field_key_bytes(const struct field_info *f)
{
	if (is_tun_opt(f))
		return tun_opt_place(f->id - FIELD_TUN_METADATA0).n_bytes;
	return f->key_bytes;
}

void field_get(const struct field_info *f, const struct flow *flow, union field_value *out)
{
	size_t n = field_key_bytes(f), pad = f->n_bytes - n;

	memset(out->b, 0, pad);
	if (n > WORD_BYTES)
		memcpy(out->b + pad, at(f, flow), n);
	else
		store_n(out->b + pad, n, (load_n(at(f, flow), n) & word_mask(f, n)) >> f->lsb);
}

void field_follow(const struct field_info *f, struct flow *flow)
{
	if (f->id == FIELD_IN_PORT16) {
		uint16_t port = load_be16(at(f, flow));

		flow->regs.in_port = cpu_to_be32(port >= 0xff00 ? 0xffff0000u | port : port);
	} else if (f->id == FIELD_IP_TTL) {
		flow->key.ttl_class = SL_MIN(flow->key.ip_ttl, 15);
	} else if (f->id == FIELD_DL_VLAN || f->id == FIELD_DL_VLAN_PCP ||
		   f->id == FIELD_VLAN_PCP) {
		flow->key.vlan[0].tci |= cpu_to_be16(VLAN_CFI);
	}
}

/* Writes the bits of mask, and nothing that follows from them. */
static void write_bits(const struct field_info *f, struct flow *flow, const union field_value *v,
		       const union field_value *mask)
{
	size_t n = field_key_bytes(f), pad = f->n_bytes - n;
	uint8_t *p = at_rw(f, flow);

	if (n > WORD_BYTES) {
		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)((p[i] & ~mask->b[pad + i]) |
					 (v->b[pad + i] & mask->b[pad + i]));
	} else {
		uint64_t m = (load_n(mask->b + pad, n) << f->lsb) & word_mask(f, n);

		store_n(p, n, (load_n(p, n) & ~m) | ((load_n(v->b + pad, n) << f->lsb) & m));
	}
}

void field_set_masked(const struct field_info *f, struct flow *flow, const union field_value *v,
		      const union field_value *mask)
{
	write_bits(f, flow, v, mask);
	field_follow(f, flow);
}

void field_set(const struct field_info *f, struct flow *flow, const union field_value *v)
{
	union field_value all;

	field_full_mask(f, &all);
	field_set_masked(f, flow, v, &all);
}

void field_full_mask(const struct field_info *f, union field_value *out)
{
	size_t n = field_key_bytes(f), pad = f->n_bytes - n;

	memset(out->b, 0, f->n_bytes);
	if (n > WORD_BYTES)
		memset(out->b + pad, 0xff, n);
	else
		store_n(out->b + pad, n, word_mask(f, n) >> f->lsb);
}

bool field_value_fits(const struct field_info *f, const union field_value *v)
{
	union field_value all;

	field_full_mask(f, &all);
	for (size_t i = 0; i < f->n_bytes; i++)
		if (v->b[i] & ~all.b[i])
			return false;
	return true;
}

void field_add_bits(const struct field_info *f, struct flow *mask, const union field_value *bits)
{
	size_t n = field_key_bytes(f), pad = f->n_bytes - n;
	uint8_t *p = at_rw(f, mask);

	if (n > WORD_BYTES)
		for (size_t i = 0; i < n; i++)
			p[i] |= bits->b[pad + i];
	else
		store_n(p, n,
			load_n(p, n) | ((load_n(bits->b + pad, n) << f->lsb) & word_mask(f, n)));
}

static void match_tci(struct match *m, uint16_t value, uint16_t mask)
{
	m->value.key.vlan[0].tci &= cpu_to_be16((uint16_t)~mask);
	m->value.key.vlan[0].tci |= cpu_to_be16(value & mask);
	m->mask.key.vlan[0].tci |= cpu_to_be16(mask);
}

/* Forms of OpenFlow 1.0 that mean something else than the bits they are written as. */
static bool match_old_form(const struct field_info *f, struct match *m, const union field_value *v)
{
	uint16_t low = load_be16(v->b);
	union field_value port;

	if (f->id == FIELD_IN_PORT16) {
		store_be32(port.b, low >= 0xff00 ? 0xffff0000u | low : low);
		field_match(&fields[FIELD_IN_PORT], m, &port, NULL);
	} else if (f->id == FIELD_DL_VLAN && low == 0xffff) {
		match_tci(m, 0, 0xffff);
	} else if (f->id == FIELD_DL_VLAN) {
		match_tci(m, (low & VLAN_VID_MASK) | VLAN_CFI, VLAN_CFI | VLAN_VID_MASK);
	} else if (f->id == FIELD_DL_VLAN_PCP || f->id == FIELD_VLAN_PCP) {
		match_tci(m, (uint16_t)(v->b[0] << VLAN_PCP_SHIFT) | VLAN_CFI,
			  VLAN_PCP_MASK | VLAN_CFI);
	} else {
		return false;
	}
	return true;
}

void field_match(const struct field_info *f, struct match *m, const union field_value *v,
		 const union field_value *mask)
{
	union field_value all, bits, value;

	if (match_old_form(f, m, v))
		return;
	field_full_mask(f, &all);
	for (size_t i = 0; i < f->n_bytes; i++) {
		bits.b[i] = mask ? all.b[i] & mask->b[i] : all.b[i];
		value.b[i] = v->b[i] & bits.b[i];
	}
	/* An earlier, different match of the same field is replaced, not mixed with. */
	write_bits(f, &m->mask, &bits, &all);
	write_bits(f, &m->value, &value, &all);
}

void field_get_match(const struct field_info *f, const struct match *m, union field_value *v,
		     union field_value *mask)
{
	field_get(f, &m->value, v);
	field_get(f, &m->mask, mask);
}

bool field_is_wildcard(const struct field_info *f, const struct match *m)
{
	size_t n = field_key_bytes(f);
	const uint8_t *mask = at(f, &m->mask);

	if (n <= WORD_BYTES)
		return !(load_n(mask, n) & word_mask(f, n));
	for (size_t i = 0; i < n; i++)
		if (mask[i])
			return false;
	return true;
}

bool field_is_exact(const struct field_info *f, const struct match *m)
{
	union field_value mask, all;

	field_get(f, &m->mask, &mask);
	field_full_mask(f, &all);
	return !memcmp(mask.b, all.b, f->n_bytes);
}

void field_unwildcard(const struct field_info *f, struct flow *mask)
{
	union field_value all;

	field_full_mask(f, &all);
	field_add_bits(f, mask, &all);
}

/* One row's own test. A match's value has zeros where it does not care, so the same code serves
 * packets and matches, but for connection state. */
static bool test_row(const struct prereq_info *p, const struct flow *flow, struct flow *mask)
{
	const struct flow_key *k = &flow->key;
	struct flow_key *m = mask ? &mask->key : NULL;

	switch (p->test) {
	case PT_ALWAYS:
		return true;
	case PT_ETH_TYPE:
		if (m)
			m->eth_type = 0xffff;
		return be16_to_cpu(k->eth_type) == p->value || be16_to_cpu(k->eth_type) == p->other;
	case PT_VLAN:
		if (m)
			m->vlan[0].tci |= cpu_to_be16(VLAN_CFI);
		return k->vlan[0].tci & cpu_to_be16(VLAN_CFI);
	case PT_IP_PROTO_HEAD:
		if (m)
			m->ip_frag |= FLOW_FRAG_LATER;
		if (k->ip_frag & FLOW_FRAG_LATER)
			return false;
		/* fallthrough */
	case PT_IP_PROTO:
		if (m)
			m->ip_proto = 0xff;
		return k->ip_proto == p->value || k->ip_proto == p->other;
	case PT_L4_TYPE:
		if (m)
			m->tp_src = 0xffff;
		return be16_to_cpu(k->tp_src) == p->value || be16_to_cpu(k->tp_src) == p->other;
	case PT_L4_CODE:
		if (m)
			m->tp_dst = 0xffff;
		return be16_to_cpu(k->tp_dst) == p->value || be16_to_cpu(k->tp_dst) == p->other;
	case PT_CT_VALID:
		if (m)
			m->ct_state |= CT_STATE_NEW | CT_STATE_EST | CT_STATE_RPL;
		return k->ct_state & (CT_STATE_NEW | CT_STATE_EST | CT_STATE_RPL);
	}
	return false;
}

static bool test_chain(enum field_prereq id, const struct flow *flow, struct flow *mask)
{
	if (id == PREREQ_NONE)
		return true;
	return test_chain(prereqs[id].parent, flow, mask) && test_row(&prereqs[id], flow, mask);
}

bool field_prereq_ok(const struct field_info *f, const struct flow *flow, struct flow *mask)
{
	return test_chain(f->prereq, flow, mask);
}

/* A match need only say that a connection is there: any bit that implies one, or +trk-inv. */
static bool pins_connection(const struct match *m)
{
	uint8_t v = m->value.key.ct_state, mask = m->mask.key.ct_state;

	return (v & (CT_STATE_NEW | CT_STATE_EST | CT_STATE_REL | CT_STATE_RPL | CT_STATE_SNAT |
		     CT_STATE_DNAT)) ||
	       ((v & CT_STATE_TRK) && (mask & CT_STATE_INV) && !(v & CT_STATE_INV));
}

bool field_prereq_in_match(const struct field_info *f, const struct match *m)
{
	if (f->prereq == PREREQ_CT)
		return pins_connection(m);
	return test_chain(f->prereq, &m->value, NULL);
}

static void fill_row(const struct prereq_info *p, struct match *m)
{
	struct flow_key *v = &m->value.key, *mask = &m->mask.key;

	switch (p->test) {
	case PT_ALWAYS:
		break;
	case PT_ETH_TYPE:
		v->eth_type = cpu_to_be16(p->value);
		mask->eth_type = 0xffff;
		break;
	case PT_VLAN:
		v->vlan[0].tci |= cpu_to_be16(VLAN_CFI);
		mask->vlan[0].tci |= cpu_to_be16(VLAN_CFI);
		break;
	case PT_IP_PROTO:
	case PT_IP_PROTO_HEAD:
		v->ip_proto = (uint8_t)p->value;
		mask->ip_proto = 0xff;
		break;
	case PT_L4_TYPE:
		v->tp_src = cpu_to_be16(p->value);
		mask->tp_src = cpu_to_be16(0xff);
		break;
	case PT_L4_CODE:
		v->tp_dst = cpu_to_be16(p->value);
		mask->tp_dst = cpu_to_be16(0xff);
		break;
	case PT_CT_VALID:
		v->ct_state |= CT_STATE_TRK | CT_STATE_EST;
		mask->ct_state |= CT_STATE_TRK | CT_STATE_EST;
		break;
	}
}

void field_prereq_fill(enum field_prereq id, struct match *m)
{
	if (test_chain(id, &m->value, NULL))
		return;
	field_prereq_fill(prereqs[id].parent, m);
	if (!test_row(&prereqs[id], &m->value, NULL) || prereqs[id].test == PT_L4_CODE)
		fill_row(&prereqs[id], m);
}

bool field_place(const struct field_info *f, bool ipv6, struct field_place *out)
{
	if (f->anchor == HDR_NONE)
		return false;
	*out = (struct field_place){
		.anchor = f->anchor,
		.byte = f->hdr_byte,
		.n_bytes = f->key_bytes,
		.lsb = f->lsb,
		.csum = f->csum,
	};
	if (!ipv6)
		return true;
	/* The traffic class lies across the first two bytes of IPv6, four bits up. */
	if (f->offset == offsetof(struct flow, key.ip_tos)) {
		out->byte = 0;
		out->n_bytes = 2;
		out->lsb = (uint8_t)(f->lsb + 4);
		out->csum = CSUM_NONE;
	} else if (f->id == FIELD_IP_TTL) {
		out->byte = 7;
		out->csum = CSUM_NONE;
	} else if (f->id == FIELD_IP_PROTO) {
		out->byte = 6;
		out->csum = CSUM_NONE;
	}
	return true;
}
