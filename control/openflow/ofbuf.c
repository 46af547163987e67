/* SPDX-License-Identifier: BSD-3-Clause */
/* Growing buffer and bounded cursor for OpenFlow messages. */
#include "control/openflow/ofbuf.h"

#include <stdlib.h>
#include <string.h>

#include "control/openflow/spec.h"

void ofbuf_free(struct ofbuf *b)
{
	free(b->data);
	*b = (struct ofbuf){0};
}

uint8_t *ofbuf_zeros(struct ofbuf *b, size_t n)
{
	if (b->len + n > b->cap) {
		b->cap = SL_MAX(SL_MAX(b->cap * 2, (size_t)256), b->len + n);
		b->data = xrealloc(b->data, b->cap);
	}
	uint8_t *p = b->data + b->len;
	memset(p, 0, n);
	b->len += n;
	return p;
}

void ofbuf_put(struct ofbuf *b, const void *p, size_t n)
{
	if (n)
		memcpy(ofbuf_zeros(b, n), p, n);
}

void ofbuf_u8(struct ofbuf *b, uint8_t v)
{
	*ofbuf_zeros(b, 1) = v;
}

void ofbuf_u16(struct ofbuf *b, uint16_t v)
{
	store_be16(ofbuf_zeros(b, 2), v);
}

void ofbuf_u32(struct ofbuf *b, uint32_t v)
{
	store_be32(ofbuf_zeros(b, 4), v);
}

void ofbuf_u64(struct ofbuf *b, uint64_t v)
{
	store_be64(ofbuf_zeros(b, 8), v);
}

void ofbuf_string(struct ofbuf *b, const char *s, size_t width)
{
	uint8_t *p = ofbuf_zeros(b, width);
	memcpy(p, s, SL_MIN(strlen(s), width - 1));
}

void ofbuf_pad(struct ofbuf *b, size_t start, size_t multiple)
{
	ofbuf_zeros(b, SL_ALIGN_UP(b->len - start, multiple) - (b->len - start));
}

void ofbuf_set_u16(struct ofbuf *b, size_t at, uint16_t v)
{
	store_be16(b->data + at, v);
}

void ofbuf_set_u32(struct ofbuf *b, size_t at, uint32_t v)
{
	store_be32(b->data + at, v);
}

size_t ofbuf_begin(struct ofbuf *b, uint8_t version, uint8_t type, uint32_t xid)
{
	size_t at = b->len;
	ofbuf_u8(b, version);
	ofbuf_u8(b, type);
	ofbuf_u16(b, 0);
	ofbuf_u32(b, xid);
	return at;
}

size_t ofbuf_begin_nx(struct ofbuf *b, uint8_t version, uint32_t experimenter, uint32_t subtype,
		      uint32_t xid)
{
	size_t at = ofbuf_begin(b, version, OFPT_EXPERIMENTER, xid);
	ofbuf_u32(b, experimenter);
	ofbuf_u32(b, subtype);
	return at;
}

void ofbuf_end(struct ofbuf *b, size_t start)
{
	ofbuf_set_u16(b, start + 2, (uint16_t)(b->len - start));
}

const uint8_t *ofcur_bytes(struct ofcur *c, size_t n)
{
	if (ofcur_left(c) < n) {
		c->p = c->end;
		c->short_read = true;
		return NULL;
	}
	const uint8_t *p = c->p;
	c->p += n;
	return p;
}

void ofcur_skip(struct ofcur *c, size_t n)
{
	ofcur_bytes(c, n);
}

uint8_t ofcur_u8(struct ofcur *c)
{
	const uint8_t *p = ofcur_bytes(c, 1);
	return p ? *p : 0;
}

uint16_t ofcur_u16(struct ofcur *c)
{
	const uint8_t *p = ofcur_bytes(c, 2);
	return p ? load_be16(p) : 0;
}

uint32_t ofcur_u32(struct ofcur *c)
{
	const uint8_t *p = ofcur_bytes(c, 4);
	return p ? load_be32(p) : 0;
}

uint64_t ofcur_u64(struct ofcur *c)
{
	const uint8_t *p = ofcur_bytes(c, 8);
	return p ? load_be64(p) : 0;
}

struct ofcur ofcur_sub(struct ofcur *c, size_t n)
{
	const uint8_t *p = ofcur_bytes(c, n);
	if (!p)
		return (struct ofcur){.p = c->end, .end = c->end, .short_read = true};
	return ofcur_of(p, n);
}

bool ofcur_is_zero(const void *p, size_t n)
{
	const uint8_t *b = p;
	for (size_t i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

bool ofcur_tlv(struct ofcur *c, uint16_t *type, struct ofcur *body, bool *bad)
{
	*bad = false;
	if (!ofcur_left(c))
		return false;
	if (ofcur_left(c) < 4) {
		*bad = true;
		return false;
	}
	*type = load_be16(c->p);
	size_t len = load_be16(c->p + 2), padded = SL_ALIGN_UP(len, 8);
	if (len < 4 || padded > ofcur_left(c)) {
		*bad = true;
		return false;
	}
	*body = ofcur_of(c->p + 4, len - 4);
	c->p += padded;
	return true;
}
