/* SPDX-License-Identifier: BSD-3-Clause */
/* Match fields: everything about a field follows from its row in fields.def.
 *
 * A field is `n_bits` bits inside struct flow, big-endian: it starts at byte `offset`, and its
 * least significant bit is bit `lsb` of its last byte (lsb is 0 unless several fields share a byte,
 * such as DSCP and ECN). Values travel as union field_value, right-aligned big-endian in n_bytes
 * bytes. Immutable tables; any thread. */
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
	HDR_VLAN,
	HDR_VLAN2,
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
	CSUM_IP,
	CSUM_PSEUDO /* IP header and the L4 pseudo header */,
	CSUM_L4,
	CSUM_PSEUDO6
};

struct field_info {
	enum field_id id;
	const char *name;  /* ovs-fields(7) name */
	const char *alias; /* second accepted name, or NULL */
	uint16_t offset;   /* first byte in struct flow */
	uint16_t n_bytes;  /* bytes of a value: (n_bits + 7) / 8 */
	uint16_t n_bits;
	uint8_t lsb; /* lowest bit within the last byte at offset + n_bytes - 1 */
	enum field_mask_kind mask_kind;
	bool writable; /* set_field, load, move, learn may write it */
	enum field_prereq prereq;
	enum field_format format;
	uint32_t oxm[3]; /* class<<16|field<<9 headers by preference: OXM, NXM, older; 0 = none.
			    Experimenter ones in oxm_exp */
	uint32_t oxm_experimenter; /* ONF (0x4f4e4600) or Nicira experimenter id for class 0xffff,
				      else 0 */
	uint8_t oxm_since[3]; /* OpenFlow wire version from which the header is native (1,2,4,5,6);
				 0 for NXM: any */
	enum field_anchor anchor;
	uint16_t hdr_byte; /* offset of the first byte from the anchor */
	enum field_csum csum;
	const char *doc; /* one line */
};

extern const struct field_info fields[FIELD_N];

/* NULL when unknown. `name` may be the name or the alias; NXM_NX_… / OXM_OF_… names too. */
const struct field_info *field_by_name(const char *name, size_t len);
/* header without has-mask bit and length: class<<16|field<<9; experimenter 0 unless class is
 * 0xffff. */
const struct field_info *field_by_oxm(uint32_t header, uint32_t experimenter);

void field_get(const struct field_info *f, const struct flow *flow, union field_value *out);
void field_set(const struct field_info *f, struct flow *flow, const union field_value *v);
/* Sets value and mask bits of the field; keeps value & ~mask == 0. */
void field_match(const struct field_info *f, struct match *m, const union field_value *v,
		 const union field_value *mask /* NULL = exact */);
bool field_is_wildcard(const struct field_info *f, const struct match *m);
bool field_is_exact(const struct field_info *f, const struct match *m);
/* Adds the field's bits to a mask: what resolve does on every read. */
void field_unwildcard(const struct field_info *f, struct flow *mask);
/* Are the field's prerequisites true of this flow? The fields read are added to mask unless NULL.
 */
bool field_prereq_ok(const struct field_info *f, const struct flow *flow, struct flow *mask);
/* Does the match pin the prerequisites (so that a rule may carry the field)? */
bool field_prereq_in_match(const struct field_info *f, const struct match *m);

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
void subfield_write_u64(const struct subfield *sf, struct flow *flow, uint64_t v);
void subfield_copy(const struct subfield *src, const struct subfield *dst, const struct flow *from,
		   struct flow *to);
void subfield_unwildcard(const struct subfield *sf, struct flow *mask);

/* Text. `port_name` may be NULL; used for FMT_OF_PORT both ways by the caller's tables. */
int field_parse_value(const struct field_info *f, const char *text, union field_value *v,
		      union field_value *mask, struct err *e);
void field_format_value(const struct field_info *f, const union field_value *v,
			const union field_value *mask /* NULL = exact */, struct str *out);
