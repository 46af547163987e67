/* SPDX-License-Identifier: BSD-3-Clause */
/* A compiled network policy as the datapath enforces it, and the questions that are put to it. What
 * it means is in docs/decisions/policy.md.
 *
 * A policy is made by the main thread from a specification (policy_create()), published whole
 * (policy_live.h) and never changed but for the fields that say so; poll threads read it under RCU.
 * Endpoints, rules and peers are named by their index here, not by the numbers of the
 * specification. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/core/drop.h"
#include "datapath/core/limits.h"
#include "datapath/core/rate_limiter.h"
#include "datapath/policy/policy_lpm.h"
#include "datapath/policy/policy_stats.h"

enum policy_direction { POLICY_INGRESS, POLICY_EGRESS };
enum policy_tier { POLICY_TIER_ADMIN, POLICY_TIER_ALLOWS, POLICY_TIER_BASELINE };
enum policy_verdict { POLICY_ALLOW, POLICY_DENY, POLICY_PASS };
enum policy_role { POLICY_ROLE_GUEST, POLICY_ROLE_HOST, POLICY_ROLE_UPLINK }; /* as bridge ports */
enum policy_network_flag {
	POLICY_NETWORK_DHCP = 1,
	POLICY_NETWORK_DHCPV6 = 2,
	POLICY_NETWORK_SLAAC = 4,
	POLICY_NETWORK_HOST_ROUTES = 8,
};
enum policy_endpoint_flag {
	POLICY_CHECK_MACS = 1,
	POLICY_CHECK_ADDRESSES = 2,
	POLICY_MAY_SERVE_DHCP = 4,
	POLICY_MAY_ADVERTISE = 8,
	POLICY_PROTECTED = 16,
	POLICY_MAY_TAG = 32,
	POLICY_IS_HOST = 64,
};
enum policy_peer_flag { POLICY_PEER_HOST = 1, POLICY_PEER_ANY = 2 /* but the host */ };
enum {
	POLICY_NETWORKS_MAX = 4096,
	POLICY_ENDPOINTS_MAX = 65536,
	POLICY_PEERS_MAX = 65536,
	POLICY_RULES_MAX = 131072,
	POLICY_ENTRIES_MAX = 16 << 20, /* rules times services of all different rule lists */
	POLICY_HASH_BYTES = 32,
	POLICY_NONE = 0xffffffff, /* an index: there is none */
	POLICY_AMBIGUOUS = 0xfffffffe,
};

/* ---- the specification: everything borrowed ---- */
struct policy_service { /* as SERVICES of the api has it */
	uint8_t proto;  /* IP protocol; 0xff: any */
	uint8_t pad;
	uint16_t first, last; /* destination ports; ICMP: type << 8 | code */
};
_Static_assert(sizeof(struct policy_service) == 6, "as on the wire");

struct policy_limits { /* 0: none */
	uint64_t in_kbps, out_kbps, in_pps, out_pps;
	uint32_t burst_ms, broadcast_pps, multicast_pps, unknown_pps, macs, conns, conns_per_s;
};

struct policy_network_spec {
	uint32_t id, flags;
	const char *name;
	const uint16_t *ethertypes;
	const struct policy_prefix *prefixes;
	size_t n_ethertypes, n_prefixes;
};
struct policy_endpoint_spec {
	uint32_t id, network_id, flags;
	bool has_network;
	uint8_t isolated; /* bit per enum policy_direction */
	const char *name, *port;
	const uint8_t (*macs)[6];
	const struct policy_prefix *prefixes;
	size_t n_macs, n_prefixes;
	struct policy_limits limits;
};
struct policy_peers_spec {
	uint32_t id, flags;
	const struct policy_prefix *prefixes;
	const uint32_t *endpoint_ids;
	size_t n_prefixes, n_endpoint_ids;
};
struct policy_rule_spec {
	const char *name;
	uint8_t direction, tier, verdict, log;
	uint32_t priority;
	bool has_peers;
	uint32_t peers_id;
	const uint32_t *endpoint_ids;
	const struct policy_service *services;
	size_t n_endpoint_ids, n_services;
	uint64_t valid_from_ms, valid_until_ms; /* wall clock; 0: no limit */
	struct policy_limits limits;            /* out_*, conns, conns_per_s, burst */
};
struct policy_spec {
	const uint8_t *hash; /* POLICY_HASH_BYTES; NULL: all 0 */
	const void *document;
	size_t document_len;
	uint64_t confirm_ms;
	bool keep_established;
	const struct policy_network_spec *networks;
	const struct policy_endpoint_spec *endpoints;
	const struct policy_peers_spec *peers;
	const struct policy_rule_spec *rules;
	size_t n_networks, n_endpoints, n_peers, n_rules;
};

/* ---- compiled ---- */
struct policy_network {
	char *name;
	uint32_t flags;
	uint16_t *ethertypes;
	size_t n_ethertypes;
	struct policy_lpm *prefixes;  /* value 1: in it */
	struct policy_lpm *addresses; /* to the index of the endpoint */
};

struct policy_entry {  /* of a rule list */
	uint32_t key;  /* IP protocol << 16 | port for one port; POLICY_NONE: look at the rule */
	uint32_t rule; /* index; they are in order of evaluation */
};
struct policy_list { /* the rules of an endpoint in one direction, sorted by key and rule */
	uint32_t n, refs;
	uint32_t n_generic; /* entries at the end with key POLICY_NONE */
	struct policy_entry *entry;
};

