/* SPDX-License-Identifier: BSD-3-Clause */
/* Frozen contexts (DESIGN 9.4): where a packet goes on when it comes back from the connection
 * tracker, a re-parse, a length check or a controller. Interned: equal states share an id, which is
 * part of the flow key. Cache entries pin a context by its credit target; one that nobody pins and
 * nothing used for a while goes.
 *
 * Poll threads intern and look up; the table has one short lock, taken on misses only. Look-up by
 * id is lock-free under RCU. */
#pragma once
#include "datapath/core/credit.h"
#include "datapath/flow/key.h"

enum {
	FROZEN_PER_PORT = 1024, /* contexts that one ingress port may have */
	FROZEN_MAX = 65536,
	FROZEN_IDLE_MS = 10000,
	FROZEN_BYTES_MAX = 65536, /* of a state */
	FROZEN_LISTS_MAX = 128,
};

/* The state, by value: this header, then stack, action set, and lists (struct frozen_list with its
 * actions), each padded to 8. A continuation handed to a controller is these bytes. */
struct frozen_state {
	uint32_t len; /* of all */
	uint32_t bridge_id;
	uint32_t in_port_id; /* datapath port by which the bridge was entered; 0: none */
	uint32_t stack_len, action_set_len, lists_len;
	uint8_t table;     /* go on in this table … */
	uint8_t has_table; /* … when set; else with the lists */
	uint8_t run_set;   /* the action set is due at the end */
	uint8_t pad;
	uint32_t n_patch; /* patch ports crossed so far */
	struct flow_regs regs;
	uint8_t data[];
};
struct frozen_list {  /* innermost first */
	uint32_t len; /* bytes of actions that follow */
	uint8_t table, pad[3];
	uint8_t actions[];
};

struct frozen {
	struct credit_target credit; /* used_ms: last use */
	uint32_t id;                 /* constant, as all below */
	uint32_t port_id;            /* whose quota it counts against */
	uint64_t hash;
	struct frozen *next; /* hash chain; under the lock */
	struct frozen_state state;
};

/* Finds or makes the context of a state. 0: the quota is used up, or it does not exist and `create`
 * is false. *out (may be NULL) is to be credited by the entry that refers to it. */
uint32_t frozen_intern(const struct frozen_state *s, uint32_t port_id, uint64_t now_ms, bool create,
		       struct frozen **out);
/* NULL: gone. Valid until the burst ends. */
const struct frozen *frozen_lookup(uint32_t id);
uint32_t frozen_count(void);
/* Main thread, about every second: lets go of what is neither pinned nor used. */
void frozen_expire(uint64_t now_ms);
/* A state from outside (a continuation): is it consistent and within `len`? */
bool frozen_state_is_valid(const void *data, size_t len);

/* A recording begins: states that are frozen from now on are new ones, whatever there was before.
 * The number that was given last, which replay sets: numbers decide places in caches. Main. */
uint32_t frozen_restart(void);
void frozen_replay_last_id(uint32_t id);
