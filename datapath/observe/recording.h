/* SPDX-License-Identifier: BSD-3-Clause */
/* The form of a recording: what a switch was, then all that came in and what came of it, in one
 * order. Written into memory up to a limit, read back from a file; who makes and who replays it is
 * record.h and server/replay.h. Not synchronised.
 *
 *	file     parts, each of which can be played without those before it
 *	part     header, chunks, the last of which ends with CLOSE, or with PART when another part
 *	         follows; numbers in host byte order (little endian)
 *	header   8 bytes "SLUICERC", u32 format, u32 0
 *	chunk    u32 "CHNK", u32 length of the payload, u64 number of the chunk in its part, u64
 *checksum of number and payload (SipHash-1-3), payload of whole events event    u8 type
 *(recording_events.def), u32 length of the body, body
 *
 * Who reads must go through recording_check() first; after that recording_next() cannot run out of
 * bounds, and rec_in_*() say when a body is too short. */
#pragma once
#include "datapath/base/util.h"

struct err;

enum { RECORDING_FORMAT = 2, RECORDING_BYTES_MIN = 1 << 14 };

enum recording_event {
	REC_NONE,
#define RECORDING_EVENT(id, ...) REC_##id,
#include "datapath/observe/recording_events.def"
#undef RECORDING_EVENT
	REC_N
};
enum recording_kind { REC_KIND_START, REC_KIND_SLOT, REC_KIND_INPUT, REC_KIND_RESULT };
struct recording_event_info {
	const char *name;
	enum recording_kind kind;
};
extern const struct recording_event_info recording_events[REC_N];

/* ---- writing ---- */
struct recording; /* a part, in memory */

struct recording *recording_create(size_t limit_bytes);
void recording_destroy(struct recording *r); /* NULL is fine */
/* An event: begin, its body, end. After an end() that found no room nothing is taken any more, and
 * false is returned: the recording goes up to the event before. */
void recording_begin(struct recording *r, enum recording_event type);
void recording_put(struct recording *r, uint64_t v);
void recording_put_bytes(struct recording *r, const void *p, size_t n);
/* Room for n bytes of a bytes field, to be filled before the next call. */
uint8_t *recording_put_room(struct recording *r, size_t n);
bool recording_end(struct recording *r);
bool recording_is_full(const struct recording *r);
void recording_limit(struct recording *r, size_t limit_bytes); /* another one, from now on */
size_t recording_bytes(const struct recording *r);             /* of the file, so far */
/* The last event, CLOSE or PART; there is always room for it. Then the pieces can be had: the i-th,
 * in order; NULL behind the last. */
void recording_close(struct recording *r, enum recording_event type, const uint64_t *v, unsigned n);
const void *recording_piece(const struct recording *r, size_t i, size_t *len);

/* ---- reading ---- */
struct recording_file {
	const char *name; /* for texts */
	uint8_t *data;
	size_t len;
};
/* Reads and checks the whole file. -errno with a text that says where. */
int recording_load(const char *path, struct recording_file *out, struct err *e);
void recording_free(struct recording_file *f);
int recording_check(const struct recording_file *f, struct err *e);

struct recording_cursor { /* zeroed: the beginning of the first part */
	size_t at, chunk_end;
};
struct rec_in { /* an event's body, being read */
	enum recording_event type;
	size_t at; /* of the event in the file */
	const uint8_t *p, *end;
	bool bad; /* something was read that is not there */
};
/* The cursor to the beginning of a part, from 0; false: there are not so many. Only of a checked
 * file. */
bool recording_part(const struct recording_file *f, unsigned part, struct recording_cursor *c);
/* False: the end of the part. Only of a checked file. */
bool recording_next(const struct recording_file *f, struct recording_cursor *c, struct rec_in *out);
uint64_t rec_in_u64(struct rec_in *in); /* 0 and bad when there is none */
const uint8_t *rec_in_bytes(struct rec_in *in, size_t *len);
/* Text, cut to what fits. */
void rec_in_str(struct rec_in *in, char *to, size_t size);
/* -EINVAL: "FILE: byte N: rx: WHAT". */
int rec_in_error(const struct recording_file *f, const struct rec_in *in, const char *what,
		 struct err *e);
