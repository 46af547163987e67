/* SPDX-License-Identifier: BSD-3-Clause */
/* Building, checking, reading and printing of api messages; everything that depends on the tables
 * is generated from the .def files. Any thread; no state. */
#include "datapath/api/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"

const struct api_attr_info api_attrs[ATTR_N] = {
	[ATTR_UNUSED] = {"unused", ATTR_KIND_FLAG, ""},
#define ATTR(id, name_, kind_, doc_) [ATTR_##id] = {name_, ATTR_KIND_##kind_, doc_},
#include "datapath/api/attrs.def"
#undef ATTR
};
const char *const api_message_names[API_MESSAGE_N] = {
#define MESSAGE(id, name_, ...) [API_##id] = name_,
#include "datapath/api/messages.def"
#undef MESSAGE
};
const char *const api_op_names[API_OP_N] = {
#define API_OP(id, name_, ...) [API_OP_##id] = name_,
#include "datapath/api/ops.def"
#undef API_OP
};
const char *const api_event_names[API_EVENT_N] = {
#define API_EVENT(id, name_, ...) [API_EVENT_##id] = name_,
#include "datapath/api/events.def"
#undef API_EVENT
};
_Static_assert(API_EVENT_N <= 64, "EVENT_MASK has 64 bits");
_Static_assert((int)API_MESSAGE_N <= MESSAGE_TYPE_MASK, "flags share the type's field");
_Static_assert((int)ATTR_N <= ATTR_CRITICAL, "the critical bit shares the id's field");

enum { ALIGN = 8 };

/* ---- building ---- */

/* Room for n more bytes, zeroed. */
static uint8_t *extend(struct msg *m, size_t n)
{
	if (m->len + n > m->cap) {
		m->cap = SL_MAX(m->len + n, SL_MAX(m->cap * 2, (size_t)256));
		m->data = xrealloc(m->data, m->cap);
	}
	uint8_t *p = m->data + m->len;
	memset(p, 0, n);
	m->len += n;
	return p;
}

void msg_init(struct msg *m, uint16_t type_and_flags, uint32_t seq)
{
	*m = (struct msg){0};
	struct msg_header *h = (void *)extend(m, sizeof *h);

	h->type = type_and_flags;
	h->seq = seq;
}

void msg_free(struct msg *m)
{
	free(m->data);
	*m = (struct msg){0};
}

static void put(struct msg *m, enum api_attr id, const void *p, size_t n)
{
	struct attr *a = (void *)extend(m, sizeof *a + SL_ALIGN_UP(n, ALIGN));

	a->id = (uint16_t)id;
	a->len = (uint32_t)n;
	if (n)
		memcpy(a->value, p, n);
}

void msg_put_u8(struct msg *m, enum api_attr id, uint8_t v)
{
	put(m, id, &v, sizeof v);
}

void msg_put_u16(struct msg *m, enum api_attr id, uint16_t v)
{
	put(m, id, &v, sizeof v);
}

void msg_put_u32(struct msg *m, enum api_attr id, uint32_t v)
{
	put(m, id, &v, sizeof v);
}

void msg_put_u64(struct msg *m, enum api_attr id, uint64_t v)
{
	put(m, id, &v, sizeof v);
}

void msg_put_str(struct msg *m, enum api_attr id, const char *s)
{
	put(m, id, s, strlen(s) + 1);
}

void msg_put_bytes(struct msg *m, enum api_attr id, const void *p, size_t n)
{
	put(m, id, p, n);
}

void *msg_put_room(struct msg *m, enum api_attr id, size_t n)
{
	struct attr *a = (void *)extend(m, sizeof *a + SL_ALIGN_UP(n, ALIGN));

	a->id = (uint16_t)id;
	a->len = (uint32_t)n;
	return a->value;
}

void msg_put_flag(struct msg *m, enum api_attr id)
{
	put(m, id, NULL, 0);
}

size_t msg_nest_begin(struct msg *m, enum api_attr id)
{
	size_t at = m->len;

	put(m, id, NULL, 0);
	return at;
}

void msg_nest_end(struct msg *m, size_t at)
{
	struct attr *a = (void *)(m->data + at);

	a->len = (uint32_t)(m->len - at - sizeof *a);
}

void msg_finish(struct msg *m)
{
	((struct msg_header *)(void *)m->data)->length = (uint32_t)m->len;
}

