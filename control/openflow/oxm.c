/* SPDX-License-Identifier: BSD-3-Clause */
/* NXM and OXM: headers, values, and matches as lists of them. */
#include "control/openflow/oxm.h"

#include <string.h>

#include "control/openflow/spec.h"
#include "datapath/flow/tun_opt.h"

#define NXM_COOKIE                                                                                 \
	(0x0001u << 16 | 30u << 9) /* shares its number with NXM_NX_MPLS_TTL, which is 1 byte */

/* Fields in the order in which matches list them, prerequisites first. A field whose bits an
 * earlier one has written is not repeated, so the form of a version is chosen by what stands first.
 */
#define REGS(R)                                                                                    \
	R(0), R(1), R(2), R(3), R(4), R(5), R(6), R(7), R(8), R(9), R(10), R(11), R(12), R(13),    \
		R(14), R(15)
#define REG(n)          FIELD_REG##n
#define TUN_METADATA(n) FIELD_TUN_METADATA##n
static const uint16_t first_in_15[] = {FIELD_XREG0, FIELD_XREG1, FIELD_XREG2, FIELD_XREG3,
				       FIELD_XREG4, FIELD_XREG5, FIELD_XREG6, FIELD_XREG7};
static const uint16_t common[] = {
	FIELD_DP_HASH,          FIELD_IN_PORT16,
	FIELD_IN_PORT,          FIELD_ACTSET_OUTPUT,
	FIELD_ETH_SRC,          FIELD_ETH_DST,
	FIELD_ETH_TYPE,         FIELD_VLAN_TCI,
	FIELD_VLAN_VID,         FIELD_VLAN_PCP,
	FIELD_MPLS_LABEL,       FIELD_MPLS_TC,
	FIELD_MPLS_BOS,         FIELD_MPLS_TTL,
	FIELD_IP_SRC,           FIELD_IP_DST,
	FIELD_IPV6_SRC,         FIELD_IPV6_DST,
	FIELD_IP_FRAG,          FIELD_NW_TOS,
	FIELD_IP_DSCP,          FIELD_IP_ECN,
	FIELD_IP_TTL,           FIELD_IPV6_LABEL,
	FIELD_IP_PROTO,         FIELD_TCP_SRC,
	FIELD_TCP_DST,          FIELD_TCP_FLAGS,
	FIELD_UDP_SRC,          FIELD_UDP_DST,
	FIELD_SCTP_SRC,         FIELD_SCTP_DST,
	FIELD_ICMP_TYPE,        FIELD_ICMP_CODE,
	FIELD_ICMPV6_TYPE,      FIELD_ICMPV6_CODE,
	FIELD_ND_TARGET,        FIELD_ND_RESERVED,
	FIELD_ND_OPTIONS_TYPE,  FIELD_ND_SLL,
	FIELD_ND_TLL,           FIELD_ARP_OP,
	FIELD_ARP_SPA,          FIELD_ARP_TPA,
	FIELD_ARP_SHA,          FIELD_ARP_THA,
	FIELD_TUN_ID,           FIELD_TUN_SRC,
	FIELD_TUN_DST,          FIELD_TUN_IPV6_SRC,
	FIELD_TUN_IPV6_DST,     FIELD_TUN_GBP_ID,
	FIELD_TUN_GBP_FLAGS,    FIELD_TUN_ERSPAN_VER,
	FIELD_TUN_ERSPAN_IDX,   FIELD_TUN_ERSPAN_DIR,
	FIELD_TUN_ERSPAN_HWID,  FIELD_TUN_GTPU_FLAGS,
	FIELD_TUN_GTPU_MSGTYPE, FIELD_TUN_FLAGS,
	FIELD_METADATA,         REGS(REG),
	FIELD_PKT_MARK,         FIELD_CONJ_ID,
	FIELD_CT_STATE,         FIELD_CT_ZONE,
	FIELD_CT_MARK,          FIELD_CT_LABEL,
	FIELD_CT_NW_PROTO,      FIELD_CT_NW_SRC,
	FIELD_CT_NW_DST,        FIELD_CT_IPV6_SRC,
	FIELD_CT_IPV6_DST,      FIELD_CT_TP_SRC,
	FIELD_CT_TP_DST,        FIELD_PACKET_TYPE,
};

