/* SPDX-License-Identifier: BSD-3-Clause */
/* Every block is built in memory and written whole, so that a file that is cut off at a block's end
 * is whole too. */
#include "tools/ctl/pcapng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "datapath/base/vec.h"

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_ETHERNET = 1,
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_TSRESOL = 9,
	EPB_FLAGS = 2,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
};

struct interface {
	char *name;
	uint64_t n; /* packets in this file */
};
struct pcapng {
	struct pcapng_options o;
	FILE *f;
	char *path;                       /* of the file that is open; NULL: standard output */
	VEC(struct interface) interfaces; /* of the file that is open */
	VEC(char *) written;              /* finished files that are kept, oldest first */
	uint64_t bytes, opened_ms, last_ns;
	unsigned number;  /* of the file, from 1 */
	struct str block; /* scratch */
};

/* ---- blocks ---- */

static void put16(struct str *b, uint16_t v)
{
	str_put(b, &v, sizeof v);
}

static void put32(struct str *b, uint32_t v)
{
	str_put(b, &v, sizeof v);
}

static void pad(struct str *b)
{
	static const char zero[4];
	str_put(b, zero, -b->len & 3u);
}

static void put_option(struct str *b, uint16_t code, const void *value, size_t n)
{
	n = SL_MIN(n, (size_t)UINT16_MAX);
	put16(b, code);
	put16(b, (uint16_t)n);
	str_put(b, value, n);
	pad(b);
}

static void begin(struct pcapng *p, uint32_t type)
{
	str_clear(&p->block);
	put32(&p->block, type);
	put32(&p->block, 0); /* the length */
}

static int end(struct pcapng *p, struct err *e)
{
	uint32_t length = (uint32_t)p->block.len + 4;
	put32(&p->block, length);
	memcpy(p->block.s + 4, &length, sizeof length);
	if (fwrite(p->block.s, 1, p->block.len, p->f) != p->block.len)
		return err_set(e, errno, "%s: %s", p->path ? p->path : "standard output",
			       strerror(errno));
	p->bytes += p->block.len;
	return 0;
}

static int write_section(struct pcapng *p, struct err *e)
{
	static const char program[] = "sluice " SLUICE_VERSION;
	begin(p, BLOCK_SECTION);
	put32(&p->block, BYTE_ORDER_MAGIC);
	put16(&p->block, 1); /* version 1.0 */
	put16(&p->block, 0);
	put32(&p->block, UINT32_MAX); /* the section's length is not known */
	put32(&p->block, UINT32_MAX);
	put_option(&p->block, SHB_USERAPPL, program, sizeof program - 1);
	put_option(&p->block, OPT_END, NULL, 0);
	return end(p, e);
}

static int write_interface(struct pcapng *p, const char *name, struct err *e)
{
	static const uint8_t nanoseconds = 9;
	begin(p, BLOCK_INTERFACE);
	put16(&p->block, LINKTYPE_ETHERNET);
	put16(&p->block, 0);
	put32(&p->block, p->o.snaplen);
	put_option(&p->block, IF_NAME, name, strlen(name));
	put_option(&p->block, IF_TSRESOL, &nanoseconds, 1);
	put_option(&p->block, OPT_END, NULL, 0);
	return end(p, e);
}

static int write_statistics(struct pcapng *p, uint64_t lost, struct err *e)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < p->interfaces.len; i++) {
		begin(p, BLOCK_STATISTICS);
		put32(&p->block, (uint32_t)i);
		put32(&p->block, (uint32_t)(p->last_ns >> 32));
		put32(&p->block, (uint32_t)p->last_ns);
		put_option(&p->block, ISB_IFRECV, &p->interfaces.at[i].n, sizeof(uint64_t));
		if (!i) /* what was lost is known of all together */
			put_option(&p->block, ISB_IFDROP, &lost, sizeof lost);
		put_option(&p->block, OPT_END, NULL, 0);
		rc = end(p, e);
	}
	return rc;
}

/* ---- files ---- */

/* "a.pcapng" → "a-00001.pcapng" when there will be several. */
static char *file_name(const struct pcapng *p)
{
	const char *slash = strrchr(p->o.path, '/'), *dot = strrchr(p->o.path, '.');
	size_t stem = strlen(p->o.path);
	if (!p->o.rotate_bytes && !p->o.rotate_ms)
		return xstrdup(p->o.path);
	if (dot && dot > (slash ? slash + 1 : p->o.path))
		stem = (size_t)(dot - p->o.path);
	return xasprintf("%.*s-%05u%s", (int)stem, p->o.path, p->number, p->o.path + stem);
}