size_t msg_op_begin(struct msg *m, enum api_op op)
{
	size_t at = msg_nest_begin(m, ATTR_OP);

	msg_put_u16(m, ATTR_OP_TYPE, (uint16_t)op);
	return at;
}

/* ---- checking ---- */

static size_t scalar_size(enum api_attr_kind kind)
{
	switch (kind) {
	case ATTR_KIND_U8:
		return 1;
	case ATTR_KIND_U16:
		return 2;
	case ATTR_KIND_U32:
		return 4;
	case ATTR_KIND_U64:
		return 8;
	case ATTR_KIND_STR:
	case ATTR_KIND_BYTES:
	case ATTR_KIND_NEST:
	case ATTR_KIND_FLAG:
		return 0;
	}
	return 0;
}

static int check_attrs(const uint8_t *p, size_t len, int depth, struct err *e);

static int check_value(const struct attr *a, unsigned id, int depth, struct err *e)
{
	const struct api_attr_info *info = &api_attrs[id];

	switch (info->kind) {
	case ATTR_KIND_U8:
	case ATTR_KIND_U16:
	case ATTR_KIND_U32:
	case ATTR_KIND_U64:
		if (a->len != scalar_size(info->kind))
			return err_set(e, EINVAL, "message: %s: %u bytes", info->name, a->len);
		return 0;
	case ATTR_KIND_STR:
		if (!a->len || memchr(a->value, 0, a->len) != a->value + a->len - 1)
			return err_set(e, EINVAL, "message: %s: not a string", info->name);
		return 0;
	case ATTR_KIND_BYTES:
		return 0;
	case ATTR_KIND_FLAG:
		if (a->len)
			return err_set(e, EINVAL, "message: %s: a flag with a value", info->name);
		return 0;
	case ATTR_KIND_NEST:
		return check_attrs(a->value, a->len, depth + 1, e);
	}
	return 0;
}

static int check_attrs(const uint8_t *p, size_t len, int depth, struct err *e)
{
	if (depth > API_NEST_MAX)
		return err_set(e, EINVAL, "message: nested too deeply");
	for (size_t at = 0; at < len;) {
		const struct attr *a = (const void *)(p + at);

		if (len - at < sizeof *a || a->len > len - at - sizeof *a ||
		    SL_ALIGN_UP((size_t)a->len, ALIGN) > len - at - sizeof *a)
			return err_set(e, EINVAL, "message: an attribute is cut short");
		unsigned id = a->id & ~(unsigned)ATTR_CRITICAL;
		if (id == ATTR_UNUSED)
			return err_set(e, EINVAL, "message: attribute 0");
		if (id >= ATTR_N) {
			if (a->id & ATTR_CRITICAL)
				return err_set(e, EOPNOTSUPP, "message: attribute %u is not known",
					       id);
		} else {
			int rc = check_value(a, id, depth, e);
			if (rc)
				return rc;
		}
		at += sizeof *a + SL_ALIGN_UP((size_t)a->len, ALIGN);
	}
	return 0;
}

int msg_check(const void *data, size_t len, struct err *e)
{
	const struct msg_header *h = data;

	if (len < sizeof *h || h->length != len || len % ALIGN)
		return err_set(e, EINVAL, "message: wrong length");
	if (len > API_MESSAGE_MAX)
		return err_set(e, EMSGSIZE, "message: longer than %d bytes", API_MESSAGE_MAX);
	return check_attrs((const uint8_t *)data + sizeof *h, len - sizeof *h, 0, e);
}

/* ---- reading ---- */

struct attrs msg_attrs(const void *message)
{
	const struct msg_header *h = message;

	return (struct attrs){(const uint8_t *)message + sizeof *h, h->length - sizeof *h};
}

struct attrs attr_nest(const struct attr *a)
{
	return (struct attrs){a->value, a->len};
}

const struct attr *attrs_find(struct attrs s, enum api_attr id)
{
	ATTR_FOR_EACH (a, s)
		if ((a->id & ~ATTR_CRITICAL) == (int)id)
			return a;
	return NULL;
}

uint64_t attrs_u64(struct attrs s, enum api_attr id, uint64_t def)
{
	const struct attr *a = attrs_find(s, id);

	return a ? attr_u64(a) : def;
}

bool attrs_get_u64(struct attrs s, enum api_attr id, uint64_t *out)
{
	const struct attr *a = attrs_find(s, id);

	if (a)
		*out = attr_u64(a);
	return a;
}