bool oxm_header_get(struct ofcur *c, struct oxm_header *out)
{
	uint32_t h = ofcur_u32(c), experimenter = 0;
	*out = (struct oxm_header){.header = h, .masked = h & 0x100, .length = (uint8_t)h};
	if (h >> 16 == OXM_CLASS_EXPERIMENTER) {
		experimenter = ofcur_u32(c);
		if (out->length < 4)
			return false;
		out->length -= 4;
	}
	if (c->short_read)
		return false;
	out->field = field_by_oxm(h & ~0x1ffu, experimenter);
	return true;
}

static bool is_tun_metadata(const struct field_info *f)
{
	return f->id >= FIELD_TUN_METADATA0 && f->id <= FIELD_TUN_METADATA63;
}

/* Bytes of the field's value on the wire: a tunnel option has as many as its mapping says. */
static size_t wire_bytes(const struct field_info *f)
{
	return is_tun_metadata(f) ? field_key_bytes(f) : f->n_bytes;
}

static uint32_t base_header(const struct field_info *f, uint8_t version)
{
	int i = field_oxm_index(f, version);
	return i < 0 ? OXM_NONE : f->oxm[i];
}

void oxm_header_put(struct ofbuf *b, const struct field_info *f, uint8_t version, bool masked)
{
	uint32_t h = base_header(f, version);
	size_t n = wire_bytes(f) << masked;
	bool experimenter = h >> 16 == OXM_CLASS_EXPERIMENTER;
	ofbuf_u32(b, h | (uint32_t)masked << 8 | (uint32_t)(n + (experimenter ? 4 : 0)));
	if (experimenter)
		ofbuf_u32(b, f->oxm_experimenter);
}

uint32_t oxm_header_u32(const struct field_info *f, uint8_t version)
{
	uint32_t h = base_header(f, version);
	return h >> 16 == OXM_CLASS_EXPERIMENTER ? 0 : h | (uint32_t)wire_bytes(f);
}

size_t oxm_header_bytes(const struct field_info *f, uint8_t version)
{
	return base_header(f, version) >> 16 == OXM_CLASS_EXPERIMENTER ? 8 : 4;
}

static void put_value(struct ofbuf *b, const struct field_info *f, const union field_value *v)
{
	size_t n = wire_bytes(f);
	ofbuf_put(b, v->b + f->n_bytes - n, n);
}

void oxm_field_put(struct ofbuf *b, const struct field_info *f, uint8_t version,
		   const union field_value *value, const union field_value *mask)
{
	oxm_header_put(b, f, version, mask != NULL);
	put_value(b, f, value);
	if (mask)
		put_value(b, f, mask);
}

static bool get_value(const struct field_info *f, const uint8_t *p, size_t n,
		      union field_value *out)
{
	if (is_tun_metadata(f) ? n > f->n_bytes || !n : n != f->n_bytes)
		return false;
	memset(out, 0, sizeof *out);
	memcpy(out->b + f->n_bytes - n, p, n);
	return true;
}

static bool is_all_ones(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0xff)
			return false;
	return true;
}

/* Adds one field with its value to the match, in the order of checks of the specification
 * (§7.2.3.2). */
