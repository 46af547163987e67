/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions to a policy, answered without a datapath: may A open a connection to B, what decides,
 * what is the smallest rule that would change it, who may talk to whom, what differs between two
 * policies. The order is that of docs/decisions/policy.md, which the datapath follows too. Pure. */
#pragma once
#include "control/policy/policy.h"
#include "datapath/base/str.h"

enum policy_end_kind { POLICY_END_OUTSIDE, POLICY_END_ENDPOINT, POLICY_END_HOST };

struct policy_end {
	enum policy_end_kind kind;
	int endpoint;   /* index, when an endpoint */
	uint8_t family; /* 0: no address is known */
	uint8_t addr[16];
};

struct policy_question {
	struct policy_end from, to;
	uint8_t proto;
	uint16_t port; /* destination port; ICMP: type << 8 | code; else 0 */
	uint64_t now_ms;
};

/* One end's edge, where its rules are asked. */
struct policy_edge {
	bool asked;
	bool allow;
	int endpoint; /* index: whose rules */
	uint8_t direction;
	enum policy_end_kind peer;
	int rule;         /* index; -1: a built-in */
	const char *name; /* of the rule or built-in */
};

struct policy_answer {
	bool allow;
	struct policy_edge egress, ingress; /* of `from`, of `to` */
	const char *name;                   /* what decided */
	const struct policy_edge *edge;     /* where; NULL: no edge was asked */
};

/* "web1", "host", "host:dns", "outside", an address, a cidr's name (its first address). family 4 or
 * 6; 0: one that both have, IPv4 before IPv6. service is "tcp/22"; a range asks for its first port;
 * "ping" is that of the family. -EINVAL with e. */
int policy_ask(const struct policy *p, const char *from, const char *to, uint8_t family,
	       const char *service, uint64_t now_ms, struct policy_question *out, struct err *e);
/* *out points into p and into itself: it must not be copied. */
void policy_answer(const struct policy *p, const struct policy_question *q,
		   struct policy_answer *out);
/* Who has the end's address: the host, an endpoint, or nobody, which stays outside. */
void policy_end_resolve(const struct policy *p, struct policy_end *end);
/* "web1", "host", "198.51.100.1". */
void policy_end_format(const struct policy *p, const struct policy_end *end, struct str *out);

/* A document that, read together with the policy's own, turns the answer over; false: no additional
 * rule can (an administrator's rule of priority 0, a guard), and `out` says so. */
bool policy_suggest(const struct policy *p, const struct policy_question *q, struct str *out);

/* ---- many questions ---- */

/* Services that no rule tells apart, as ranges. */
struct policy_classes {
	VEC(struct policy_service) list;
};
void policy_classes_add(struct policy_classes *c, const struct policy *p);
void policy_classes_finish(struct policy_classes *c); /* after the last policy */

/* What may be opened from one end to the other; `allow` and `deny` together are everything. */
struct policy_cell {
	VEC(struct policy_service) allow, deny;
};
void policy_cell_fill(const struct policy *p, const struct policy_classes *c,
		      const struct policy_end *from, const struct policy_end *to, uint64_t now_ms,
		      struct policy_cell *out);
void policy_cell_free(struct policy_cell *c);
/* "all", "-", "tcp/22 icmp", "all but tcp/23". */
void policy_cell_format(const struct policy_cell *c, struct str *out);

/* The ends of a matrix: endpoints, host, named cidrs, outside. Names are owned. */
struct policy_subject {
	char *name;
	struct policy_end end;
};
struct policy_subjects {
	VEC(struct policy_subject) list;
};
void policy_subjects_fill(const struct policy *p, uint8_t family, struct policy_subjects *out);
void policy_subjects_free(struct policy_subjects *s);

/* fn for each pair and range of services whose verdict differs (POLICY_PROTO_ANY: all of them). An
 * endpoint that one of them does not have counts as denied there. */
typedef void (*policy_diff_fn)(const char *from, const char *to, const struct policy_service *s,
			       bool allowed_now, void *aux);
size_t policy_diff(const struct policy *old, const struct policy *new, uint64_t now_ms,
		   policy_diff_fn fn, void *aux);
/* "all", "tcp/22", "other protocols" */
void policy_diff_format(const struct policy_service *s, struct str *out);

/* ---- expectations ---- */

struct policy_expectation {
	unsigned line;
	bool allow;                       /* expected */
	char *from, *to, *service, *rule; /* rule NULL: any */
	uint8_t family;
};
struct policy_expectations {
	VEC(struct policy_expectation) list;
};
/* A list of {from: web1, to: db1, ports: tcp/5432, expect: allow}. -EINVAL with "FILE:LINE: …". */
int policy_expectations_read(struct policy_expectations *out, const struct policy_text *text,
			     struct err *e);
void policy_expectations_free(struct policy_expectations *x);
