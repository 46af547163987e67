/* SPDX-License-Identifier: BSD-3-Clause */
/* An OpenFlow message taken apart as far as its kind: headers of standard, multipart and
 * experimenter messages. Pure; any thread. */
#pragma once
#include "control/openflow/ofbuf.h"
#include "control/openflow/ofp_error.h"

enum ofmsg_kind { OFMSG_OF, OFMSG_MP, OFMSG_NX, OFMSG_ONF, OFMSG_NXMP, OFMSG_ONFMP };
enum { OFMSG_EXACT = 1, OFMSG_WRITES = 2, OFMSG_EIGHTS = 4 };

/* The rows of messages.def by their place. */
enum ofmsg_row {
#define OFMSG(kind, number, first, last, len, flags, handler)                                      \
	OFMSG_ROW_##kind##_##number##_##first##_##handler,
#define OFOP OFMSG
#include "control/openflow/messages.def"
#undef OFMSG
#undef OFOP
	OFMSG_ROW_N
};

struct ofmsg {
	const uint8_t *data; /* header first; borrowed */
	size_t len;
	uint8_t version, type;
	uint32_t xid;
	enum ofmsg_kind kind;
	uint32_t number;   /* type, multipart type or experimenter subtype */
	uint16_t mp_flags; /* OFPMPF_* */
	struct ofcur body; /* after all headers */
	enum ofmsg_row row;
	uint8_t flags; /* OFMSG_* of the row */
};

/* `len` bytes that hold one whole message, its length field checked. OFPERR_OK, or why nobody
 * handles it. */
enum ofp_err ofmsg_parse(const void *data, size_t len, struct ofmsg *out);

/* A reply in several parts. Entries are appended one at a time; a full part is closed with the
 * "more" flag and the next begun. */
struct ofmulti {
	struct ofbuf b;
	size_t part; /* where the current part starts */
	uint8_t version;
	uint32_t xid;
	enum ofmsg_kind kind;
	uint32_t number;
};
void ofmulti_init(struct ofmulti *mp, const struct ofmsg *request);
/* Before each entry: room for `n` more bytes in this part. */
void ofmulti_reserve(struct ofmulti *mp, size_t n);
/* An entry of unknown length was written from `at`: moves it to a new part when it did not fit. */
void ofmulti_fit(struct ofmulti *mp, size_t at);
void ofmulti_end(struct ofmulti *mp); /* closes the last part; the bytes are mp->b */
/* Takes the finished parts away, leaving the current one; for streaming. */
struct ofbuf ofmulti_take_full(struct ofmulti *mp);