static enum ofp_err add_field(struct match *m, const struct oxm_header *h, const uint8_t *payload)
{
	const struct field_info *f = h->field;
	union field_value value, mask;
	size_t n = h->masked ? h->length / 2u : h->length;
	if (is_tun_metadata(f) && !tun_opt_is_there(f->id - FIELD_TUN_METADATA0))
		return OFPERR_NXFMFC_INVALID_TLV_FIELD;
	/* a header names the length, too: with another one it is of no field */
	if ((h->masked && h->length % 2) || !get_value(f, payload, n, &value))
		return OFPERR_BMC_BAD_FIELD;
	const uint8_t *mask_bytes = NULL;
	if (h->masked) {
		mask_bytes = payload + n;
		get_value(f, mask_bytes, n, &mask);
		for (size_t i = 0; i < n; i++)
			if (payload[i] & ~mask_bytes[i])
				return OFPERR_BMC_BAD_WILDCARDS;
		if (is_all_ones(mask_bytes, n))
			mask_bytes = NULL;
		else if (ofcur_is_zero(mask_bytes, n))
			return OFPERR_OK;
		else if (f->mask_kind == FIELD_MASK_NONE) {
			union field_value full;
			field_full_mask(f, &full);
			if (memcmp(full.b, mask.b, f->n_bytes))
				return OFPERR_BMC_BAD_MASK;
			mask_bytes = NULL;
		}
	}
	if (!field_value_fits(f, &value) ||
	    (f->id == FIELD_IN_PORT && !ofp_port_is_possible(load_be32(value.b))))
		return OFPERR_BMC_BAD_VALUE;
	if (!field_prereq_in_match(f, m))
		return OFPERR_BMC_BAD_PREREQ;
	if (!field_is_wildcard(f, m))
		return OFPERR_BMC_DUP_FIELD;
	field_match(f, m, &value, mask_bytes ? &mask : NULL);
	return OFPERR_OK;
}

static enum ofp_err get_cookie(struct ofcur *c, const struct oxm_header *h,
			       struct oxm_cookie *cookie)
{
	struct ofcur body = ofcur_sub(c, h->length);
	if (!cookie)
		return OFPERR_BMC_BAD_FIELD;
	if (cookie->mask)
		return OFPERR_BMC_DUP_FIELD;
	cookie->value = ofcur_u64(&body);
	cookie->mask = h->masked ? ofcur_u64(&body) : UINT64_MAX;
	if (body.short_read)
		return OFPERR_BMC_BAD_LEN;
	return cookie->value & ~cookie->mask ? OFPERR_BMC_BAD_WILDCARDS : OFPERR_OK;
}

enum ofp_err oxm_match_get(const void *p, size_t n, bool strict, struct match *m,
			   struct oxm_cookie *cookie)
{
	struct ofcur c = ofcur_of(p, n);
	match_init(m);
	if (cookie)
		*cookie = (struct oxm_cookie){0};
	while (ofcur_left(&c)) {
		struct oxm_header h;
		if (!oxm_header_get(&c, &h) || ofcur_left(&c) < h.length)
			return OFPERR_BMC_BAD_LEN;
		enum ofp_err err = OFPERR_OK;
		if ((h.header & ~0x1ffu) == NXM_COOKIE && h.length >= 8)
			err = get_cookie(&c, &h, cookie);
		else if (h.field)
			err = add_field(m, &h, ofcur_bytes(&c, h.length));
		else if (strict)
			err = OFPERR_BMC_BAD_FIELD;
		else
			ofcur_skip(&c, h.length);
		if (err && (strict || err == OFPERR_BMC_BAD_LEN))
			return err;
	}
	return OFPERR_OK;
}

/* `left` is what of m's mask has not been written yet. */
static void put_field(struct ofbuf *b, const struct field_info *f, const struct match *m,
		      struct match *left, uint8_t version)
{
	if (field_is_wildcard(f, left) || !field_prereq_in_match(f, m))
		return;
	union field_value value, mask, full;
	static const union field_value zero;
	field_get_match(f, left, &value, &mask);
	field_full_mask(f, &full);
	bool exact = !memcmp(mask.b, full.b, f->n_bytes);
	if (!exact && f->mask_kind == FIELD_MASK_NONE)
		return;
	oxm_field_put(b, f, version, &value, exact ? NULL : &mask);
	if (f->id == FIELD_VLAN_VID) /* the present bit goes with the id */
		left->mask.key.vlan[0].tci &= cpu_to_be16(VLAN_PCP_MASK);
	else
		field_set(f, &left->mask, &zero);
}

/* Forms that only 1.0 uses, where they stand before those of later versions. */
static bool is_of_nxm(const struct field_info *f)
{
	return f->id == FIELD_IN_PORT16 || f->id == FIELD_VLAN_TCI || f->id == FIELD_NW_TOS;
}

