/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and writing OpenFlow's big-endian bytes.
 *
 * struct ofbuf grows; struct ofcur walks received bytes and never leaves them: a read past the end
 * gives zeros and sets `short_read`, which the decoder checks once where it matters. Not
 * synchronised; sizes are bounded by the 64 kB of a message times the number of messages. */
#pragma once
#include "datapath/base/util.h"

/* ---- writing ---- */
struct ofbuf {
	uint8_t *data;
	size_t len, cap;
};

void ofbuf_free(struct ofbuf *b);
/* n zero bytes at the end; valid until the next call. */
uint8_t *ofbuf_zeros(struct ofbuf *b, size_t n);
void ofbuf_put(struct ofbuf *b, const void *p, size_t n);
void ofbuf_u8(struct ofbuf *b, uint8_t v);
void ofbuf_u16(struct ofbuf *b, uint16_t v);
void ofbuf_u32(struct ofbuf *b, uint32_t v);
void ofbuf_u64(struct ofbuf *b, uint64_t v);
void ofbuf_string(struct ofbuf *b, const char *s,
		  size_t width); /* zero-filled, always terminated */
void ofbuf_pad(struct ofbuf *b, size_t start,
	       size_t multiple); /* zeros until len - start divides */
void ofbuf_set_u16(struct ofbuf *b, size_t at, uint16_t v);
void ofbuf_set_u32(struct ofbuf *b, size_t at, uint32_t v);

/* A message: header now, length at the end. Returns where it starts. */
size_t ofbuf_begin(struct ofbuf *b, uint8_t version, uint8_t type, uint32_t xid);
size_t ofbuf_begin_nx(struct ofbuf *b, uint8_t version, uint32_t experimenter, uint32_t subtype,
		      uint32_t xid);
void ofbuf_end(struct ofbuf *b, size_t start);

/* ---- reading ---- */
struct ofcur {
	const uint8_t *p, *end;
	bool short_read;
};

static inline struct ofcur ofcur_of(const void *p, size_t n)
{
	return (struct ofcur){.p = p, .end = n ? (const uint8_t *)p + n : p};
}
static inline size_t ofcur_left(const struct ofcur *c)
{
	return (size_t)(c->end - c->p);
}
/* n bytes to read from, or NULL and short_read. */
const uint8_t *ofcur_bytes(struct ofcur *c, size_t n);
void ofcur_skip(struct ofcur *c, size_t n);
uint8_t ofcur_u8(struct ofcur *c);
uint16_t ofcur_u16(struct ofcur *c);
uint32_t ofcur_u32(struct ofcur *c);
uint64_t ofcur_u64(struct ofcur *c);
/* The next n bytes as a cursor of their own (empty and short_read when they are not there). */
struct ofcur ofcur_sub(struct ofcur *c, size_t n);
bool ofcur_is_zero(const void *p, size_t n);

/* Properties and other type-length lists whose entries are padded to 8 bytes. Returns false at the
 * end or on a bad length (then *bad is set). `body` starts after the 4 bytes of type and length. */
bool ofcur_tlv(struct ofcur *c, uint16_t *type, struct ofcur *body, bool *bad);
