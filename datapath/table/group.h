/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups (OpenFlow 1.3.5 §5.6, 1.5.1 §5.10): lists of buckets that rules name by id. A group is
 * immutable and lives in versions [added, removed) as rules do, so that a bundle over rules and
 * groups is seen whole. Look-ups: any thread under RCU; changes through a txn. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/core/credit.h"
#include "datapath/flow/match.h"

struct bridge;
struct bridge_port;
struct group_table;
struct txn;

enum group_type { GROUP_ALL, GROUP_SELECT, GROUP_INDIRECT, GROUP_FAST_FAILOVER };
enum group_method { GROUP_METHOD_DEFAULT, GROUP_METHOD_DP_HASH, GROUP_METHOD_HASH };

enum {
	GROUPS_MAX = 65536, /* of a bridge */
	BUCKETS_MAX = 1024, /* of a group */
	GROUP_ID_MAX = 0xffffff00u,
	GROUP_ID_ALL = 0xfffffffcu,
	BUCKET_ID_MAX = 0xffffff00u,
	BUCKET_FIRST = 0xfffffffdu, /* of command_bucket_id (1.5.1 §7.3.4.4) */
	BUCKET_LAST = 0xfffffffeu,
	BUCKET_ALL = 0xffffffffu,
};

struct group_stats {
	struct credit_target credit;
	/* Of a select group's bucket: packets, bytes. The credit has what passed the group then,
	 * because one cache entry may take all buckets.  W: poll threads (atomic, relaxed)  R: any
	 */
	uint64_t chosen[2];
};

struct group_bucket {
	uint32_t id;
	uint16_t weight;
	uint32_t watch_port, watch_group; /* OFP_PORT_ANY, 0xffffffff: none */
	const uint8_t *actions;           /* an action set, as a list */
	uint32_t actions_len;
	struct group_stats *stats; /* pinned by the group */
};

struct group {
	uint64_t added, removed; /* W: lock holder (relaxed)  R: any */
	uint32_t id;
	uint8_t type, method; /* enum group_type, group_method */
	uint64_t param;
	const struct minimatch *fields; /* method hash: mask of the fields; NULL */
	struct group_stats *stats;
	uint64_t created_ms;
	uint32_t n_buckets, blob_len;
	const uint8_t *blob;
	struct group_bucket bucket[];
};

/* ---- any thread, RCU ---- */
const struct group *group_lookup(const struct bridge *b, uint32_t id, uint64_t version);
/* Is the bucket alive: what it watches is (1.3.5 §5.6.1)? A select or "all" bucket that watches
 * nothing is. */
bool group_bucket_is_live(const struct bridge *b, const struct group_bucket *bucket,
			  uint64_t version);

/* ---- under a txn ---- */
enum group_command { /* values of COMMAND */
		     GROUP_MOD_ADD = 0,
		     GROUP_MOD_MODIFY = 1,
		     GROUP_MOD_ADD_OR_MODIFY = 2,
		     GROUP_MOD_DELETE = 3,
		     GROUP_MOD_INSERT_BUCKET = 5,
		     GROUP_MOD_REMOVE_BUCKET = 6,
};
struct group_bucket_spec {
	uint32_t id; /* BUCKET_ALL: number them */
	uint16_t weight;
	uint32_t watch_port, watch_group;
	const uint8_t *actions; /* checked, see action_list_check() */
	uint32_t actions_len;
};
struct group_mod {
	uint8_t command, type, method;
	uint32_t id;             /* GROUP_ID_ALL: delete all */
	uint32_t command_bucket; /* insert after, remove */
	uint64_t param;
	const struct minimatch *fields; /* checked; NULL */
	uint32_t n_buckets;
	const struct group_bucket_spec *buckets;
	const uint8_t *blob;
	uint32_t blob_len;
};
enum { /* OpenFlow errors (1.5.1 §7.5.4.8) */
       GM_ERR_GROUP_EXISTS = 6 << 16 | 0,
       GM_ERR_INVALID_GROUP = 6 << 16 | 1,
       GM_ERR_OUT_OF_GROUPS = 6 << 16 | 3,
       GM_ERR_OUT_OF_BUCKETS = 6 << 16 | 4,
       GM_ERR_UNKNOWN_GROUP = 6 << 16 | 8,
       GM_ERR_BAD_TYPE = 6 << 16 | 10,
       GM_ERR_BAD_COMMAND = 6 << 16 | 11,
       GM_ERR_BAD_BUCKET = 6 << 16 | 12,
       GM_ERR_UNKNOWN_BUCKET = 6 << 16 | 15,
       GM_ERR_BUCKET_EXISTS = 6 << 16 | 16,
};
int group_mod(struct txn *t, struct bridge *b, const struct group_mod *gm, uint32_t *ofp,
	      struct err *e);
/* The live group in the writers' view; NULL. */
const struct group *group_next(const struct bridge *b, uint32_t id);
/* Dumps, main thread, no txn open: live groups in no particular order; *pos starts at 0. */
const struct group *group_iter(const struct bridge *b, uint32_t *pos);
/* Rules that use it. O(rules). */
uint32_t group_ref_count(const struct bridge *b, uint32_t id);

struct group_table *group_table_create(void);
void group_table_destroy(struct group_table *t); /* no readers */