/* Of a hundred fields a rule has five: those that have bits in a 64-bit word of the mask, for each
 * word, as bits that count the places in a list. */
enum { WORD = 8, MASK_WORDS = FLOW_LINES * FLOW_LINE_BYTES / WORD, LIST_SETS = 2 };
struct field_list {
	const uint16_t *ids;
	size_t n;
	bool ready;
	uint64_t in_word[MASK_WORDS][LIST_SETS];
};
_Static_assert(SL_ARRAY_SIZE(common) <= LIST_SETS * 64, "a bit for each");
static struct field_list list_15 = {.ids = first_in_15, .n = SL_ARRAY_SIZE(first_in_15)};
static struct field_list list_common = {.ids = common, .n = SL_ARRAY_SIZE(common)};

static void prepare(struct field_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct field_info *f = &fields[l->ids[i]];
		unsigned last = (f->offset + f->key_bytes - 1u) / WORD;
		for (unsigned w = f->offset / WORD; w <= last; w++)
			l->in_word[w][i / 64] |= 1ull << i % 64;
	}
	l->ready = true;
}

static void put_fields(struct ofbuf *b, struct field_list *l, const struct match *m,
		       struct match *left, uint16_t lines, uint8_t version)
{
	enum { LINE_WORDS = FLOW_LINE_BYTES / WORD };
	const uint64_t *mask = (const uint64_t *)&m->mask;
	uint64_t has[LIST_SETS] = {0};
	if (!l->ready)
		prepare(l);
	for (unsigned rest = lines; rest; rest &= rest - 1) {
		unsigned first = (unsigned)__builtin_ctz(rest) * LINE_WORDS;
		for (unsigned w = first; w < first + LINE_WORDS; w++)
			for (unsigned k = 0; mask[w] && k < LIST_SETS; k++)
				has[k] |= l->in_word[w][k];
	}
	for (unsigned k = 0; k < LIST_SETS; k++)
		for (uint64_t rest = has[k]; rest; rest &= rest - 1) {
			const struct field_info *f =
				&fields[l->ids[k * 64 + (unsigned)__builtin_ctzll(rest)]];
			if (version == OFP10 || !is_of_nxm(f))
				put_field(b, f, m, left, version);
		}
}

void oxm_match_put(struct ofbuf *b, const struct match *m, uint8_t version)
{
	struct match left = *m;
	uint16_t lines = match_lines(m);
	if (version >= OFP15)
		put_fields(b, &list_15, m, &left, lines, version);
	put_fields(b, &list_common, m, &left, lines, version);
	if (lines >> FLOW_LINE_TUN_OPT0 & 15)
		for (unsigned i = 0; i < TUN_OPT_FIELDS; i++)
			if (tun_opt_is_there(i))
				put_field(b, &fields[FIELD_TUN_METADATA0 + i], m, &left, version);
}

enum ofp_err ofp_match_get(struct ofcur *c, uint8_t version, struct match *m)
{
	if (version == OFP11)
		return match11_get(c, m);
	uint16_t type = ofcur_u16(c), len = ofcur_u16(c);
	if (c->short_read)
		return OFPERR_BMC_BAD_LEN;
	if (type != OFPMT_OXM) /* the match of 1.1 has one length */
		return type == OFPMT_STANDARD ? OFPERR_BMC_BAD_LEN : OFPERR_BMC_BAD_TYPE;
	if (len < 4)
		return OFPERR_BMC_BAD_LEN;
	struct ofcur body = ofcur_sub(c, SL_ALIGN_UP((size_t)len, 8) - 4);
	if (body.short_read)
		return OFPERR_BMC_BAD_LEN;
	return oxm_match_get(body.p, len - 4u, true, m, NULL);
}

void ofp_match_put(struct ofbuf *b, const struct match *m, uint8_t version)
{
	if (version == OFP11) {
		match11_put(b, m);
		return;
	}
	size_t at = b->len;
	ofbuf_u16(b, OFPMT_OXM);
	ofbuf_u16(b, 0);
	oxm_match_put(b, m, version);
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - at));
	ofbuf_pad(b, at, 8);
}
