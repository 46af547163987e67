/* SPDX-License-Identifier: BSD-3-Clause */
/* A network policy, read from policy.yaml and compiled: names and labels are resolved, what is left
 * are the flat objects that the api's POLICY_SET carries (docs/decisions/policy.md). Pure: no
 * clock, no I/O, no DPDK; any thread, one at a time. Peers in rules, endpoints in rules and so on
 * are indexes into the arrays here, and ids (stable over changes of the policy) in the message. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/err.h"
#include "datapath/base/vec.h"

enum {
	POLICY_TEXT_MAX = 4 << 20,   /* bytes of one document */
	POLICY_ENDPOINTS_MAX = 8192, /* of one policy */
	POLICY_RULES_MAX = 65536,
	POLICY_ENCODED_MAX = 32 << 20, /* bytes of the compiled policy */
	POLICY_HASH_BYTES = 32,
};

/* As PREFIXES carries them. IPv4 addresses are the first 4 bytes. */
struct policy_prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t len;
	uint8_t except; /* 1: takes out what a shorter one put in */
	uint8_t zero;
	uint8_t addr[16];
};
/* As SERVICES carries them. */
struct policy_service {
	uint8_t proto; /* POLICY_PROTO_ANY: any */
	uint8_t zero;
	uint16_t first, last; /* destination ports; for ICMP type << 8 | code */
};
_Static_assert(sizeof(struct policy_prefix) == 20 && sizeof(struct policy_service) == 6,
	       "they are sent as they are");

enum {
	POLICY_PROTO_ICMP = 1,
	POLICY_PROTO_TCP = 6,
	POLICY_PROTO_UDP = 17,
	POLICY_PROTO_ICMPV6 = 58,
	POLICY_PROTO_SCTP = 132,
	POLICY_PROTO_ANY = 255,
};

enum policy_direction { POLICY_INGRESS, POLICY_EGRESS };
enum policy_tier { POLICY_ADMIN, POLICY_ALLOWS, POLICY_BASELINE };
enum policy_verdict { POLICY_ALLOW, POLICY_DENY, POLICY_PASS };
enum policy_network_flag {
	POLICY_DHCP = 1,
	POLICY_DHCPV6 = 2,
	POLICY_SLAAC = 4,
	POLICY_HOST_ROUTES = 8,
};
enum policy_endpoint_flag {
#define GUARD(id, bit, ...) POLICY_##id = bit,
#include "control/policy/policy_guards.def"
#undef GUARD
	POLICY_IS_HOST = 64,
};
enum policy_peer_flag { POLICY_PEER_HOST = 1, POLICY_PEER_NOT_HOST = 2 };

/* 0: no limit. */
struct policy_limits {
#define LIMIT(member, ...) uint64_t member;
#include "control/policy/policy_limits.def"
#undef LIMIT
};

struct policy_label {
	char *key, *value;
};

struct policy_network {
	char *name;
	uint32_t id, flags; /* enum policy_network_flag */
	VEC(uint16_t) ethertypes;
	VEC(struct policy_prefix) prefixes;
	struct policy_limits limits;  /* what its endpoints start from */
	uint32_t guards, guards_said; /* bits of policy_endpoint_flag; which of them were said */
	unsigned line;
};

struct policy_mac {
	uint8_t byte[6];
};

struct policy_endpoint {
	char *name, *port; /* port NULL: the host */
	uint32_t id;
	int network; /* index; -1: none */
	VEC(struct policy_mac) macs;
	VEC(struct policy_prefix) prefixes;
	VEC(struct policy_label) labels; /* sorted by key */
	uint32_t flags;
	uint8_t isolated; /* bits: 1 << enum policy_direction */
	struct policy_limits limits;
	unsigned line;
};

struct policy_peers {
	uint32_t id;
	uint32_t flags;                     /* enum policy_peer_flag */
	VEC(struct policy_prefix) prefixes; /* sorted */
	VEC(uint32_t) endpoints;            /* indexes, ascending */
};

