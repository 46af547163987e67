/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy in force: publishing, ports as they come and go, rules that begin and end by the
 * clock, going back when nobody confirms, and the sweep that cuts silent connections which are
 * forbidden now. Main thread, but for policy_now(). There is always a policy: at first one that
 * knows nobody, under which guests and host do not talk. */
#pragma once
#include "datapath/policy/policy_edge.h"

extern struct policy *policy_current; /* W: main (release)  R: any (acquire), RCU */
static inline struct policy *policy_now(void)
{
	return __atomic_load_n(&policy_current, __ATOMIC_ACQUIRE);
}

void policy_live_init(void); /* before the first poll thread */

/* Takes p and puts it in force; with p->confirm_ms the one before waits for policy_confirm().
 * Within the publish step of a transaction. */
void policy_publish(struct policy *p, uint64_t now_ms, uint64_t wall_ms);
/* The policy in force stays. -ESTALE with e: its hash is another one. */
int policy_confirm(const uint8_t hash[POLICY_HASH_BYTES], struct err *e);
uint64_t policy_confirm_left_ms(uint64_t now_ms); /* 0: nothing to confirm */

/* A port is on a bridge under this name and role (also: changed there). Publish step. */
void policy_port_set(uint32_t port_id, uint32_t bridge_id, const char *name, uint8_t role);
/* The port number has no user any more: its connections are nobody's; those of host ports when it
 * was the last one of its bridge. */
void policy_port_clear(uint32_t port_id);

enum policy_news { POLICY_CONFIRMED, POLICY_ROLLED_BACK, POLICY_EXPIRED };
struct policy_sink {
	void (*news)(enum policy_news what, const char *rule); /* rule: of EXPIRED, else "" */
	/* The decision of resolve about cached flows may have changed: publish a version. */
	void (*changed)(void);
	/* LIMIT_MACS of the endpoint on a port; 0: none. Within a publish step. */
	void (*mac_limit)(uint32_t port_id, uint32_t limit);
};
void policy_set_sink(const struct policy_sink *s);
/* Every 10 ms or so: confirmation, times, a bounded part of the sweep. */
void policy_upkeep(uint64_t now_ms, uint64_t wall_ms);
bool policy_sweep_is_done(void);

/* A recording begins: rate limits have their bursts again, every connection is judged anew. Returns
 * the generation from then on. */
uint64_t policy_restart(void);
/* Replay: the numbers that connections of the recording carry; before policy_restart(), which then
 * gives `generation`. */
void policy_replay_epoch(uint32_t edge, uint16_t epoch);
void policy_replay_generation(uint64_t generation);
