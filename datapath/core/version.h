/* SPDX-License-Identifier: BSD-3-Clause */
/* One version number for the whole datapath, and a short log of what each version changed.
 *
 * Writers prepare (new rules carry added = next, removed ones removed = next), then
 * version_commit() publishes. A poll thread reads the version once per burst, uses it for every
 * table and recirculation of that burst, and publishes it in its own line. version_wait() returns
 * when every awake thread has finished a burst at the given version or later: then no packet
 * follows an old rule any more.
 *
 * A cache entry that was stamped earlier asks version_affects() whether anything since could
 * concern it. Changes and entries meet in a 64-bit dependency set: one bit per (kind, object)
 * hashed; only when the bits meet is the rule's match compared with the entry. */
#pragma once
#include "datapath/core/limits.h"
#include "datapath/flow/match.h"

enum change_kind {
	CHANGE_ALL,    /* configuration: ports, VLANs, bridges: everything is re-resolved */
	CHANGE_TABLE,  /* a rule in (bridge, table), with its match */
	CHANGE_MAC,    /* a MAC entry in (bridge, vlan, mac): added, moved, removed */
	CHANGE_FLOOD,  /* the set of ports a VLAN floods to, in a bridge */
	CHANGE_GROUP,  /* (bridge, group id) */
	CHANGE_METER,  /* (bridge, meter id) */
	CHANGE_PORT,   /* liveness or flags of a port */
	CHANGE_FROZEN, /* a frozen context */
	CHANGE_POLICY, /* the policy of an endpoint */
	CHANGE_BRIDGE, /* one bridge's configuration */
};

/* The bit of an object in a dependency set. b: table number, vlan<<48|mac, group id … */
uint64_t version_dep(enum change_kind kind, uint32_t bridge_id, uint64_t b);

struct change {
	enum change_kind kind;
	uint64_t dep;            /* version_dep() of the object; CHANGE_ALL: ~0 */
	struct minimatch *match; /* CHANGE_TABLE: the rule's match, owned by the log from commit on;
				    else NULL */
};

extern uint64_t version_now_shared; /* W: commit (release)  R: any (acquire) */
static inline uint64_t version_now(void)
{
	return __atomic_load_n(&version_now_shared, __ATOMIC_ACQUIRE);
}
/* Writers take the commit lock, prepare for version_next(), and commit. Not for poll threads except
 * through learn, which uses version_trylock(). */
void version_lock(void);
bool version_trylock(void);
void version_unlock(void);
static inline uint64_t version_next(void) /* holding the lock */
{
	return version_now_shared + 1;
}
/* Publishes version_next() with its changes. Holding the lock. Returns the new version. */
uint64_t version_commit(const struct change *changes, size_t n);
/* Not for poll threads: blocks (microseconds) until no awake thread runs a burst older than v. */
void version_wait(uint64_t v);

/* Poll thread: start of a burst; publishes the version it will use. */
uint64_t version_burst_begin(unsigned thread_idx);
/* Poll thread: nothing in flight (before sleep); such a thread is not waited for. */
void version_idle(unsigned thread_idx);

/* What an entry must show to be judged. `written` lines: bits that the path wrote before some table
 * saw them, and which therefore count as wildcard. NULL: none. */
struct version_subject {
	uint64_t deps;
	const struct flow_key *key, *mask, *written;
	uint16_t lines; /* of mask */
};
/* May a change in (since, now] concern the entry? True when in doubt (log overrun). */
bool version_affects(const struct version_subject *s, uint64_t since, uint64_t now);
