/* SPDX-License-Identifier: BSD-3-Clause */
/* What the policy is and has done: show, hits, grants, audit. Asked of the datapath and of files,
 * so that all of it works while sluiced is dead. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/policy.h"
#include "datapath/base/clock.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/policy_load.h"
#include "tools/ctl/table.h"

/* ---- show ---- */

struct binding {
	char *name, *state, *detail;
};
struct bindings {
	VEC(struct binding) list;
	bool first_seen;
	uint64_t generation, confirm_ms;
};

/* The first object is about the policy, the others are its endpoints. */
static void take_binding(struct attrs o, void *aux)
{
	struct bindings *b = aux;
	if (!b->first_seen) {
		b->first_seen = true;
		b->generation = attrs_u64(o, ATTR_POLICY_GENERATION, 0);
		b->confirm_ms = attrs_u64(o, ATTR_CONFIRM_MS, 0);
		return;
	}
	vec_push(&b->list, (struct binding){xstrdup(attrs_str(o, ATTR_NAME, "")),
					    xstrdup(attrs_str(o, ATTR_STATE, "")),
					    xstrdup(attrs_str(o, ATTR_DETAIL, ""))});
}

static void free_bindings(struct bindings *b)
{
	VEC_FOR_EACH (it, &b->list) {
		free(it->name);
		free(it->state);
		free(it->detail);
	}
	vec_free(&b->list);
}

static const char *state_of(const struct bindings *b, const char *name)
{
	VEC_FOR_EACH (it, &b->list)
		if (!strcmp(it->name, name))
			return it->state;
	return "";
}

static void join_prefixes(const struct policy_endpoint *ep, struct str *out)
{
	VEC_FOR_EACH (a, &ep->prefixes) {
		str_puts(out, out->len ? " " : "");
		policy_format_prefix(a, out);
	}
}

static void join_macs(const struct policy_endpoint *ep, struct str *out)
{
	VEC_FOR_EACH (m, &ep->macs)
		str_printf(out, "%s%02x:%02x:%02x:%02x:%02x:%02x", out->len ? " " : "", m->byte[0],
			   m->byte[1], m->byte[2], m->byte[3], m->byte[4], m->byte[5]);
}

static void join_labels(const struct policy_endpoint *ep, struct str *out)
{
	VEC_FOR_EACH (l, &ep->labels)
		str_printf(out, "%s%s=%s", out->len ? " " : "", l->key, l->value);
}

static const char *isolation(const struct policy_endpoint *ep)
{
	static const char *const words[] = {"", "ingress", "egress", "both"};
	return words[ep->isolated & 3];
}

