/* SPDX-License-Identifier: BSD-3-Clause */
/* Puts the events of observers together again: one report per packet and probe, once the packet's
 * story is complete. Main thread only. Memory is bounded: packets under way are at most
 * JOURNAL_PACKETS per poll thread, the oldest is told as it is when there are more. */
#pragma once
#include "datapath/observe/observer.h"

enum { JOURNAL_PACKETS = 4096, JOURNAL_HELD_MS = 2000 };

struct journal; /* of one poll thread */

enum packet_verdict {
	VERDICT_UNKNOWN,
	VERDICT_SENT,
	VERDICT_DROPPED,
	VERDICT_ABSORBED,
	VERDICT_HELD,
	VERDICT_N
};
extern const char *const packet_verdict_names[VERDICT_N];

struct packet_output {
	uint32_t port_id, pkt_len;
	uint16_t reason; /* enum drop_reason: the port did not take it */
	uint64_t tsc;
};

/* What became of a packet. Valid during the call. */
struct packet_report {
	uint32_t probes;   /* bit per slot that wants it */
	uint8_t direction; /* OBSERVE_IN, _OUT or _DROP */
	uint32_t port_id, from_port;
	uint32_t pkt_len, cap_len;
	const uint8_t *bytes;
	uint64_t rx_tsc, tsc; /* received; what happened last */
	uint8_t level;        /* enum cache_level, of its first look-up */
	struct packet_origin origin;
	enum packet_verdict verdict;
	enum drop_reason reason;
	uint32_t policy_slot; /* of the policy rule that refused it, plus 1; 0: none did */
	unsigned n_outputs;
	const struct packet_output *output;
	/* All events about it in order, for traces; NULL unless a probe traces. */
	unsigned n_events;
	const struct event_common *const *event;
};
typedef void journal_sink(void *aux, const struct packet_report *r);

struct journal *journal_create(struct observer *o); /* borrows o */
void journal_destroy(struct journal *j);
/* Reads what the thread has written and reports what is complete; `all`: the rest as well. */
void journal_drain(struct journal *j, const struct probe_set *set, uint64_t now_ms, bool all,
		   journal_sink *sink, void *aux);
