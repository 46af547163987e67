/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet sets from and to capture files, by libpcap. Control thread only. */
#include "perf/gen/packet_set.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* First pass: how many packets, the longest, whether all are equally long. */
static int survey(const char *path, uint32_t *count, uint16_t *longest, bool *uniform,
		  struct err *e)
{
	char reason[PCAP_ERRBUF_SIZE];
	pcap_t *in = pcap_open_offline(path, reason);
	if (!in)
		return err_set(e, ENOENT, "pcap: %s", reason);
	struct pcap_pkthdr *h;
	const u_char *data;
	int ret = 0, got;
	*count = 0, *longest = 0, *uniform = true;
	if (pcap_datalink(in) != DLT_EN10MB)
		ret = err_set(e, EINVAL, "pcap: %s: not Ethernet", path);
	while (ret == 0 && (got = pcap_next_ex(in, &h, &data)) != PCAP_ERROR_BREAK) {
		if (got < 0)
			ret = err_set(e, EINVAL, "pcap: %s: %s", path, pcap_geterr(in));
		else if (h->caplen < 14 || h->caplen > PACKET_SET_MAX_BYTES)
			ret = err_set(e, EINVAL, "pcap: %s: packet %u has %u bytes", path,
				      *count + 1, h->caplen);
		else if (*count == PACKET_SET_MAX_FLOWS)
			ret = err_set(e, E2BIG, "pcap: %s: more than %u packets", path,
				      PACKET_SET_MAX_FLOWS);
		if (ret)
			break;
		*uniform = *uniform && (*count == 0 || h->caplen == *longest);
		*longest = (uint16_t)SL_MAX(*longest, h->caplen);
		++*count;
	}
	if (ret == 0 && *count == 0)
		ret = err_set(e, EINVAL, "pcap: %s: no packets", path);
	pcap_close(in);
	return ret;
}

static int copy_packets(struct packet_set *set, const char *path, uint8_t mark, struct err *e)
{
	char reason[PCAP_ERRBUF_SIZE];
	pcap_t *in = pcap_open_offline(path, reason);
	if (!in)
		return err_set(e, ENOENT, "pcap: %s", reason);
	struct pcap_pkthdr *h;
	const u_char *data;
	uint32_t i = 0;
	for (; i < set->count && pcap_next_ex(in, &h, &data) == 1; i++) {
		uint16_t bytes = (uint16_t)SL_MIN(h->caplen, set->stride_bytes);
		memcpy(packet_set_at(set, i), data, bytes);
		if (set->lengths)
			set->lengths[i] = bytes;
		if (mark)
			packet_set_mark(packet_set_at(set, i), bytes, mark);
	}
	pcap_close(in);
	return i == set->count ? 0 : err_set(e, EIO, "pcap: %s: changed while being read", path);
}

int packet_set_load(struct packet_set *set, const char *path, uint8_t mark, struct err *e)
{
	uint32_t count;
	uint16_t longest;
	bool uniform;
	*set = (struct packet_set){0};
	if (mark >= PACKET_SET_MARKS)
		return err_set(e, EINVAL, "mark: %u: at most %u", mark, PACKET_SET_MARKS - 1);
	int ret = survey(path, &count, &longest, &uniform, e);
	if (ret)
		return ret;
	set->stride_bytes = SL_ALIGN_UP(longest, 64u);
	set->map_bytes = (size_t)count * set->stride_bytes;
	set->count = count;
	set->uniform_bytes = uniform ? longest : 0;
	void *p = mmap(NULL, set->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	if (p == MAP_FAILED) {
		*set = (struct packet_set){0};
		return err_set(e, ENOMEM, "pcap: %s: no memory for %u packets", path, count);
	}
	(void)madvise(p, set->map_bytes, MADV_HUGEPAGE);
	set->slots = p;
	if (!uniform)
		set->lengths = xcalloc(count, sizeof *set->lengths);
	ret = copy_packets(set, path, mark, e);
	if (ret)
		packet_set_free(set);
	return ret;
}

int packet_set_save(const struct packet_set *set, const char *path, struct err *e)
{
	pcap_t *p = pcap_open_dead(DLT_EN10MB, PACKET_SET_MAX_BYTES);
	pcap_dumper_t *out = p ? pcap_dump_open(p, path) : NULL;
	int ret = 0;
	if (!out) {
		ret = err_set(e, EIO, "%s: %s", path, p ? pcap_geterr(p) : "no memory");
	} else {
		for (uint32_t i = 0; i < set->count; i++) {
			/* A microsecond apart, so that tools that replay by time have an order. */
			struct pcap_pkthdr h = {.ts = {i / 1000000, i % 1000000},
						.caplen = packet_set_bytes(set, i),
						.len = packet_set_bytes(set, i)};
			pcap_dump((u_char *)out, &h, packet_set_at(set, i));
		}
		if (pcap_dump_flush(out))
			ret = err_set(e, EIO, "%s: %s", path, strerror(errno));
		pcap_dump_close(out);
	}
	if (p)
		pcap_close(p);
	return ret;
}
