/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by action_codec.c, act_*.c and instruction_codec.c: contexts of one decoding or encoding,
 * and the functions that the tables name. */
#pragma once
#include "control/openflow/action_codec.h"
#include "control/openflow/oxm.h"
#include "control/openflow/spec.h"

enum { ACT_VENDOR_OF, ACT_VENDOR_NX, ACT_VENDOR_ONF };
enum { OF_ACTION_HEADER_BYTES = 4, NX_ACTION_HEADER_BYTES = 10 };

struct act_decoding {
	uint8_t version;
	uint8_t vendor; /* of the action at hand */
	uint8_t depth;
	struct action_buf *out;
};

struct act_encoding {
	uint8_t version;
	struct ofbuf *out;
};

/* A decode function reads what follows the header (type and length; for experimenter actions also
 * experimenter and subtype: 10 bytes) to the end of the action. */
#define ACT_WIRE(form, vendor, first, last, number, function)                                      \
	enum ofp_err act_get_##function(struct act_decoding *d, struct ofcur *body);
#define ACT_WIRE_ALSO ACT_WIRE
#include "control/openflow/action_wire.def"
#undef ACT_WIRE
#undef ACT_WIRE_ALSO
/* A form is known by its first row. */
enum act_form {
#define ACT_WIRE(form, ...)                     ACT_##form,
#define ACT_WIRE_ALSO(form, vendor, first, ...) ACT_##form##_ALSO_##first,
#include "control/openflow/action_wire.def"
#undef ACT_WIRE
#undef ACT_WIRE_ALSO
	ACT_ROW_N
};
/* An encode function writes the whole action, or several, or nothing when the version has no way.
 */
#define ACT_ENCODER(id, function)                                                                  \
	void act_put_##function(struct act_encoding *e, const struct action *a);
#include "control/openflow/action_encoders.def"
#undef ACT_ENCODER

/* Starts an action: type, length, experimenter and subtype of the form in e->version. Returns where
 * it began. act_has() says whether the version has the form. */
bool act_has(const struct act_encoding *e, enum act_form form);
size_t act_begin(struct act_encoding *e, enum act_form form);
void act_end(struct act_encoding *e, size_t start); /* pads to 8, fixes the length */
/* Padding that stands between the header of an experimenter action and a number of n bytes. */
void act_align_get(const struct act_decoding *d, struct ofcur *body, size_t n);
void act_align_put(struct act_encoding *e, size_t start, size_t n);

/* Nested lists. */
enum ofp_err act_list_get(struct act_decoding *d, const void *p, size_t n);
void act_list_put(struct act_encoding *e, const void *list, size_t len);
enum { ACT_NESTING_MAX = 8 };

/* Sub-fields: an OXM header with, elsewhere, offset and width. */
enum ofp_err act_field_get(struct ofcur *c, const struct field_info **out);
enum ofp_err act_subfield_init(struct subfield *sf, const struct field_info *f, unsigned ofs,
			       unsigned n_bits);
enum ofp_err act_subfield_get(struct ofcur *c, unsigned ofs, unsigned n_bits, struct subfield *out);
/* offset in 10 bits, width - 1 in 6 (NXM "ofs_nbits") */
static inline unsigned ofs_of(uint16_t ofs_nbits)
{
	return ofs_nbits >> 6;
}
static inline unsigned n_bits_of(uint16_t ofs_nbits)
{
	return (ofs_nbits & 63u) + 1;
}
static inline uint16_t ofs_nbits(unsigned ofs, unsigned n_bits)
{
	return (uint16_t)(ofs << 6 | (n_bits - 1));
}
/* Header of the field at the end of the buffer. */
void act_field_put(struct act_encoding *e, uint16_t field);
/* set_field in the best form the version has; used by encoders of its older synonyms. */
void act_put_field_value(struct act_encoding *e, const struct field_info *f, const uint8_t *value,
			 const uint8_t *mask);

#define ACT_AS(type, a) ((const struct type *)(const void *)(a))
