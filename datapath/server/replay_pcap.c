/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/replay_pcap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "datapath/base/err.h"
#include "datapath/core/limits.h"

enum { /* draft-ietf-opsawg-pcapng §4 */
       BLOCK_SECTION = 0x0a0d0d0a,
       BLOCK_INTERFACE = 1,
       BLOCK_PACKET = 6,
       SECTION_ORDER = 0x1a2b3c4d,
       LINK_ETHERNET = 1,
       OPTION_NAME = 2,
       OPTION_RESOLUTION = 9,
};

struct replay_pcap {
	FILE *file;
	const char *path;
	uint32_t n_interfaces;
	uint32_t interface[PORT_ID_MAX]; /* number + 1; 0: none yet */
};

/* Type and length; the body follows, then the length again. */
static void begin_block(struct replay_pcap *w, uint32_t type, uint32_t len)
{
	const uint32_t head[2] = {type, len};

	fwrite(head, sizeof head, 1, w->file);
}

static void end_block(struct replay_pcap *w, uint32_t len)
{
	fwrite(&len, sizeof len, 1, w->file);
}

static void pad(struct replay_pcap *w, uint32_t len)
{
	fwrite("\0\0\0", SL_ALIGN_UP(len, 4) - len, 1, w->file);
}

int replay_pcap_create(const char *path, bool more, struct replay_pcap **out, struct err *e)
{
	struct replay_pcap *w = xzalloc(sizeof *w);
	struct {
		uint32_t order;
		uint16_t major, minor;
		int64_t len;
	} section = {SECTION_ORDER, 1, 0, -1};

	w->path = path;
	w->file = fopen(path, more ? "ab" : "wb");
	if (!w->file) {
		int code = errno;

		free(w);
		return err_set(e, code, "%s: %s", path, strerror(code));
	}
	begin_block(w, BLOCK_SECTION, 28);
	fwrite(&section, 16, 1, w->file);
	end_block(w, 28);
	*out = w;
	return 0;
}

static uint32_t interface_of(struct replay_pcap *w, uint32_t port_id, const char *port)
{
	uint16_t n = (uint16_t)strlen(port), link[2] = {LINK_ETHERNET, 0};
	uint16_t name[2] = {OPTION_NAME, n}, resolution[2] = {OPTION_RESOLUTION, 1};
	uint32_t snaplen = 0, len = 16 + 4 + SL_ALIGN_UP(n, 4) + 8 + 4 + 4;

	if (w->interface[port_id])
		return w->interface[port_id] - 1;
	w->interface[port_id] = ++w->n_interfaces;
	begin_block(w, BLOCK_INTERFACE, len);
	fwrite(link, sizeof link, 1, w->file);
	fwrite(&snaplen, sizeof snaplen, 1, w->file);
	fwrite(name, sizeof name, 1, w->file);
	fwrite(port, n, 1, w->file);
	pad(w, n);
	fwrite(resolution, sizeof resolution, 1, w->file);
	fwrite("\x09\0\0", 4, 1, w->file); /* 10^-9 s */
	fwrite("\0\0\0", 4, 1, w->file);   /* end of options */
	end_block(w, len);
	return w->n_interfaces - 1;
}

void replay_pcap_put(struct replay_pcap *w, uint32_t port_id, const char *port,
		     const struct rte_mbuf *m, uint64_t time_ns)
{
	const uint32_t number = interface_of(w, port_id, port), n = m->pkt_len;
	const uint32_t head[] = {number, (uint32_t)(time_ns >> 32), (uint32_t)time_ns, n, n};
	uint32_t len = 8 + (uint32_t)sizeof head + SL_ALIGN_UP(n, 4) + 4;

	begin_block(w, BLOCK_PACKET, len);
	fwrite(head, sizeof head, 1, w->file);
	for (; m; m = m->next)
		fwrite(rte_pktmbuf_mtod(m, const void *), m->data_len, 1, w->file);
	pad(w, n);
	end_block(w, len);
}

int replay_pcap_close(struct replay_pcap *w, struct err *e)
{
	if (!w)
		return 0;
	bool failed = ferror(w->file);
	failed |= fclose(w->file) != 0;
	if (failed)
		err_set(e, errno ? errno : EIO, "%s: %s", w->path, strerror(errno ? errno : EIO));
	free(w);
	return failed ? -e->code : 0;
}
