/* SPDX-License-Identifier: BSD-3-Clause */
/* The compiled policy as the operation POLICY_SET, and its digest: SHA-256 over that operation
 * without hash and confirmation. Pure. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"

static void put_bytes(struct msg *m, enum api_attr id, const void *p, size_t n)
{
	if (n)
		msg_put_bytes(m, id, p, n);
}

static int ascending(const void *a, const void *b)
{
	uint32_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

/* Indexes → ids, ascending. An empty list is sent too: it says nobody. */
static void put_endpoint_ids(struct msg *m, const struct policy *p, const uint32_t *at, size_t n)
{
	uint32_t *ids = xcalloc(n + 1, sizeof *ids);
	for (size_t i = 0; i < n; i++)
		ids[i] = p->endpoints.at[at[i]].id;
	qsort(ids, n, sizeof *ids, ascending);
	msg_put_bytes(m, ATTR_ENDPOINT_IDS, ids, n * sizeof *ids);
	free(ids);
}

static void put_limits(struct msg *m, const struct policy_limits *l)
{
#define LIMIT(member, attr, ...)                                                                   \
	if (l->member && api_attrs[ATTR_##attr].kind == ATTR_KIND_U64)                             \
		msg_put_u64(m, ATTR_##attr, l->member);                                            \
	else if (l->member)                                                                        \
		msg_put_u32(m, ATTR_##attr, (uint32_t)l->member);
#include "control/policy/policy_limits.def"
#undef LIMIT
}

static void put_network(struct msg *m, const struct policy_network *n)
{
	size_t at = msg_nest_begin(m, ATTR_POLICY_NETWORK);
	msg_put_u32(m, ATTR_ID, n->id);
	msg_put_str(m, ATTR_NAME, n->name);
	msg_put_u32(m, ATTR_NETWORK_FLAGS, n->flags);
	put_bytes(m, ATTR_ETHERTYPES, n->ethertypes.at, n->ethertypes.len * sizeof(uint16_t));
	put_bytes(m, ATTR_PREFIXES, n->prefixes.at, n->prefixes.len * sizeof *n->prefixes.at);
	msg_nest_end(m, at);
}

static void put_endpoint(struct msg *m, const struct policy *p, const struct policy_endpoint *ep)
{
	size_t at = msg_nest_begin(m, ATTR_POLICY_ENDPOINT);
	msg_put_u32(m, ATTR_ID, ep->id);
	msg_put_str(m, ATTR_NAME, ep->name);
	if (ep->port)
		msg_put_str(m, ATTR_PORT, ep->port);
	if (ep->network >= 0)
		msg_put_u32(m, ATTR_NETWORK_ID, p->networks.at[ep->network].id);
	put_bytes(m, ATTR_MACS, ep->macs.at, ep->macs.len * sizeof *ep->macs.at);
	put_bytes(m, ATTR_PREFIXES, ep->prefixes.at, ep->prefixes.len * sizeof *ep->prefixes.at);
	msg_put_u32(m, ATTR_ENDPOINT_FLAGS, ep->flags);
	msg_put_u8(m, ATTR_ISOLATED, ep->isolated);
	put_limits(m, &ep->limits);
	msg_nest_end(m, at);
}

static void put_peers(struct msg *m, const struct policy *p, const struct policy_peers *s)
{
	size_t at = msg_nest_begin(m, ATTR_POLICY_PEERS);
	msg_put_u32(m, ATTR_ID, s->id);
	put_bytes(m, ATTR_PREFIXES, s->prefixes.at, s->prefixes.len * sizeof *s->prefixes.at);
	put_endpoint_ids(m, p, s->endpoints.at, s->endpoints.len);
	msg_put_u32(m, ATTR_PEER_FLAGS, s->flags);
	msg_nest_end(m, at);
}

static void put_rule(struct msg *m, const struct policy *p, const struct policy_rule *r)
{
	size_t at = msg_nest_begin(m, ATTR_POLICY_RULE);
	msg_put_u32(m, ATTR_ID, r->id);
	msg_put_str(m, ATTR_NAME, r->name);
	msg_put_u8(m, ATTR_DIRECTION, r->direction);
	msg_put_u8(m, ATTR_TIER, r->tier);
	if (r->tier == POLICY_ADMIN)
		msg_put_u16(m, ATTR_PRIORITY, (uint16_t)r->priority);
	msg_put_u8(m, ATTR_VERDICT, r->verdict);
	put_endpoint_ids(m, p, r->endpoints.at, r->endpoints.len);
	if (r->peers >= 0)
		msg_put_u32(m, ATTR_PEERS_ID, p->peers.at[r->peers].id);
	put_bytes(m, ATTR_SERVICES, r->services.at, r->services.len * sizeof *r->services.at);
	if (r->log)
		msg_put_u8(m, ATTR_POLICY_LOG, 1);
	if (r->valid_from_ms)
		msg_put_u64(m, ATTR_VALID_FROM_MS, r->valid_from_ms);
	if (r->valid_until_ms)
		msg_put_u64(m, ATTR_VALID_UNTIL_MS, r->valid_until_ms);
	put_limits(m, &r->limits);
	msg_nest_end(m, at);
}

static void put_policy(struct msg *m, const struct policy *p, const char *document, size_t len)
{
	VEC_FOR_EACH (n, &p->networks)
		put_network(m, n);
	VEC_FOR_EACH (ep, &p->endpoints)
		put_endpoint(m, p, ep);
	VEC_FOR_EACH (s, &p->peers)
		put_peers(m, p, s);
	VEC_FOR_EACH (r, &p->rules)
		put_rule(m, p, r);
	if (p->keep_established)
		msg_put_u8(m, ATTR_KEEP_ESTABLISHED, 1);
	msg_put_bytes(m, ATTR_POLICY_DOCUMENT, document, len);
}

void policy_digest(const struct policy *p, const char *document, size_t len,
		   uint8_t out[POLICY_HASH_BYTES])
{
	struct msg m;
	unsigned n = POLICY_HASH_BYTES;
	msg_init(&m, API_TRANSACTION, 0);
	put_policy(&m, p, document, len);
	EVP_Digest(m.data, m.len, out, &n, EVP_sha256(), NULL);
	msg_free(&m);
}

void policy_encode(const struct policy *p, const char *document, size_t len, uint64_t confirm_ms,
		   struct msg *m)
{
	uint8_t hash[POLICY_HASH_BYTES];
	size_t at;
	policy_digest(p, document, len, hash);
	at = msg_op_begin(m, API_OP_POLICY_SET);
	msg_put_bytes(m, ATTR_POLICY_HASH, hash, sizeof hash);
	if (confirm_ms)
		msg_put_u64(m, ATTR_CONFIRM_MS, confirm_ms);
	put_policy(m, p, document, len);
	msg_nest_end(m, at);
}
