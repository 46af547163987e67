/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages between sluiced (or any client) and sluice-datapath: a header and TLV attributes on a
 * stream socket. Host byte order (both ends are on one machine). Versions: control N works with
 * datapath N-1 and N+1, because unknown attributes are skipped unless critical.
 *
 *	header    u32 length (with header), u16 type | flags, u16 reserved 0, u32 sequence, u32
 *reserved 0 attribute u16 id | critical bit, u16 reserved 0, u32 length of the value, value, zero
 *padding to 8
 *
 * A message from outside goes through msg_check() once; after that the readers cannot run out of
 * bounds. Not synchronised; any thread. */
#pragma once
#include <string.h>

#include "datapath/base/util.h"

struct err;
struct str;

/* Bits of CAPABILITIES. */
enum { API_CAP_DUMMY = 1 /* it has dummy ports */ };

enum { API_VERSION_NOW = 1, API_MESSAGE_MAX = 64 << 20, API_NEST_MAX = 8 };

enum api_message {
#define MESSAGE(id, ...) API_##id,
#include "datapath/api/messages.def"
#undef MESSAGE
	API_MESSAGE_N
};
enum { MESSAGE_REPLY = 0x8000, MESSAGE_ERROR = 0x4000, MESSAGE_TYPE_MASK = 0x3fff };

enum api_op {
#define API_OP(id, ...) API_OP_##id,
#include "datapath/api/ops.def"
#undef API_OP
	API_OP_N
};

enum api_event {
#define API_EVENT(id, ...) API_EVENT_##id,
#include "datapath/api/events.def"
#undef API_EVENT
	API_EVENT_N
};

enum api_attr {
	ATTR_UNUSED,
#define ATTR(id, ...) ATTR_##id,
#include "datapath/api/attrs.def"
#undef ATTR
	ATTR_N
};
enum { ATTR_CRITICAL = 0x8000 };
enum api_attr_kind {
	ATTR_KIND_U8,
	ATTR_KIND_U16,
	ATTR_KIND_U32,
	ATTR_KIND_U64,
	ATTR_KIND_STR,
	ATTR_KIND_BYTES,
	ATTR_KIND_NEST,
	ATTR_KIND_FLAG
};
struct api_attr_info {
	const char *name;
	enum api_attr_kind kind;
	const char *doc;
};
extern const struct api_attr_info api_attrs[ATTR_N];
extern const char *const api_message_names[API_MESSAGE_N];
extern const char *const api_op_names[API_OP_N];
extern const char *const api_event_names[API_EVENT_N];

/* Values of COMMAND, as OpenFlow's. */
enum api_mod {
	API_MOD_ADD,
	API_MOD_MODIFY,
	API_MOD_MODIFY_STRICT,
	API_MOD_DELETE,
	API_MOD_DELETE_STRICT,
	API_MOD_INSERT_BUCKET,
	API_MOD_REMOVE_BUCKET
};

/* One entry of TLV_MAP: a Geneve option and the tun_metadata field that it fills. */
struct api_tlv_map {
	uint16_t class;
	uint8_t type, length; /* bytes, a multiple of 4 */
	uint16_t index;
};

struct msg_header {
	uint32_t length;
	uint16_t type;
	uint16_t reserved;
	uint32_t seq;
	uint32_t reserved2;
};

/* ---- building ---- */
struct msg {
	uint8_t *data; /* header first */
	size_t len, cap;
};
void msg_init(struct msg *m, uint16_t type_and_flags, uint32_t seq);
void msg_free(struct msg *m);
void msg_put_u8(struct msg *m, enum api_attr id, uint8_t v);
void msg_put_u16(struct msg *m, enum api_attr id, uint16_t v);
void msg_put_u32(struct msg *m, enum api_attr id, uint32_t v);
void msg_put_u64(struct msg *m, enum api_attr id, uint64_t v);
void msg_put_str(struct msg *m, enum api_attr id, const char *s);
void msg_put_bytes(struct msg *m, enum api_attr id, const void *p, size_t n);
/* n bytes of zeros to be filled in at once: the next call may move them. */
void *msg_put_room(struct msg *m, enum api_attr id, size_t n);
void msg_put_flag(struct msg *m, enum api_attr id);
size_t msg_nest_begin(struct msg *m, enum api_attr id);
void msg_nest_end(struct msg *m, size_t at);
void msg_finish(struct msg *m); /* writes the length; call before sending */
/* begins ATTR_OP with OP_TYPE; end with msg_nest_end() */
size_t msg_op_begin(struct msg *m, enum api_op op);

/* ---- reading ---- */
struct attr {
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint8_t value[]; /* 8-byte aligned within a message buffer that is */
};
/* Whole message: lengths, nesting <= API_NEST_MAX, scalar sizes, strings NUL-terminated; unknown
 * critical attributes refused. 0 or -errno with err. */
int msg_check(const void *data, size_t len, struct err *e);
struct attrs { /* a message's or a nest's attributes */
	const uint8_t *data;
	size_t len;
};
struct attrs msg_attrs(const void *message);
struct attrs attr_nest(const struct attr *a);
static inline uint64_t attr_u64(const struct attr *a) /* any unsigned kind */
{
	uint64_t v = 0;

	if (a->len == sizeof(uint64_t))
		memcpy(&v, a->value, sizeof v);
	else if (a->len == sizeof(uint32_t))
		memcpy(&v, a->value, sizeof(uint32_t));
	else
		memcpy(&v, a->value, SL_MIN(a->len, sizeof v));
	return v;
}
static inline const struct attr *attrs_first(struct attrs s)
{
	return s.len ? (const struct attr *)(const void *)s.data : NULL;
}
static inline const struct attr *attrs_next(struct attrs s, const struct attr *a)
{
	const uint8_t *next = a->value + SL_ALIGN_UP((size_t)a->len, 8);

	return next < s.data + s.len ? (const struct attr *)(const void *)next : NULL;
}
#define ATTR_FOR_EACH(it, set)                                                                     \
	for (const struct attr *it = attrs_first(set); it; it = attrs_next(set, it))
/* First of that id, or NULL / the default. */
const struct attr *attrs_find(struct attrs s, enum api_attr id);
uint64_t attrs_u64(struct attrs s, enum api_attr id, uint64_t def); /* any unsigned kind */
bool attrs_get_u64(struct attrs s, enum api_attr id, uint64_t *out);
const char *attrs_str(struct attrs s, enum api_attr id, const char *def);
bool attrs_has(struct attrs s, enum api_attr id);
const void *attrs_bytes(struct attrs s, enum api_attr id, size_t *len); /* NULL when absent */
/* JSON object, driven by the table: scalars as numbers, NEST attributes as arrays of objects
 * (whether one or many), MACs as text, bitmaps and number arrays as lists, other bytes as hex. */
void attrs_format_json(struct attrs s, struct str *out);