static int open_file(struct pcapng *p, struct err *e)
{
	p->number++;
	p->bytes = 0;
	p->opened_ms = clock_mono_ms();
	if (!strcmp(p->o.path, "-")) {
		p->f = stdout;
	} else {
		p->path = file_name(p);
		p->f = fopen(p->path, "we");
		if (!p->f)
			return err_set(e, errno, "%s: %s", p->path, strerror(errno));
	}
	return write_section(p, e);
}

static int close_file(struct pcapng *p, uint64_t lost, struct err *e)
{
	int rc = p->f ? write_statistics(p, lost, e) : 0;
	if (p->f && (p->path ? fclose(p->f) : fflush(p->f)) && !rc)
		rc = err_set(e, errno, "%s: %s", p->path ? p->path : "standard output",
			     strerror(errno));
	p->f = NULL;
	VEC_FOR_EACH (i, &p->interfaces)
		free(i->name);
	vec_clear(&p->interfaces);
	if (p->path)
		vec_push(&p->written, p->path);
	p->path = NULL;
	return rc;
}

static int rotate(struct pcapng *p, struct err *e)
{
	bool full = p->o.rotate_bytes && p->bytes >= p->o.rotate_bytes;
	bool old = p->o.rotate_ms && clock_mono_ms() - p->opened_ms >= p->o.rotate_ms;
	int rc;
	if (!full && !old)
		return 0;
	rc = close_file(p, 0, e);
	while (p->o.files && p->written.len >= p->o.files) {
		unlink(p->written.at[0]);
		free(p->written.at[0]);
		vec_remove(&p->written, 0);
	}
	return rc ? rc : open_file(p, e);
}

int pcapng_open(const struct pcapng_options *o, struct pcapng **out, struct err *e)
{
	struct pcapng *p = xzalloc(sizeof *p);
	struct err ignored = {0};
	int rc;
	p->o = *o;
	rc = open_file(p, e);
	if (rc)
		pcapng_close(p, 0, &ignored);
	else
		*out = p;
	return rc;
}

static int interface_of(struct pcapng *p, const char *name, uint32_t *id, struct err *e)
{
	for (size_t i = 0; i < p->interfaces.len; i++)
		if (!strcmp(p->interfaces.at[i].name, name)) {
			*id = (uint32_t)i;
			return 0;
		}
	*id = (uint32_t)p->interfaces.len;
	vec_push(&p->interfaces, (struct interface){xstrdup(name), 0});
	return write_interface(p, name, e);
}

int pcapng_write(struct pcapng *p, const struct pcapng_packet *packet, struct err *e)
{
	uint32_t id, flags = packet->direction & 3;
	int rc = rotate(p, e);
	if (!rc)
		rc = interface_of(p, packet->port, &id, e);
	if (rc)
		return rc;
	p->interfaces.at[id].n++;
	p->last_ns = SL_MAX(p->last_ns, packet->time_ns);
	begin(p, BLOCK_PACKET);
	put32(&p->block, id);
	put32(&p->block, (uint32_t)(packet->time_ns >> 32));
	put32(&p->block, (uint32_t)packet->time_ns);
	put32(&p->block, packet->len);
	put32(&p->block, packet->wire_len);
	str_put(&p->block, packet->data, packet->len);
	pad(&p->block);
	if (packet->comment[0])
		put_option(&p->block, OPT_COMMENT, packet->comment, strlen(packet->comment));
	put_option(&p->block, EPB_FLAGS, &flags, sizeof flags);
	put_option(&p->block, OPT_END, NULL, 0);
	return end(p, e);
}

int pcapng_flush(struct pcapng *p, struct err *e)
{
	if (fflush(p->f))
		return err_set(e, errno, "%s: %s", p->path ? p->path : "standard output",
			       strerror(errno));
	return 0;
}

int pcapng_close(struct pcapng *p, uint64_t lost, struct err *e)
{
	int rc;
	if (!p)
		return 0;
	rc = close_file(p, lost, e);
	VEC_FOR_EACH (w, &p->written)
		free(*w);
	vec_free(&p->written);
	vec_free(&p->interfaces);
	str_free(&p->block);
	free(p);
	return rc;
}