const char *attrs_str(struct attrs s, enum api_attr id, const char *def)
{
	const struct attr *a = attrs_find(s, id);

	return a ? (const char *)a->value : def;
}

bool attrs_has(struct attrs s, enum api_attr id)
{
	return attrs_find(s, id);
}

const void *attrs_bytes(struct attrs s, enum api_attr id, size_t *len)
{
	const struct attr *a = attrs_find(s, id);

	*len = a ? a->len : 0;
	return a ? a->value : NULL;
}

/* ---- printing ---- */

static void json_string(struct str *out, const char *s)
{
	str_putc(out, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			str_printf(out, "\\%c", c);
		else if (c < 0x20)
			str_printf(out, "\\u%04x", c);
		else
			str_putc(out, (char)c);
	}
	str_putc(out, '"');
}

static void json_numbers(struct str *out, const struct attr *a, size_t width)
{
	str_putc(out, '[');
	for (size_t i = 0; i + width <= a->len; i += width) {
		uint64_t v = 0;

		memcpy(&v, a->value + i, width);
		str_printf(out, "%s%llu", i ? "," : "", (unsigned long long)v);
	}
	str_putc(out, ']');
}

static void json_bitmap(struct str *out, const struct attr *a)
{
	const char *sep = "";

	str_putc(out, '[');
	for (size_t i = 0; i < (size_t)a->len * 8; i++)
		if (a->value[i / 8] >> (i % 8) & 1) {
			str_printf(out, "%s%zu", sep, i);
			sep = ",";
		}
	str_putc(out, ']');
}

static void json_hex(struct str *out, const struct attr *a, const char *sep)
{
	str_putc(out, '"');
	for (size_t i = 0; i < a->len; i++)
		str_printf(out, "%s%02x", i ? sep : "", a->value[i]);
	str_putc(out, '"');
}

/* The few BYTES attributes that have a shape people know. */
static void json_bytes(struct str *out, unsigned id, const struct attr *a)
{
	if (id == ATTR_MAC || id == ATTR_BRIDGE_MAC)
		json_hex(out, a, ":");
	else if (id == ATTR_CORES)
		json_numbers(out, a, sizeof(uint16_t));
	else if (id == ATTR_STAGE_CYCLES)
		json_numbers(out, a, sizeof(uint64_t));
	else if (id == ATTR_VLAN_TRUNKS || id == ATTR_VLAN_CVLANS || id == ATTR_FLOOD_VLANS)
		json_bitmap(out, a);
	else
		json_hex(out, a, "");
}

static void json_value(struct str *out, unsigned id, const struct attr *a)
{
	switch (api_attrs[id].kind) {
	case ATTR_KIND_U8:
	case ATTR_KIND_U16:
	case ATTR_KIND_U32:
	case ATTR_KIND_U64:
		str_printf(out, "%llu", (unsigned long long)attr_u64(a));
		return;
	case ATTR_KIND_STR:
		json_string(out, (const char *)a->value);
		return;
	case ATTR_KIND_BYTES:
		json_bytes(out, id, a);
		return;
	case ATTR_KIND_FLAG:
		str_puts(out, "true");
		return;
	case ATTR_KIND_NEST:
		attrs_format_json(attr_nest(a), out);
		return;
	}
}

void attrs_format_json(struct attrs s, struct str *out)
{
	uint64_t seen[SL_DIV_ROUND_UP(ATTR_N, 64)] = {0};
	const char *sep = "";

	str_putc(out, '{');
	ATTR_FOR_EACH (a, s) {
		unsigned id = a->id & ~(unsigned)ATTR_CRITICAL;

		if (id >= ATTR_N || seen[id / 64] >> (id % 64) & 1)
			continue;
		seen[id / 64] |= 1ull << (id % 64);
		str_puts(out, sep);
		sep = ",";
		json_string(out, api_attrs[id].name);
		str_putc(out, ':');
		if (api_attrs[id].kind != ATTR_KIND_NEST) {
			json_value(out, id, a);
			continue;
		}
		const char *item_sep = "[";
		for (const struct attr *b = a; b; b = attrs_next(s, b))
			if ((b->id & ~(unsigned)ATTR_CRITICAL) == id) {
				str_puts(out, item_sep);
				json_value(out, id, b);
				item_sep = ",";
			}
		str_putc(out, ']');
	}
	str_putc(out, '}');
}
