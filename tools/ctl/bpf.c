/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/bpf.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>

enum { SNAPLEN = 65535 };

/* The api's layout of an instruction is that of struct bpf_insn. */
_Static_assert(sizeof(struct bpf_insn) == 8 && offsetof(struct bpf_insn, jt) == 2 &&
		       offsetof(struct bpf_insn, k) == 4,
	       "FILTER is what pcap_compile() makes");

int bpf_put_filter(struct msg *m, const char *filter, struct err *e)
{
	struct bpf_program program;
	pcap_t *dead;
	int rc = 0;
	if (!filter || !filter[0])
		return 0;
	dead = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, SNAPLEN,
						    PCAP_TSTAMP_PRECISION_NANO);
	if (!dead)
		return err_set(e, ENOMEM, "--filter: no memory");
	if (pcap_compile(dead, &program, filter, 1, PCAP_NETMASK_UNKNOWN)) {
		rc = err_set(e, EINVAL, "--filter \"%s\": %s", filter, pcap_geterr(dead));
	} else {
		msg_put_bytes(m, ATTR_FILTER, program.bf_insns,
			      program.bf_len * sizeof *program.bf_insns);
		pcap_freecode(&program);
	}
	pcap_close(dead);
	return rc;
}

int bpf_read_file(const char *path, bool (*fn)(const struct bpf_packet *p, void *aux), void *aux,
		  struct err *e)
{
	char text[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *data;
	struct bpf_packet p = {0};
	int got = 0, rc = 0;
	pcap_t *file =
		pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, text);
	if (!file) /* libpcap names the file only when it cannot be opened */
		return strstr(text, path) ? err_set(e, EINVAL, "%s", text)
					  : err_set(e, EINVAL, "%s: %s", path, text);
	if (pcap_datalink(file) != DLT_EN10MB)
		rc = err_set(e, EINVAL, "%s: link type %s: only Ethernet is understood", path,
			     pcap_datalink_val_to_name(pcap_datalink(file))
				     ? pcap_datalink_val_to_name(pcap_datalink(file))
				     : "unknown");
	while (!rc && (got = pcap_next_ex(file, &header, &data)) == 1) {
		p.number++;
		p.data = data;
		p.len = header->caplen;
		p.wire_len = header->len;
		p.time_ns = (uint64_t)header->ts.tv_sec * 1000000000u +
			    (uint64_t)header->ts.tv_usec; /* nanoseconds */
		if (!fn(&p, aux))
			break;
	}
	if (!rc && got == PCAP_ERROR)
		rc = err_set(e, EINVAL, "%s: after packet %zu: %s", path, p.number,
			     pcap_geterr(file));
	pcap_close(file);
	return rc;
}
