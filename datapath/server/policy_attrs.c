/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/policy_attrs.h"

#include <errno.h>
#include <string.h>

/* An array of elements of `size` bytes. */
static const void *array(struct attrs a, enum api_attr id, size_t size, size_t *n, int *rc,
			 const char *name, struct err *e)
{
	size_t len = 0;
	const void *p = attrs_bytes(a, id, &len);

	*n = len / size;
	if (p && len % size && !*rc)
		*rc = err_set(e, EINVAL, "policy: %s: %s: %zu bytes are no whole number of entries",
			      name, api_attrs[id].name, len);
	return *n ? p : NULL;
}

#define LIMITS(X)                                                                                  \
	X(IN_KBPS, in_kbps, u64)                                                                   \
	X(OUT_KBPS, out_kbps, u64)                                                                 \
	X(IN_PPS, in_pps, u64)                                                                     \
	X(OUT_PPS, out_pps, u64)                                                                   \
	X(BURST_MS, burst_ms, u32)                                                                 \
	X(BROADCAST_PPS, broadcast_pps, u32)                                                       \
	X(MULTICAST_PPS, multicast_pps, u32)                                                       \
	X(UNKNOWN_PPS, unknown_pps, u32)                                                           \
	X(MACS, macs, u32)                                                                         \
	X(CONNS, conns, u32)                                                                       \
	X(CONNS_PER_S, conns_per_s, u32)

static void get_limits(struct attrs a, struct policy_limits *l)
{
#define X(id, member, kind) l->member = (__typeof__(l->member))attrs_u64(a, ATTR_LIMIT_##id, 0);
	LIMITS(X)
#undef X
}

void policy_attrs_put_limits(struct msg *m, const struct policy_limits *l)
{
#define X(id, member, kind)                                                                        \
	if (l->member)                                                                             \
		msg_put_##kind(m, ATTR_LIMIT_##id, l->member);
	LIMITS(X)
#undef X
}

static int add_network(struct policy_parts *p, struct attrs a, struct err *e)
{
	struct policy_network_spec n = {.id = (uint32_t)attrs_u64(a, ATTR_ID, 0),
					.name = attrs_str(a, ATTR_NAME, ""),
					.flags = (uint32_t)attrs_u64(a, ATTR_NETWORK_FLAGS, 0)};
	int rc = 0;

	n.ethertypes =
		array(a, ATTR_ETHERTYPES, sizeof *n.ethertypes, &n.n_ethertypes, &rc, n.name, e);
	n.prefixes = array(a, ATTR_PREFIXES, sizeof *n.prefixes, &n.n_prefixes, &rc, n.name, e);
	vec_push(&p->networks, n);
	return rc;
}

static int add_endpoint(struct policy_parts *p, struct attrs a, struct err *e)
{
	struct policy_endpoint_spec s = {.id = (uint32_t)attrs_u64(a, ATTR_ID, 0),
					 .name = attrs_str(a, ATTR_NAME, ""),
					 .port = attrs_str(a, ATTR_PORT, ""),
					 .has_network = attrs_has(a, ATTR_NETWORK_ID),
					 .network_id = (uint32_t)attrs_u64(a, ATTR_NETWORK_ID, 0),
					 .flags = (uint32_t)attrs_u64(a, ATTR_ENDPOINT_FLAGS, 0),
					 .isolated = (uint8_t)attrs_u64(a, ATTR_ISOLATED, 0)};
	int rc = 0;

	s.macs = array(a, ATTR_MACS, sizeof *s.macs, &s.n_macs, &rc, s.name, e);
	s.prefixes = array(a, ATTR_PREFIXES, sizeof *s.prefixes, &s.n_prefixes, &rc, s.name, e);
	get_limits(a, &s.limits);
	vec_push(&p->endpoints, s);
	return rc;
}

