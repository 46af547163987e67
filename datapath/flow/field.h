/* SPDX-License-Identifier: BSD-3-Clause */
/* Match fields: everything about a field follows from its row in fields.def.
 *
 * A field is some bits inside struct flow, big-endian: `key_bytes` bytes from `offset`, its least
 * significant bit being bit `lsb` of the last of them (0 unless fields share a byte, such as DSCP
 * and ECN). Values travel as union field_value, right-aligned big-endian in n_bytes bytes, exactly
 * as an OXM carries them. Where the key keeps fewer bits than the value has (ct_state, arp_op),
 * the others are 0.
 * Tables are immutable but for the places of tunnel options (tun_opt.h); any thread. */
#pragma once
#include "datapath/flow/key.h"
#include "datapath/flow/match.h"

struct err;
struct str;

enum field_id {
#define FIELD(id, ...) FIELD_##id,
#include "datapath/flow/fields.def"
#undef FIELD
	FIELD_N
};

enum field_mask_kind {
	FIELD_MASK_NONE, /* exact or absent */
	FIELD_MASK_ANY,  /* arbitrary bits */
};

enum field_prereq {
#define PREREQ(id, ...) PREREQ_##id,
#include "datapath/flow/prereqs.def"
#undef PREREQ
	PREREQ_N
};

/* How a row of prereqs.def is tested. */
enum prereq_test {
	PT_ALWAYS,
	PT_ETH_TYPE,
	PT_VLAN, /* a tag is present */
	PT_IP_PROTO,
	PT_IP_PROTO_HEAD, /* ip_proto, and not a later fragment */
	PT_L4_TYPE,       /* ICMP type in tp_src */
	PT_L4_CODE,       /* ICMP code in tp_dst */
	PT_CT_VALID,      /* the packet belongs to a connection */
};
struct prereq_info {
	enum field_prereq parent;
	enum prereq_test test;
	uint16_t value, other; /* either passes; builders use `value` */
	const char *name;
};
extern const struct prereq_info prereqs[PREREQ_N];

enum field_format {
	FMT_DECIMAL,
	FMT_HEX,
	FMT_MAC,
	FMT_IPV4,
	FMT_IPV6,
	FMT_OF_PORT,   /* number, or LOCAL, IN_PORT, … or a port's name */
	FMT_FRAG,      /* no, yes, first, later, not_later */
	FMT_TCP_FLAGS, /* +syn-ack, or 0x012/0xfff */
	FMT_CT_STATE,  /* +trk+new-est */
	FMT_TUN_FLAGS, /* +oam */
	FMT_VLAN_TCI,  /* hex, 0x0000 = none */
	FMT_PACKET_TYPE,
};

enum { FIELD_MAX_BYTES = 128 };

union field_value {
	uint8_t b[FIELD_MAX_BYTES]; /* big-endian in b[0 .. n_bytes); unused high bits are 0 */
	be16_t u16;
	be32_t u32;
	be64_t u64;
};

/* Where the bits sit in a packet, for set-field and for building test packets. */
enum field_anchor {
	HDR_NONE,
	HDR_ETH,
	HDR_VLAN,  /* TCI of the outer tag */
	HDR_VLAN2, /* … of the inner one */
	HDR_MPLS,
	HDR_L3,
	HDR_L4,
	HDR_ARP,
	HDR_ND,
	HDR_ND_SLL,
	HDR_ND_TLL
};
enum field_csum {
	CSUM_NONE,
	CSUM_IP,      /* the IPv4 header's (nothing in IPv6) */
	CSUM_PSEUDO,  /* the IPv4 header's and the L4 pseudo header's */
	CSUM_L4,      /* TCP's, UDP's, ICMP's or ICMPv6's */
	CSUM_PSEUDO6, /* the L4 pseudo header's */
	CSUM_SCTP,    /* CRC32c of the SCTP packet */
};

#define OXM_NONE 0xffffffffu

struct field_info {
	enum field_id id;
	const char *name;   /* ovs-fields(7) name */
	const char *alias;  /* second accepted name, or NULL */
	uint16_t offset;    /* first byte in struct flow; use field_offset() */
	uint16_t key_bytes; /* bytes there; use field_key_bytes() */
	uint16_t n_bytes;   /* bytes of a value, on the wire and in union field_value */
	uint16_t n_bits;    /* width as OpenFlow counts it: of sub-fields, "NXM_…[]" */
	uint16_t key_bits;  /* bits of the value that the key keeps; 13 for vlan_vid */
	uint8_t lsb;        /* lowest bit within the last byte */
	uint8_t hole;       /* bits of the last byte that belong to others (nw_tos: ECN) */
	enum field_mask_kind mask_kind;
	bool overlay;  /* its bits belong to other rows too: skip when listing what a match has */
	bool writable; /* set_field, load, move, learn may write it */
	enum field_prereq prereq;
	enum field_format format;
	/* Headers (class<<16|field<<9), newest first; OXM_NONE = none (0 is NXM_OF_IN_PORT).
	 * `oxm_since` is the first OpenFlow wire version (1 = 1.0, 4 = 1.3 …) that has it; 0 for
	 * Nicira's: any. */
	uint32_t oxm[3];
	uint8_t oxm_since[3];
	const char *oxm_name[3];   /* "NXM_OF_IN_PORT"; NULL = none */
	uint32_t oxm_experimenter; /* of the header of class 0xffff, if there is one */
	enum field_anchor anchor;  /* where it is in a packet; see field_place() */
	uint16_t hdr_byte;
	enum field_csum csum;
	const char *doc; /* one line */
};

extern const struct field_info fields[FIELD_N];

