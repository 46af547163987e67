/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/observe/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/vec.h"

enum {
	CHUNK_BYTES = 1 << 18, /* about; one event is never split */
	CHUNK_MAX = 1 << 30,
	CLOSE_BYTES = 256, /* kept for the last event */
	VARINT_MAX = 10,
};
static const uint32_t chunk_magic = 0x4b4e4843; /* "CHNK" */
static const char file_magic[8] = "SLUICERC";

struct file_header {
	char magic[8];
	uint32_t format, zero;
};
struct chunk_header {
	uint32_t magic, len;
	uint64_t number, sum;
};
struct event_header {
	uint8_t type;
	uint32_t len;
} __attribute__((packed));

const struct recording_event_info recording_events[REC_N] = {
#define RECORDING_EVENT(id, name_, kind_, ...) [REC_##id] = {name_, REC_KIND_##kind_},
#include "datapath/observe/recording_events.def"
#undef RECORDING_EVENT
};

static uint64_t checksum(uint64_t number, const void *payload, size_t len)
{
	const uint64_t key[2] = {number, 0x5245434f52443031ull};

	return hash_bytes_keyed(payload, len, key);
}

/* ---- writing ---- */

struct piece {
	uint8_t *data;
	size_t len;
};

struct recording {
	VEC(struct piece) done; /* header, sealed chunks */
	VEC(uint8_t) now;       /* the chunk in work, with room for its header */
	size_t limit, done_bytes;
	size_t event_at; /* in now */
	uint64_t n_chunks;
	bool full;
};

static void begin_chunk(struct recording *r)
{
	struct chunk_header h = {0};

	vec_clear(&r->now);
	vec_append(&r->now, (const uint8_t *)&h, sizeof h);
}

struct recording *recording_create(size_t limit_bytes)
{
	struct recording *r = xzalloc(sizeof *r);
	struct file_header h = {.format = RECORDING_FORMAT};

	memcpy(h.magic, file_magic, sizeof h.magic);
	r->limit = SL_MAX(limit_bytes, (size_t)RECORDING_BYTES_MIN);
	vec_push(&r->done, (struct piece){xmemdup(&h, sizeof h), sizeof h});
	r->done_bytes = sizeof h;
	begin_chunk(r);
	return r;
}

void recording_destroy(struct recording *r)
{
	if (!r)
		return;
	VEC_FOR_EACH (p, &r->done)
		free(p->data);
	vec_free(&r->done);
	vec_free(&r->now);
	free(r);
}

static void seal(struct recording *r)
{
	struct chunk_header h = {.magic = chunk_magic, .number = r->n_chunks++};

	h.len = (uint32_t)(r->now.len - sizeof h);
	h.sum = checksum(h.number, r->now.at + sizeof h, h.len);
	memcpy(r->now.at, &h, sizeof h);
	vec_push(&r->done, (struct piece){xmemdup(r->now.at, r->now.len), r->now.len});
	r->done_bytes += r->now.len;
	begin_chunk(r);
}

void recording_begin(struct recording *r, enum recording_event type)
{
	struct event_header h = {.type = (uint8_t)type};

	r->event_at = r->now.len;
	vec_append(&r->now, (const uint8_t *)&h, sizeof h);
}

void recording_put(struct recording *r, uint64_t v)
{
	vec_reserve(&r->now, r->now.len + VARINT_MAX);
	for (; v >= 0x80; v >>= 7)
		r->now.at[r->now.len++] = (uint8_t)(v | 0x80);
	r->now.at[r->now.len++] = (uint8_t)v;
}

uint8_t *recording_put_room(struct recording *r, size_t n)
{
	recording_put(r, n);
	vec_reserve(&r->now, r->now.len + n);
	r->now.len += n;
	return r->now.at + r->now.len - n;
}

void recording_put_bytes(struct recording *r, const void *p, size_t n)
{
	uint8_t *to = recording_put_room(r, n);

	if (n)
		memcpy(to, p, n);
}

static void end_event(struct recording *r)
{
	struct event_header h;

	memcpy(&h, r->now.at + r->event_at, sizeof h);
	h.len = (uint32_t)(r->now.len - r->event_at - sizeof h);
	memcpy(r->now.at + r->event_at, &h, sizeof h);
}