static int add_peers(struct policy_parts *p, struct attrs a, struct err *e)
{
	struct policy_peers_spec s = {.id = (uint32_t)attrs_u64(a, ATTR_ID, 0),
				      .flags = (uint32_t)attrs_u64(a, ATTR_PEER_FLAGS, 0)};
	int rc = 0;

	s.prefixes = array(a, ATTR_PREFIXES, sizeof *s.prefixes, &s.n_prefixes, &rc, "peers", e);
	s.endpoint_ids = array(a, ATTR_ENDPOINT_IDS, sizeof *s.endpoint_ids, &s.n_endpoint_ids, &rc,
			       "peers", e);
	vec_push(&p->peers, s);
	return rc;
}

static int add_rule(struct policy_parts *p, struct attrs a, struct err *e)
{
	struct policy_rule_spec s = {.name = attrs_str(a, ATTR_NAME, ""),
				     .direction = (uint8_t)attrs_u64(a, ATTR_DIRECTION, 0),
				     .tier = (uint8_t)attrs_u64(a, ATTR_TIER, POLICY_TIER_ALLOWS),
				     .verdict = (uint8_t)attrs_u64(a, ATTR_VERDICT, POLICY_ALLOW),
				     .log = (uint8_t)attrs_u64(a, ATTR_POLICY_LOG, 0),
				     .priority = (uint32_t)attrs_u64(a, ATTR_PRIORITY, 0),
				     .has_peers = attrs_has(a, ATTR_PEERS_ID),
				     .peers_id = (uint32_t)attrs_u64(a, ATTR_PEERS_ID, 0),
				     .valid_from_ms = attrs_u64(a, ATTR_VALID_FROM_MS, 0),
				     .valid_until_ms = attrs_u64(a, ATTR_VALID_UNTIL_MS, 0)};
	int rc = 0;

	s.endpoint_ids = array(a, ATTR_ENDPOINT_IDS, sizeof *s.endpoint_ids, &s.n_endpoint_ids, &rc,
			       s.name, e);
	s.services = array(a, ATTR_SERVICES, sizeof *s.services, &s.n_services, &rc, s.name, e);
	get_limits(a, &s.limits);
	vec_push(&p->rules, s);
	return rc;
}

static int add_hash(struct policy_parts *p, const struct attr *a, struct err *e)
{
	if (a->len != POLICY_HASH_BYTES)
		return err_set(e, EINVAL, "policy: policy_hash: %u bytes instead of %d", a->len,
			       POLICY_HASH_BYTES);
	p->spec.hash = a->value;
	return 0;
}

int policy_parts_add(struct policy_parts *p, struct attrs all, struct err *e)
{
	ATTR_FOR_EACH (a, all) {
		int rc = 0;

		switch (a->id & ~(unsigned)ATTR_CRITICAL) {
		case ATTR_POLICY_NETWORK:
			rc = add_network(p, attr_nest(a), e);
			break;
		case ATTR_POLICY_ENDPOINT:
			rc = add_endpoint(p, attr_nest(a), e);
			break;
		case ATTR_POLICY_PEERS:
			rc = add_peers(p, attr_nest(a), e);
			break;
		case ATTR_POLICY_RULE:
			rc = add_rule(p, attr_nest(a), e);
			break;
		case ATTR_POLICY_HASH:
			rc = add_hash(p, a, e);
			break;
		case ATTR_POLICY_DOCUMENT:
			p->spec.document = a->value;
			p->spec.document_len = a->len;
			break;
		case ATTR_CONFIRM_MS:
			p->spec.confirm_ms = attr_u64(a);
			break;
		case ATTR_KEEP_ESTABLISHED:
			p->spec.keep_established = attr_u64(a);
			break;
		}
		if (rc)
			return rc;
	}
	return 0;
}

const struct policy_spec *policy_parts_spec(struct policy_parts *p)
{
	struct policy_spec *s = &p->spec;

	s->networks = p->networks.at;
	s->n_networks = p->networks.len;
	s->endpoints = p->endpoints.at;
	s->n_endpoints = p->endpoints.len;
	s->peers = p->peers.at;
	s->n_peers = p->peers.len;
	s->rules = p->rules.at;
	s->n_rules = p->rules.len;
	return s;
}

void policy_parts_free(struct policy_parts *p)
{
	if (!p)
		return;
	vec_free(&p->networks);
	vec_free(&p->endpoints);
	vec_free(&p->peers);
	vec_free(&p->rules);
	free(p);
}