/* NULL when unknown. `name` may be the name or the alias; NXM_NX_… / OXM_OF_… names too. */
const struct field_info *field_by_name(const char *name, size_t len);
/* header without has-mask bit and length: class<<16|field<<9; experimenter 0 unless class is
 * 0xffff. */
const struct field_info *field_by_oxm(uint32_t header, uint32_t experimenter);
/* Index into oxm[] of the header to send to a peer of this OpenFlow wire version (0: Nicira's
 * headers preferred, as OpenFlow 1.0 with NXM); -1 when the field has no header. */
int field_oxm_index(const struct field_info *f, uint8_t of_version);
/* The name that sub-fields are printed with: "NXM_NX_REG0"; the field's name when it has none. */
const char *field_nxm_name(const struct field_info *f);

void field_get(const struct field_info *f, const struct flow *flow, union field_value *out);
/* Bits of the value beyond the field's are ignored. */
void field_set(const struct field_info *f, struct flow *flow, const union field_value *v);
/* Writes only the bits of mask. */
void field_set_masked(const struct field_info *f, struct flow *flow, const union field_value *v,
		      const union field_value *mask);
/* All bits that a value of the field can have. */
void field_full_mask(const struct field_info *f, union field_value *out);
/* Does the value (or mask) have no bits but the field's? */
bool field_value_fits(const struct field_info *f, const union field_value *v);
/* Sets value and mask bits of the field; keeps value & ~mask == 0. The 1.0 forms of VLAN and
 * in_port fields are turned into what they mean. */
void field_match(const struct field_info *f, struct match *m, const union field_value *v,
		 const union field_value *mask /* NULL = exact */);
/* Value and mask that the match has for the field. */
void field_get_match(const struct field_info *f, const struct match *m, union field_value *v,
		     union field_value *mask);
bool field_is_wildcard(const struct field_info *f, const struct match *m);
bool field_is_exact(const struct field_info *f, const struct match *m);
/* Adds the field's bits to a mask: what resolve does on every read. */
void field_unwildcard(const struct field_info *f, struct flow *mask);
/* Are the field's prerequisites true of this flow? The fields read are added to mask unless NULL.
 */
bool field_prereq_ok(const struct field_info *f, const struct flow *flow, struct flow *mask);
/* Does the match pin the prerequisites (so that a rule may carry the field)? */
bool field_prereq_in_match(const struct field_info *f, const struct match *m);

/* The prerequisite's own field values, put into a flow for which it shall hold (packet builders,
 * tests, completion of matches). */
void field_prereq_fill(enum field_prereq p, struct match *m);

/* Where the field's bits are in a packet. */
struct field_place {
	enum field_anchor anchor;
	uint16_t byte, n_bytes; /* from the anchor */
	uint8_t lsb;            /* in the last byte */
	enum field_csum csum;
};
/* false for what no packet carries. */
bool field_place(const struct field_info *f, bool ipv6, struct field_place *out);

/* Where the field's bits are in struct flow. */
uint16_t field_offset(const struct field_info *f);
uint16_t field_key_bytes(const struct field_info *f);

/* A range of bits of a field, as in NXM_NX_REG0[5..9]. */
struct subfield {
	uint16_t field;  /* enum field_id */
	uint16_t ofs;    /* lowest bit, 0 = least significant of the field */
	uint16_t n_bits; /* 1 .. field's n_bits - ofs */
	uint16_t pad;
};
_Static_assert(sizeof(struct subfield) == 8, "subfields lie in the action encoding");

bool subfield_is_valid(const struct subfield *sf);
void subfield_read(const struct subfield *sf, const struct flow *flow,
		   union field_value *out /* big-endian in the first (n_bits + 7) / 8 bytes */);
uint64_t subfield_read_u64(const struct subfield *sf, const struct flow *flow); /* n_bits <= 64 */
void subfield_write(const struct subfield *sf, struct flow *flow,
		    const union field_value *v /* as subfield_read gives */);
void subfield_write_u64(const struct subfield *sf, struct flow *flow, uint64_t v);
void subfield_copy(const struct subfield *src, const struct subfield *dst, const struct flow *from,
		   struct flow *to);
void subfield_unwildcard(const struct subfield *sf, struct flow *mask);

/* Bits of a value outside any flow: dst[dst_ofs ..+n_bits) = src[src_ofs ..+n_bits), both
 * big-endian strings of bits whose offset 0 is the lowest bit of the last byte. */
void bits_copy(const uint8_t *src, size_t src_bytes, unsigned src_ofs, uint8_t *dst,
	       size_t dst_bytes, unsigned dst_ofs, unsigned n_bits);

/* Text of values, in the form of Open vSwitch: field_text.c. OpenFlow ports by number or reserved
 * name; names of ports are the business of who has the table. */
int field_parse_value(const struct field_info *f, const char *text, union field_value *v,
		      union field_value *mask, struct err *e);
void field_format_value(const struct field_info *f, const union field_value *v,
			const union field_value *mask /* NULL = exact */, struct str *out);

/* OpenFlow ports: the reserved name, or NULL; and from a reserved name or number (1.0's 0xffXX
 * stand for 0xffffffXX). */
const char *of_port_name(uint32_t port);
bool of_port_parse(const char *text, uint32_t *port);
/* "NXM_NX_REG0[5..9]"; the field alone or "[]" means all of it. */
int subfield_parse(const char *text, struct subfield *sf, struct err *e);
void subfield_format(const struct subfield *sf, struct str *out);
/* Big-endian numbers of any length: "0x12ab" without leading zeros, "0"; decimal or hexadecimal in.
 */
void bits_format_hex(const uint8_t *p, size_t n, struct str *out);
bool bits_parse(const char *text, uint8_t *out, size_t n);
