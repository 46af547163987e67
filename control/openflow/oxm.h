/* SPDX-License-Identifier: BSD-3-Clause */
/* Match fields on the wire: NXM and OXM headers and values (§7.2.3; ovs-fields(7) "NXM and OXM"),
 * matches made of them, and the fixed matches of OpenFlow 1.0 and 1.1. Everything follows from
 * datapath/flow/fields.def. Pure functions; any thread. */
#pragma once
#include "control/openflow/ofbuf.h"
#include "control/openflow/ofp_error.h"
#include "datapath/flow/field.h"

/* A header as read: `field` is NULL for one we do not know. `length` is that of the value with
 * mask, without an experimenter id. */
struct oxm_header {
	const struct field_info *field;
	bool masked;
	uint8_t length;
	uint32_t header; /* as on the wire */
};

/* Reads one header (4 bytes, 8 with an experimenter id). False when there are not enough bytes or
 * an experimenter's length makes no sense. */
bool oxm_header_get(struct ofcur *c, struct oxm_header *out);
/* Writes the header that `version` prefers. */
void oxm_header_put(struct ofbuf *b, const struct field_info *f, uint8_t version, bool masked);
/* The 4-byte header, for places with room for no more; 0 when the field needs an experimenter id.
 */
uint32_t oxm_header_u32(const struct field_info *f, uint8_t version);
size_t oxm_header_bytes(const struct field_info *f, uint8_t version); /* 4 or 8 */

/* A list of header, value and mask. With `strict`, unknown fields are BMC_BAD_FIELD, otherwise they
 * are skipped. A Nicira cookie entry goes to cookie (NULL: refused). m is set from scratch. */
struct oxm_cookie {
	uint64_t value, mask;
};
enum ofp_err oxm_match_get(const void *p, size_t n, bool strict, struct match *m,
			   struct oxm_cookie *cookie);
void oxm_match_put(struct ofbuf *b, const struct match *m, uint8_t version);
/* Writes one field of `m`. */
void oxm_field_put(struct ofbuf *b, const struct field_info *f, uint8_t version,
		   const union field_value *value, const union field_value *mask /* NULL: exact */);

/* struct ofp_match of 1.1 (standard) and 1.2+ (OXM), with its padding. */
enum ofp_err ofp_match_get(struct ofcur *c, uint8_t version, struct match *m);
void ofp_match_put(struct ofbuf *b, const struct match *m, uint8_t version);

/* struct ofp10_match, 40 bytes. */
enum ofp_err match10_get(struct ofcur *c, struct match *m);
void match10_put(struct ofbuf *b, const struct match *m);
/* struct ofp11_match, 88 bytes, type and length included. */
enum ofp_err match11_get(struct ofcur *c, struct match *m);
void match11_put(struct ofbuf *b, const struct match *m);

/* 16-bit ports of 1.0 (and of Nicira actions) ⇄ 32-bit ones. */
bool ofp_port_from10(uint16_t port10, uint32_t *port);
/* 32-bit ports: between the highest that 1.0 can name and the reserved ones there are none. */
bool ofp_port_is_possible(uint32_t port);
uint16_t ofp_port_to10(uint32_t port); /* what does not fit becomes OFPP_NONE */
