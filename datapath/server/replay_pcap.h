/* SPDX-License-Identifier: BSD-3-Clause */
/* What a replay sends, as a pcapng file (draft-ietf-opsawg-pcapng): an interface per port, times of
 * the recording in nanoseconds. Main thread. */
#pragma once
#include "datapath/base/util.h"

struct err;
struct rte_mbuf;
struct replay_pcap;

/* `more`: another section behind those that the file has. */
int replay_pcap_create(const char *path, bool more, struct replay_pcap **out, struct err *e);
void replay_pcap_put(struct replay_pcap *w, uint32_t port_id, const char *port,
		     const struct rte_mbuf *m, uint64_t time_ns);
/* -errno with e when something was not written. NULL is fine. */
int replay_pcap_close(struct replay_pcap *w, struct err *e);