bool recording_end(struct recording *r)
{
	if (r->full || r->done_bytes + r->now.len + CLOSE_BYTES > r->limit ||
	    r->now.len > CHUNK_MAX) {
		r->now.len = r->event_at;
		r->full = true;
		return false;
	}
	end_event(r);
	if (r->now.len >= CHUNK_BYTES)
		seal(r);
	return true;
}

bool recording_is_full(const struct recording *r)
{
	return r->full;
}

void recording_limit(struct recording *r, size_t limit_bytes)
{
	r->limit = SL_MAX(limit_bytes, (size_t)RECORDING_BYTES_MIN);
}

size_t recording_bytes(const struct recording *r)
{
	size_t now = r->now.len > sizeof(struct chunk_header) ? r->now.len : 0;

	return r->done_bytes + now;
}

void recording_close(struct recording *r, enum recording_event type, const uint64_t *v, unsigned n)
{
	recording_begin(r, type);
	for (unsigned i = 0; i < n; i++)
		recording_put(r, v[i]);
	end_event(r);
	seal(r);
	r->full = true;
}

const void *recording_piece(const struct recording *r, size_t i, size_t *len)
{
	if (i >= r->done.len)
		return NULL;
	*len = r->done.at[i].len;
	return r->done.at[i].data;
}

/* ---- reading ---- */

static int damaged(const struct recording_file *f, size_t at, const char *what, struct err *e)
{
	return err_set(e, EINVAL, "%s: byte %zu: %s", f->name, at, what);
}

static int check_header(const struct recording_file *f, size_t at, struct err *e)
{
	struct file_header h = {.zero = 0};

	if (f->len - at >= sizeof h)
		memcpy(&h, f->data + at, sizeof h);
	if (at && at == f->len)
		return damaged(f, at, "cut short: another part should follow", e);
	if (memcmp(h.magic, file_magic, sizeof h.magic))
		return damaged(f, at,
			       at ? "damaged: no part begins here" : "not a recording of sluice",
			       e);
	if (h.format != RECORDING_FORMAT)
		return err_set(e, EINVAL,
			       "%s: byte %zu: recordings of format %u are not known here (only %d)",
			       f->name, at + 8, h.format, RECORDING_FORMAT);
	return h.zero ? damaged(f, at + 12, "damaged: not zero", e) : 0;
}

static int check_events(const struct recording_file *f, size_t at, size_t end,
			enum recording_event *closed, struct err *e)
{
	struct event_header h;

	while (at < end) {
		if (*closed)
			return damaged(f, at, "damaged: something behind the last event", e);
		if (end - at < sizeof h)
			return damaged(f, at, "damaged: an event is cut short", e);
		memcpy(&h, f->data + at, sizeof h);
		if (!h.type || h.type >= REC_N)
			return damaged(f, at, "damaged: an event of an unknown type", e);
		if (h.len > end - at - sizeof h)
			return damaged(f, at, "damaged: an event is cut short", e);
		*closed = h.type == REC_CLOSE || h.type == REC_PART ? (enum recording_event)h.type
								    : REC_NONE;
		at += sizeof h + h.len;
	}
	return 0;
}

/* *at: of a chunk's header; becomes that of what is behind it. */
static int check_chunk(const struct recording_file *f, size_t *at, uint64_t number,
		       enum recording_event *closed, struct err *e)
{
	struct chunk_header h;

	if (f->len - *at < sizeof h)
		return damaged(f, *at, "cut short: a chunk begins and is not there", e);
	memcpy(&h, f->data + *at, sizeof h);
	if (h.magic != chunk_magic || h.number != number)
		return damaged(f, *at, "damaged: no chunk begins here", e);
	if (h.len > f->len - *at - sizeof h)
		return damaged(f, *at, "cut short: a chunk ends behind the file", e);
	*at += sizeof h;
	if (checksum(number, f->data + *at, h.len) != h.sum)
		return damaged(f, *at, "damaged: the chunk's checksum is wrong", e);
	int rc = check_events(f, *at, *at + h.len, closed, e);
	*at += h.len;
	return rc;
}

