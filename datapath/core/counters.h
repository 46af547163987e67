/* SPDX-License-Identifier: BSD-3-Clause */
/* Per-port counters of the ledger (DESIGN 9.15). Of each port, exact at rest:
 *   rx_pkts + handed + created = sent + tx_pkts + all drops + absorbed + held
 * and over all ports the sum of `sent` equals the sum of `handed`, so that in total
 *   received + created = transmitted + dropped + absorbed + held. Each block has one writer, the
 * poll thread that owns it; readers sum over threads without stopping anyone. A port's block of a
 * thread is allocated by the main thread before the port is published to that thread. */
#pragma once
#include "datapath/core/drop.h"
#include "datapath/core/limits.h"

struct port_counters {              /* W: one thread  R: any, relaxed */
	uint64_t rx_pkts, rx_bytes; /* arrived from the device, before any drop */
	uint64_t tx_pkts, tx_bytes; /* accepted by the device */
	/* Attributed to the ingress port: */
	uint64_t created; /* copies made for further outputs, segments beyond the first, injected */
	uint64_t absorbed; /* to controllers, merged, consumed by protocols */
	uint64_t sent;     /* of this port's packets and their copies: staged for an output port */
	uint64_t handed;   /* taken from staging for this port as output */
	/* Cache behaviour of what this port received */
	uint64_t cache_hits;    /* found a megaflow … */
	uint64_t megaflow_hits; /* … of those, by probing masks and not by a signature */
	uint64_t misses, miss_queued;
	uint64_t over_quota; /* of misses: the port had its share of entries or of their rate */
	/* Attributed to the port named by the reason's family: RX, SWITCH, POLICY: ingress port;
	 * TX: output port */
	uint64_t drop[DROP_N];
} SL_CACHE_ALIGNED;

/* Increment by the only writer; a plain add that readers see whole. */
#define counter_add(p, n)                                                                          \
	__atomic_store_n((p), __atomic_load_n((p), __ATOMIC_RELAXED) + (n), __ATOMIC_RELAXED)

/* Block of a (thread, port); NULL when the port is not published. W: main. */
struct port_counters *counters_of(unsigned thread_idx, uint32_t port_id);
int counters_port_create(uint32_t port_id);   /* main: for all threads (thread POLL_THREADS_MAX is
						 main itself); -ENOMEM */
void counters_port_destroy(uint32_t port_id); /* main: after a grace period */
int counters_thread_create(unsigned thread_idx); /* main: before a poll thread starts; -ENOMEM */
void counters_sum(uint32_t port_id, struct port_counters *out); /* any */