struct policy_rule {
	uint32_t id;
	char *name; /* "web-in/ingress[0]"; several rules may share it */
	uint8_t direction, tier, verdict, log;
	uint32_t priority;
	VEC(uint32_t) endpoints;                /* indexes, ascending */
	int peers;                              /* index; -1: anybody but the host */
	VEC(struct policy_service) services;    /* empty: everything */
	uint64_t valid_from_ms, valid_until_ms; /* wall clock; 0: not said */
	struct policy_limits limits;
	unsigned line;
};

/* A service of the host by name. */
struct policy_host_service {
	char *name;
	VEC(struct policy_prefix) prefixes;  /* empty: all of the host */
	VEC(struct policy_service) services; /* empty: everything */
};

/* A named set of prefixes. */
struct policy_cidr {
	char *name;
	VEC(struct policy_prefix) prefixes;
	unsigned line;
};

struct policy_grant {
	char *name, *from, *to, *reason, *by;
	VEC(struct policy_service) services;
	uint64_t valid_from_ms, valid_until_ms;
};

struct policy {
	VEC(struct policy_network) networks;
	VEC(struct policy_endpoint) endpoints; /* the host's, if any, is among them */
	VEC(struct policy_peers) peers;
	VEC(struct policy_rule) rules; /* in the order of evaluation */
	VEC(struct policy_host_service) services;
	VEC(struct policy_cidr) cidrs;
	VEC(struct policy_grant) grants;
	VEC(struct policy_prefix) host; /* the host's addresses, those of its services too */
	bool keep_established;
};

/* One document; `name` is what errors begin with. */
struct policy_text {
	const char *name, *text;
	size_t len;
};

/* Reads and compiles all documents as one policy. -errno with "FILE:LINE: reason" in e, and *out is
 * NULL. Grants whose time is over by now_ms are left out. */
int policy_read(struct policy **out, const struct policy_text *texts, size_t n, uint64_t now_ms,
		struct err *e);
void policy_free(struct policy *p); /* NULL is fine */

int policy_find_endpoint(const struct policy *p, const char *name); /* index or -1 */
int policy_find_service(const struct policy *p, const char *name);

/* SHA-256 over all that is sent, the document included. */
void policy_digest(const struct policy *p, const char *document, size_t len,
		   uint8_t out[POLICY_HASH_BYTES]);
/* Appends the operation POLICY_SET. confirm_ms 0: no confirmation is waited for. */
void policy_encode(const struct policy *p, const char *document, size_t len, uint64_t confirm_ms,
		   struct msg *m);

/* ---- words, as the file and the command line know them ---- */
/* "tcp/22", "udp/1000-2000", "icmp", "icmp/8", "icmpv6/128/0", "ping", "proto/47" → appended to
 * the list (as bytes of struct policy_service). NULL: good, else why not. */
/* A list that functions can take. */
struct policy_prefixes {
	VEC(struct policy_prefix) list;
};
struct policy_services {
	VEC(struct policy_service) list;
};
const char *policy_parse_service(const char *word, struct policy_services *out);
void policy_format_service(const struct policy_service *s, struct str *out);
/* "10.0.0.0/8", "fd00::1"; host bits must be zero when `strict`. */
const char *policy_parse_prefix(const char *word, bool strict, struct policy_prefix *out);
void policy_format_prefix(const struct policy_prefix *p, struct str *out);
/* "100ms", "30s", "5m", "2h", "7d". */
bool policy_parse_duration(const char *word, uint64_t *ms);
/* "2026-11-22T18:00:00Z", "…+01:00". */
bool policy_parse_time(const char *word, uint64_t *ms);
void policy_format_time(uint64_t ms, struct str *out);
const char *policy_proto_name(uint8_t proto); /* NULL: it has none */

/* Longest prefix decides. */
bool policy_prefixes_match(const struct policy_prefix *list, size_t n, uint8_t family,
			   const uint8_t addr[16]);
bool policy_prefix_covers(const struct policy_prefix *a, uint8_t family, const uint8_t addr[16]);
