/* SPDX-License-Identifier: BSD-3-Clause */
/* The MAC table of a bridge: which port an address was seen on, per VLAN.
 *
 * Readers (poll threads) look up without locks under RCU. The main thread alone writes: poll
 * threads post what they saw to one bounded ring (mac_table_learn()), mac_table_drain() applies it.
 * Limits: a full table, or a port at its limit, drops the learn; nobody's entry is ever evicted by
 * another port's traffic. A dropped or unanswered learn is posted again by the next miss. */
#pragma once
#include "datapath/core/credit.h"
#include "datapath/table/ptr_table.h"
#include "datapath/table/table_events.h"

struct err;
struct mac_table;
struct txn;

struct mac_entry {
	struct credit_target credit; /* packets from this address; used_ms drives ageing */
	uint8_t mac[6];              /* constant */
	uint16_t vlan;               /* constant */
	uint32_t port_id;            /* W: main (relaxed)  R: any; a move publishes a version */
	bool is_static;              /* W: main under the version lock  R: any */
	uint64_t learnt_ms;          /* learnt or moved  W: main  R: any */
	/* A gratuitous ARP moved it here: until this time replies seen elsewhere (reflected by a
	 * bond) do not move it back.  W: main  R: any */
	uint64_t grat_lock_until_ms;
};

struct mac_table *mac_table_create(uint32_t bridge_id, uint32_t max_entries, uint32_t ageing_s);
void mac_table_destroy(struct mac_table *t); /* no readers, no queued learns matter */

/* ---- any thread, RCU ---- */
/* NULL: unknown. The entry stays valid until the burst ends. */
struct mac_entry *mac_table_lookup(const struct mac_table *t, const uint8_t mac[6], uint16_t vlan);
/* Should a packet from `mac` on `port_id` be posted? `e` is its entry or NULL. */
bool mac_table_wants(const struct mac_table *t, const struct mac_entry *e, const uint8_t mac[6],
		     uint16_t vlan, uint32_t port_id, bool gratuitous, uint64_t now_ms);
/* Posts a learn request. false: ring or the port's share of it is full. */
bool mac_table_learn(uint32_t bridge_id, const uint8_t mac[6], uint16_t vlan, uint32_t port_id,
		     bool gratuitous);

/* The dependency bit of an address, known or not. */
uint64_t mac_table_dep(uint32_t bridge_id, const uint8_t mac[6], uint16_t vlan);

/* ---- main thread ---- */
/* Applies posted learns, at most some hundreds; takes the version lock. True: more are waiting. */
bool mac_table_drain(uint64_t now_ms);
/* Removes what was not used for the ageing time; takes the version lock when there is something. */
void mac_table_expire(struct mac_table *t, uint64_t now_ms);
uint32_t mac_table_count(const struct mac_table *t);
/* Walks the table; the entries are valid until tables_run(). */
const struct mac_entry *mac_table_next(const struct mac_table *t, uint32_t *pos);

/* A recording begins: from now on the order of iteration is that of a table into which the entries
 * came in the order of the last iteration, and the next run looks for what has expired. Poll
 * threads are at rest. */
void mac_table_restart(struct mac_table *t);

/* ---- under a txn ---- */
/* Replay: a learnt entry as it was. False: there is one. */
bool mac_table_restore(struct txn *t, struct mac_table *m, const struct mac_entry *was);
void mac_table_configure(struct txn *t, struct mac_table *m, uint32_t max_entries,
			 uint32_t ageing_s);
/* A static entry; an existing one becomes static and moves. -ENOSPC, -EINVAL (group address). */
int mac_table_set(struct txn *t, struct mac_table *m, const uint8_t mac[6], uint16_t vlan,
		  uint32_t port_id, struct err *e);
struct mac_filter {
	const uint8_t *mac; /* NULL: any */
	int vlan;           /* -1: any */
	uint32_t port_id;   /* 0: any */
	bool statics;       /* also static entries */
};
/* Removes what the filter selects; returns how many. */
uint32_t mac_table_flush(struct txn *t, struct mac_table *m, const struct mac_filter *f);
