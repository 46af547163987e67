/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest addition to a policy that turns an answer over: an allow where a default denies, an
 * administrator's rule where a rule decides. What it writes is read back by the unit test. Pure. */
#include <string.h>

#include "control/policy/check.h"

/* How a rule names this end; false: it has neither name nor address. */
static bool put_peer(const struct policy *p, const struct policy_end *end, struct str *out)
{
	if (end->kind == POLICY_END_OUTSIDE && !end->family)
		return false;
	policy_end_format(p, end, out);
	return true;
}

/* Pieces of names that can be in a name. */
static void put_word(const struct policy *p, const struct policy_end *end, struct str *out)
{
	struct str word = STR_INIT;
	policy_end_format(p, end, &word);
	for (size_t i = 0; i < word.len; i++)
		str_putc(out, word.s[i] == ':' || word.s[i] == '/' ? '-' : word.s[i]);
	str_free(&word);
}

static void put_service(const struct policy_question *q, struct str *out)
{
	struct policy_service s = {.proto = q->proto, .first = q->port, .last = q->port};
	if (q->proto != POLICY_PROTO_TCP && q->proto != POLICY_PROTO_UDP &&
	    q->proto != POLICY_PROTO_SCTP && q->proto != POLICY_PROTO_ICMP &&
	    q->proto != POLICY_PROTO_ICMPV6)
		s.last = UINT16_MAX;
	policy_format_service(&s, out);
}

/* The priority before every administrator's rule that this edge may meet; -1: there is none. */
static int priority_before(const struct policy *p, const struct policy_edge *edge)
{
	int first = 501;
	VEC_FOR_EACH (r, &p->rules)
		if (r->tier == POLICY_ADMIN && r->direction == edge->direction &&
		    (int)r->priority < first)
			first = (int)r->priority;
	return first - 1;
}

struct addition {
	const struct policy *p;
	const struct policy_question *q;
	const struct policy_edge *edge;
	const struct policy_end *peer;
	const char *action; /* NULL: an allow of a policy */
	int priority;
};

static bool put_policy(const struct addition *a, struct str *out)
{
	const char *dir = a->edge->direction == POLICY_INGRESS ? "ingress" : "egress";
	const char *peers = a->edge->direction == POLICY_INGRESS ? "from" : "to";
	struct str peer = STR_INIT;
	if (!put_peer(a->p, a->peer, &peer)) {
		str_free(&peer);
		return false;
	}
	str_printf(out, "  %s-", a->action && a->action[0] == 'D' ? "deny" : "allow");
	put_word(a->p, &a->q->from, out);
	str_puts(out, "-to-");
	put_word(a->p, &a->q->to, out);
	str_printf(out, "-%s:\n    endpoints: [%s]\n", dir,
		   a->p->endpoints.at[a->edge->endpoint].name);
	if (a->action)
		str_printf(out, "    priority: %d\n    %s:\n      - action: %s\n        ",
			   a->priority, dir, a->action);
	else
		str_printf(out, "    policyTypes: []\n    %s:\n      - ", dir);
	str_printf(out, "%s: [\"%s\"]\n        ports: [", peers, str_cstr(&peer));
	put_service(a->q, out);
	str_puts(out, "]\n");
	str_free(&peer);
	return true;
}

/* Who the edge sees is not always who was meant: an endpoint without addresses is nobody there. */
static struct policy_end seen(const struct policy_edge *edge, const struct policy_end *other)
{
	struct policy_end end = *other;
	if (edge->peer == POLICY_END_OUTSIDE)
		end.kind = POLICY_END_OUTSIDE;
	return end;
}

static bool open_edge(const struct policy *p, const struct policy_question *q,
		      const struct policy_edge *edge, const struct policy_end *other,
		      struct str *allows, struct str *admin, struct str *why)
{
	struct policy_end peer = seen(edge, other);
	struct addition a = {p, q, edge, &peer, NULL, 0};
	const struct policy_rule *r = edge->rule >= 0 ? &p->rules.at[edge->rule] : NULL;
	if (!strncmp(edge->name, "guard/", 6)) {
		str_printf(why, "%s is no matter of rules", edge->name);
		return false;
	}
	if (r && r->tier == POLICY_ADMIN) {
		a.action = "Allow";
		a.priority = priority_before(p, edge);
		if (a.priority < 0) {
			str_printf(why, "%s has priority 0: it would have to change itself",
				   r->name);
			return false;
		}
	}
	if (put_policy(&a, a.action ? admin : allows))
		return true;
	str_printf(why, "%s must declare its addresses to be named",
		   other->kind == POLICY_END_ENDPOINT ? p->endpoints.at[other->endpoint].name
						      : "the other end");
	return false;
}

static bool close_edge(const struct policy *p, const struct policy_question *q,
		       const struct policy_edge *edge, const struct policy_end *other,
		       struct str *admin, struct str *why)
{
	struct policy_end peer = seen(edge, other);
	struct addition a = {p, q, edge, &peer, "Deny", priority_before(p, edge)};
	if (a.priority < 0)
		str_puts(why, "an administrator's rule of priority 0 comes first");
	else if (put_policy(&a, admin))
		return true;
	else
		str_puts(why, "the other end has no address to be named by");
	return false;
}

bool policy_suggest(const struct policy *p, const struct policy_question *q, struct str *out)
{
	struct policy_answer a;
	struct str allows = STR_INIT, admin = STR_INIT, why = STR_INIT;
	bool good = true;
	policy_answer(p, q, &a);
	if (!a.edge) {
		str_puts(&why, "neither end is policed");
		good = false;
	} else if (a.allow) {
		const struct policy_edge *edge = a.ingress.asked ? &a.ingress : &a.egress;
		good = close_edge(p, q, edge, edge == &a.ingress ? &q->from : &q->to, &admin, &why);
	} else {
		if (a.egress.asked && !a.egress.allow)
			good = open_edge(p, q, &a.egress, &q->to, &allows, &admin, &why);
		if (good && a.ingress.asked && !a.ingress.allow)
			good = open_edge(p, q, &a.ingress, &q->from, &allows, &admin, &why);
	}
	if (!good)
		str_puts(out, str_cstr(&why));
	if (good && admin.len)
		str_printf(out, "adminPolicies:\n%s", str_cstr(&admin));
	if (good && allows.len)
		str_printf(out, "policies:\n%s", str_cstr(&allows));
	str_free(&allows);
	str_free(&admin);
	str_free(&why);
	return good;
}