struct policy_endpoint {
	char *name, *port;
	uint32_t network; /* index or POLICY_NONE */
	uint32_t flags;
	uint8_t isolated;
	uint8_t (*macs)[6];
	size_t n_macs;
	struct policy_lpm *addresses;      /* value 1: its own; NULL: none declared */
	uint8_t own4[4], own6[16];         /* one per family; 0: it has none */
	const struct policy_list *list[2]; /* by enum policy_direction; NULL: no rule */
	struct policy_limits limits;
	struct rate_limiter in_bits, out_bits, in_pkts, out_pkts, broadcasts, multicasts, unknown,
		new_conns;
};

struct policy_peers {
	uint32_t flags;
	bool has_host; /* by name */
	struct policy_lpm *prefixes;
	struct policy_lpm *full; /* those of full length: only they name the host */
	uint32_t *endpoints;     /* indices, ascending */
	size_t n_endpoints;
};

struct policy_rule {
	char *name;
	uint32_t slot;
	uint8_t tier, verdict, direction, log;
	bool limited;   /* a rate holds for packets of its connections */
	uint8_t active; /* within its time; W: main  R: any, relaxed, after the generation */
	const struct policy_peers *peers; /* NULL: anybody but the host */
	struct policy_service *services;
	size_t n_services; /* 0: everything */
	uint64_t valid_from_ms, valid_until_ms;
	struct policy_limits limits;
	struct rate_limiter bits, pkts, new_conns;
};

/* Where connections are judged and kept: the edge of a guest's port has the port's number; all host
 * ports of a bridge have one in common, because what leaves the host by one may be answered by
 * another: PORT_ID_MAX + number of the bridge. */
enum { POLICY_EDGES = PORT_ID_MAX + BRIDGE_ID_MAX };

enum policy_port_flag { POLICY_PORT_LIMITED_IN = 1, POLICY_PORT_LIMITED_OUT = 2 };
struct policy_port {       /* W: main  R: any, relaxed; a change raises the generation afterwards */
	uint32_t endpoint; /* index; POLICY_NONE: a guest without one, or no guest */
	uint8_t role;      /* enum policy_role */
	uint8_t flags;     /* POLICY_PORT_* */
	uint16_t edge;     /* below POLICY_EDGES */
};

struct policy {
	uint64_t generation; /* W: main  R: any */
	/* A connection judged under this generation or a later one need not be judged again:
	 * `generation`, or 0 when established ones may finish. W: main (release)  R: any (acquire)
	 */
	uint64_t judged_from;
	struct policy_port port[PORT_ID_MAX];
	struct policy_network *networks;
	struct policy_endpoint *endpoints;
	struct policy_peers *peers;
	struct policy_rule *rules; /* in order of evaluation */
	uint32_t n_networks, n_endpoints, n_peers, n_rules;
	struct policy_list *lists;
	uint32_t n_lists;
	uint32_t *limited; /* rules with a rate for their packets, by slot */
	uint32_t n_limited;
	uint32_t host; /* the endpoint that is the host, for policies that select it; POLICY_NONE */
	struct policy_lpm *addresses; /* of all networks, to the endpoint or POLICY_AMBIGUOUS */
	uint8_t (*macs)[6];           /* of all endpoints that are checked, ascending */
	size_t n_macs;
	uint8_t hash[POLICY_HASH_BYTES];
	void *document;
	size_t document_len;
	uint64_t confirm_ms;
	bool keep_established;
	uint64_t next_change_ms; /* wall clock at which a rule begins or ends; W, R: main */
};

/* Main thread. -EINVAL, -E2BIG, -EEXIST, -ENOENT with e; nothing is kept of the specification. */
int policy_create(struct policy **out, const struct policy_spec *s, struct err *e);
void policy_destroy(struct policy *p); /* no reader is left; NULL is fine */

/* ---- questions ---- */
enum policy_peer_kind { POLICY_OUTSIDE, POLICY_ENDPOINT, POLICY_HOST };
struct policy_question {                    /* may a connection be opened? */
	const struct policy_endpoint *self; /* whose rules; NULL: a guest without endpoint */
	uint8_t direction;                  /* ingress: the peer opens it */
	uint8_t peer_kind;                  /* enum policy_peer_kind */
	uint8_t family;                     /* of the peer's address */
	uint8_t proto;
	uint16_t service; /* destination port; ICMP: type << 8 | code; else 0 */
	uint32_t peer;    /* index, when POLICY_ENDPOINT */
	const uint8_t *peer_addr;
};
struct policy_answer {
	bool allow;
	uint32_t slot;            /* what decided */
	struct policy_rule *rule; /* when a rule did; else NULL */
	uint8_t drop;             /* enum drop_reason when denied */
};
struct policy_answer policy_judge(const struct policy *p, const struct policy_question *q);
struct policy_answer policy_builtin(enum policy_slot_id id);

/* The endpoint that has the address, as seen from a network (index or POLICY_NONE): index,
 * POLICY_NONE. */
uint32_t policy_owner(const struct policy *p, uint32_t network, uint8_t family,
		      const uint8_t *addr);
bool policy_mac_is(const uint8_t (*macs)[6], size_t n, const uint8_t mac[6]); /* macs ascending */
