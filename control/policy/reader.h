/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of the reader share: the policy under construction, the sections of all documents,
 * groups that are being resolved. Private to this folder. */
#pragma once
#include "control/policy/policy.h"
#include "control/policy/source.h"

/* A set of endpoints, one byte each. */
typedef uint8_t *endpoint_set;

struct group {
	const char *name;
	struct node key, value;
	enum {
		GROUP_NEW,
		GROUP_OPEN,
		GROUP_DONE
	} state; /* OPEN: being resolved, seen again: a cycle */
	endpoint_set members;
};

struct named {
	const char *name;
	struct node key, value;
};

struct reader_name {
	const char *name;
	uint32_t index;
};

struct reader {
	struct source s;
	struct policy *p;
	uint64_t now_ms;
	VEC(struct group) groups;      /* sorted by name */
	VEC(struct reader_name) names; /* endpoints, sorted by name */
	VEC(struct named) profiles;
	VEC(struct named) policies; /* of all tiers: names are unique */
	size_t encoded;             /* upper bound of what is sent, bytes */
	size_t work; /* steps of selecting, so that a small file cannot ask for hours */
	int depth;   /* of groups in groups */
};

/* Calls fn for every section of that name in all documents, as one mapping. */
int reader_each(struct reader *r, const char *section, node_pair_fn fn, void *aux);
/* A name that everything else refers to by: no blanks, at most 63 bytes. */
int reader_check_name(struct reader *r, const char *what, const char *name, struct node at);
int reader_prefixes(struct reader *r, struct node list, const char *what, bool strict,
		    struct policy_prefixes *out);
/* A sum of what was read that must stay below POLICY_ENCODED_MAX. */
int reader_spend(struct reader *r, struct node at, size_t bytes);
int reader_work(struct reader *r, struct node at, size_t steps);

/* read_objects.c */
int reader_objects(struct reader *r);
struct endpoint_fill;
int reader_fill_endpoint(struct endpoint_fill *f, struct node value, bool in_profile);
/* {cidr: …, except: […]} */
int reader_ip_block(struct reader *r, struct node n, struct policy_prefixes *out);
int reader_check_identity(struct reader *r); /* read_identity.c */
int reader_limit(struct reader *r, struct policy_limits *l, bool of_rule, const char *key,
		 struct node value, const char *what); /* 1: taken, 0: no such limit, -errno */

/* read_select.c */
int reader_groups(struct reader *r);
endpoint_set reader_set_create(const struct reader *r);
/* Adds (or's) what the node selects: a word, a list of words, a mapping of label selectors. */
int reader_select(struct reader *r, struct node n, endpoint_set into);
/* One word: an endpoint, a group, all, host. 1: taken, 0: unknown. */
int reader_select_word(struct reader *r, const char *word, struct node at, endpoint_set into);
/* Error of a word that names nothing. */
int reader_unknown(struct reader *r, const char *kind, const char *word, struct node at);

/* read_peers.c */
struct peers_read {
	struct policy_peers peers;
	bool anybody; /* nothing was said: anybody but the host */
};
/* Reads from/to. Services of the host with ports of their own go to `pieces` as further rules. */
struct peers_piece {
	int service; /* index of the host's service */
};
struct peers_pieces {
	VEC(struct peers_piece) at;
};
int reader_peers(struct reader *r, struct node n, enum policy_direction dir, struct peers_read *out,
		 struct peers_pieces *pieces);
/* The host's service as a peer. */
void reader_service_peers(struct reader *r, int service, struct policy_peers *out);
/* Takes *peers over; index in policy.peers, equal ones are shared. */
int reader_add_peers(struct reader *r, struct policy_peers *peers);

/* read_rules.c */
int reader_rules(struct reader *r);
int reader_services(struct reader *r, struct node n, struct policy_services *out);
/* Adds a rule over what the peers allow. `set`: the endpoints it applies to. */
struct rule_parts {
	const char *name;
	struct node at;
	enum policy_direction direction;
	enum policy_tier tier;
	enum policy_verdict verdict;
	uint32_t priority;
	uint8_t log;
	uint64_t valid_from_ms, valid_until_ms;
	struct policy_limits limits;
};
int reader_add_rule(struct reader *r, const struct rule_parts *parts, endpoint_set set,
		    struct peers_read *peers, const struct peers_pieces *pieces,
		    const struct policy_services *services);

/* read_grants.c */
int reader_grants(struct reader *r);