static const struct table_column endpoint_columns[] = {
	{"ENDPOINT", "endpoint", TABLE_TEXT},
	{"PORT", "port", TABLE_TEXT},
	{"STATE", "state", TABLE_TEXT},
	{"NETWORK", "network", TABLE_TEXT},
	{"ISOLATED", "isolated", TABLE_TEXT},
	{"ADDRESSES", "addresses", TABLE_TEXT},
	{"MACS", "macs", TABLE_TEXT},
	{"LABELS", "labels", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

static void show_endpoints(const struct command_call *c, const struct policy *p,
			   const struct bindings *b)
{
	struct table *t = table_create(c, "endpoints", endpoint_columns);
	VEC_FOR_EACH (ep, &p->endpoints) {
		struct str addresses = STR_INIT, macs = STR_INIT, labels = STR_INIT;
		join_prefixes(ep, &addresses);
		join_macs(ep, &macs);
		join_labels(ep, &labels);
		table_row(t);
		table_text(t, ep->name);
		table_text(t, ep->port);
		table_text(t, ep->port ? state_of(b, ep->name) : "host");
		table_text(t, ep->network >= 0 ? p->networks.at[ep->network].name : "");
		table_text(t, isolation(ep));
		table_text(t, str_cstr(&addresses));
		table_text(t, str_cstr(&macs));
		table_text(t, str_cstr(&labels));
		str_free(&addresses);
		str_free(&macs);
		str_free(&labels);
	}
	table_finish(t);
	if (b->confirm_ms && !c->json)
		printf("waiting for confirmation: back to the policy before in %u s (sluice policy "
		       "confirm keeps it)\n",
		       (unsigned)((b->confirm_ms + 999) / 1000));
}

static const struct table_column rule_columns[] = {
	{"TIER", "tier", TABLE_TEXT},   {"DIRECTION", "direction", TABLE_TEXT},
	{"RULE", "rule", TABLE_TEXT},   {"VERDICT", "verdict", TABLE_TEXT},
	{"PEERS", "peers", TABLE_TEXT}, {"SERVICES", "services", TABLE_TEXT},
	{"UNTIL", "until", TABLE_TEXT}, {NULL, NULL, TABLE_TEXT},
};

static void describe_peers(const struct policy *p, const struct policy_rule *r, struct str *out)
{
	const struct policy_peers *s = r->peers < 0 ? NULL : &p->peers.at[r->peers];
	if (!s || s->flags & POLICY_PEER_NOT_HOST)
		str_puts(out, "anybody ");
	if (s && s->flags & POLICY_PEER_HOST)
		str_puts(out, "host ");
	for (size_t i = 0; s && i < s->endpoints.len && i < 20; i++)
		str_printf(out, "%s ", p->endpoints.at[s->endpoints.at[i]].name);
	for (size_t i = 0; s && i < s->prefixes.len && i < 20; i++) {
		str_puts(out, s->prefixes.at[i].except ? "!" : "");
		policy_format_prefix(&s->prefixes.at[i], out);
		str_putc(out, ' ');
	}
	if (s && (s->endpoints.len > 20 || s->prefixes.len > 20))
		str_puts(out, "… ");
	str_chomp(out, ' ');
}

static void put_rule(struct table *t, const struct policy *p, const struct policy_rule *r)
{
	static const char *const tiers[] = {"admin", "policy", "baseline"};
	static const char *const verdicts[] = {"allow", "deny", "pass"};
	struct str peers = STR_INIT, services = STR_INIT, until = STR_INIT;
	describe_peers(p, r, &peers);
	VEC_FOR_EACH (s, &r->services) {
		str_puts(&services, services.len ? " " : "");
		policy_format_service(s, &services);
	}
	if (r->valid_until_ms)
		policy_format_time(r->valid_until_ms, &until);
	table_row(t);
	table_text(t, tiers[r->tier]);
	table_text(t, r->direction == POLICY_INGRESS ? "ingress" : "egress");
	table_text(t, r->name);
	table_text(t, verdicts[r->verdict]);
	table_text(t, str_cstr(&peers));
	table_text(t, services.len ? str_cstr(&services) : "all");
	table_text(t, str_cstr(&until));
	str_free(&peers);
	str_free(&services);
	str_free(&until);
}

static int show_rules(const struct command_call *c, const struct policy *p, const char *name)
{
	int at = policy_find_endpoint(p, name);
	struct table *t;
	if (at < 0)
		return command_fail("endpoint \"%s\" is not defined in the policy in force", name);
	t = table_create(c, "rules", rule_columns);
	VEC_FOR_EACH (r, &p->rules)
		VEC_FOR_EACH (e, &r->endpoints)
			if (*e == (uint32_t)at)
				put_rule(t, p, r);
	table_finish(t);
	return EXIT_OK;
}

int cmd_policy_show(struct command_call *c)
{
	struct bindings b = {0};
	struct policy *p;
	struct msg m;
	int rc = EXIT_OK;
	if (command_option(c, "document")) {
		char *text = policy_load_text(c);
		if (!text)
			return EXIT_FAILED;
		fputs(text, stdout);
		free(text);
		return EXIT_OK;
	}
	p = policy_load_active(c);
	if (!p)
		return EXIT_FAILED;
	if (c->argc) {
		rc = show_rules(c, p, c->argv[0]);
	} else {
		msg_init(&m, API_POLICY, 0);
		rc = command_dump(c, &m, take_binding, &b);
		if (!rc)
			show_endpoints(c, p, &b);
	}
	free_bindings(&b);
	policy_free(p);
	return rc;
}

/* ---- hits ---- */

static const struct table_column hit_columns[] = {
	{"RULE", "rule", TABLE_TEXT},
	{"VERDICT", "verdict", TABLE_TEXT},
	{"PACKETS", "packets", TABLE_NUMBER},
	{"BYTES", "bytes", TABLE_NUMBER},
	{"CONNECTIONS", "connections", TABLE_NUMBER},
	{"LAST HIT", "last_hit", TABLE_TEXT},
	{"UNTIL", "until", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

struct hits {
	struct table *t;
	bool all; /* JSON has rules without a hit too, and so have people, but not built-ins */
};

static void put_hits(struct attrs o, void *aux)
{
	static const char *const verdicts[] = {"allow", "deny", "pass"};
	struct hits *h = aux;
	const char *name = attrs_str(o, ATTR_NAME, "");
	struct str last = STR_INIT, until = STR_INIT;
	uint64_t ms, verdict = attrs_u64(o, ATTR_VERDICT, 0);
	bool built_in = !strncmp(name, "guard/", 6) || !strncmp(name, "limit/", 6) ||
			!strncmp(name, "default/", 8);
	if (!h->all && built_in && !attrs_u64(o, ATTR_PKTS, 0) && !attrs_u64(o, ATTR_CONNS, 0))
		return;
	if (attrs_get_u64(o, ATTR_LAST_HIT_MS, &ms) && ms)
		policy_format_time(ms, &last);
	if (attrs_get_u64(o, ATTR_VALID_UNTIL_MS, &ms) && ms)
		policy_format_time(ms, &until);
	table_row(h->t);
	table_text(h->t, name);
	table_text(h->t, verdict < 3 ? verdicts[verdict] : "");
	table_number(h->t, attrs_u64(o, ATTR_PKTS, 0));
	table_number(h->t, attrs_u64(o, ATTR_BYTES_COUNT, 0));
	table_number(h->t, attrs_u64(o, ATTR_CONNS, 0));
	table_text(h->t, str_cstr(&last));
	table_text(h->t, str_cstr(&until));
	str_free(&last);
	str_free(&until);
}

int cmd_policy_hits(struct command_call *c)
{
	struct hits h = {table_create(c, "hits", hit_columns), c->json};
	struct msg m;
	msg_init(&m, API_POLICY_HITS, 0);
	if (command_dump(c, &m, put_hits, &h)) {
		table_discard(h.t);
		return EXIT_FAILED;
	}
	table_finish(h.t);
	return EXIT_OK;
}

/* ---- grants ---- */

static const struct table_column grant_columns[] = {
	{"GRANT", "name", TABLE_TEXT},  {"FROM", "from", TABLE_TEXT},
	{"TO", "to", TABLE_TEXT},       {"SERVICES", "services", TABLE_TEXT},
	{"UNTIL", "until", TABLE_TEXT}, {"LEFT S", "left_s", TABLE_NUMBER},
	{"BY", "by", TABLE_TEXT},       {"REASON", "reason", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

static void put_grant(struct table *t, const struct policy_grant *g)
{
	struct str services = STR_INIT, until = STR_INIT;
	uint64_t now = clock_wall_ms();
	VEC_FOR_EACH (s, &g->services) {
		str_puts(&services, services.len ? " " : "");
		policy_format_service(s, &services);
	}
	policy_format_time(g->valid_until_ms, &until);
	table_row(t);
	table_text(t, g->name);
	table_text(t, g->from);
	table_text(t, g->to);
	table_text(t, services.len ? str_cstr(&services) : "all");
	table_text(t, str_cstr(&until));
	table_number(t, (g->valid_until_ms - now + 999) / 1000);
	table_text(t, g->by);
	table_text(t, g->reason);
	str_free(&services);
	str_free(&until);
}

int cmd_policy_grants(struct command_call *c)
{
	struct policy *p = policy_load_active(c);
	struct table *t;
	if (!p)
		return EXIT_FAILED;
	t = table_create(c, "grants", grant_columns);
	VEC_FOR_EACH (g, &p->grants)
		if (g->valid_until_ms > clock_wall_ms())
			put_grant(t, g);
	table_finish(t);
	policy_free(p);
	return EXIT_OK;
}

/* ---- audit ---- */

static const struct table_column audit_columns[] = {
	{"TIME", "time", TABLE_TEXT},     {"ACTION", "action", TABLE_TEXT},
	{"WHO", "who", TABLE_TEXT},       {"WHAT", "what", TABLE_TEXT},
	{"REASON", "reason", TABLE_TEXT}, {"RESULT", "result", TABLE_TEXT},
	{NULL, NULL, TABLE_TEXT},
};

static const char *field(json_t *o, const char *key)
{
	const char *v = json_string_value(json_object_get(o, key));
	return v ? v : "";
}

static void put_record(struct table *t, json_t *o)
{
	json_t *who = json_object_get(o, "who");
	struct str name = STR_INIT;
	str_puts(&name, field(who, "user"));
	if (field(who, "sudo_user")[0])
		str_printf(&name, " (%s)", field(who, "sudo_user"));
	table_row(t);
	table_text(t, field(o, "time"));
	table_text(t, field(o, "action"));
	table_text(t, str_cstr(&name));
	table_text(t, field(o, "what"));
	table_text(t, field(o, "reason"));
	table_text(t, field(o, "result"));
	str_free(&name);
}

int cmd_policy_audit(struct command_call *c)
{
	char *path = xasprintf("%s/audit.log", c->dbdir), *line = NULL;
	FILE *f = fopen(path, "re");
	struct table *t;
	size_t cap = 0;
	if (!f && errno != ENOENT) {
		int rc = command_fail("%s: %s", path, strerror(errno));
		free(path);
		return rc;
	}
	t = table_create(c, "audit", audit_columns);
	while (f && getline(&line, &cap, f) > 0) {
		json_t *o = json_loads(line, 0, NULL);
		if (o) /* a line cut off by a power failure is none */
			put_record(t, o);
		json_decref(o);
	}
	table_finish(t);
	if (f)
		fclose(f);
	free(line);
	free(path);
	return EXIT_OK;
}