int recording_check(const struct recording_file *f, struct err *e)
{
	enum recording_event closed = REC_PART;
	uint64_t number = 0;
	size_t at = 0;
	int rc = 0;

	while (!rc && (at < f->len || closed == REC_PART))
		if (closed == REC_PART) {
			rc = check_header(f, at, e);
			at += sizeof(struct file_header);
			number = 0;
			closed = REC_NONE;
		} else if (closed == REC_CLOSE) {
			rc = damaged(f, at, "damaged: something behind the end", e);
		} else {
			rc = check_chunk(f, &at, number++, &closed, e);
		}
	return rc || closed ? rc : damaged(f, f->len, "cut short: the last event is missing", e);
}

static int read_all(int fd, struct recording_file *f, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(e, errno, "%s: %s", f->name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s: not a file", f->name);
	f->data = malloc((size_t)st.st_size + 1);
	if (!f->data)
		return err_set(e, ENOMEM, "%s: %lld bytes do not fit into memory", f->name,
			       (long long)st.st_size);
	while (f->len < (size_t)st.st_size) {
		ssize_t n = read(fd, f->data + f->len, (size_t)st.st_size - f->len);

		if (n < 0 && errno != EINTR)
			return err_set(e, errno, "%s: byte %zu: %s", f->name, f->len,
				       strerror(errno));
		if (!n)
			break; /* shorter than it was: recording_check() says so */
		f->len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int recording_load(const char *path, struct recording_file *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*out = (struct recording_file){.name = path};
	if (fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	int rc = read_all(fd, out, e);
	close(fd);
	if (!rc)
		rc = recording_check(out, e);
	if (rc)
		recording_free(out);
	return rc;
}

void recording_free(struct recording_file *f)
{
	free(f->data);
	f->data = NULL;
	f->len = 0;
}

/* What is at a chunk's end: the length of the next one of the part; false: the part ends here. */
static bool next_chunk(const struct recording_file *f, size_t at, struct chunk_header *h)
{
	if (f->len - at < sizeof *h)
		return false;
	memcpy(h, f->data + at, sizeof *h);
	return h->magic == chunk_magic;
}

bool recording_part(const struct recording_file *f, unsigned part, struct recording_cursor *c)
{
	struct chunk_header h;
	size_t at = 0;

	for (; at < f->len; part--) {
		at += sizeof(struct file_header);
		*c = (struct recording_cursor){at, at};
		if (!part)
			return true;
		while (next_chunk(f, at, &h))
			at += sizeof h + h.len;
	}
	return false;
}

bool recording_next(const struct recording_file *f, struct recording_cursor *c, struct rec_in *out)
{
	struct chunk_header chunk;
	struct event_header h;

	if (!c->at)
		c->at = c->chunk_end = sizeof(struct file_header);
	while (c->at == c->chunk_end) {
		if (!next_chunk(f, c->at, &chunk))
			return false;
		c->at += sizeof chunk;
		c->chunk_end = c->at + chunk.len;
	}
	memcpy(&h, f->data + c->at, sizeof h);
	*out = (struct rec_in){.type = (enum recording_event)h.type, .at = c->at};
	out->p = f->data + c->at + sizeof h;
	out->end = out->p + h.len;
	c->at += sizeof h + h.len;
	return true;
}

uint64_t rec_in_u64(struct rec_in *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; in->p < in->end && shift < 64; shift += 7) {
		uint8_t b = *in->p++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	in->bad = true;
	return 0;
}

const uint8_t *rec_in_bytes(struct rec_in *in, size_t *len)
{
	uint64_t n = rec_in_u64(in);

	if (n > (size_t)(in->end - in->p))
		in->bad = true;
	*len = in->bad ? 0 : (size_t)n;
	in->p += *len;
	return in->p - *len;
}

void rec_in_str(struct rec_in *in, char *to, size_t size)
{
	size_t n;
	const uint8_t *p = rec_in_bytes(in, &n);

	n = SL_MIN(n, size - 1);
	memcpy(to, p, n);
	to[n] = '\0';
}

int rec_in_error(const struct recording_file *f, const struct rec_in *in, const char *what,
		 struct err *e)
{
	return err_set(e, EINVAL, "%s: byte %zu: %s: %s", f->name, in->at,
		       recording_events[in->type].name, what);
}
