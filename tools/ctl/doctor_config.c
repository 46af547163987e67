/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the configuration: what sluiced cannot do with it, and what does not fit together. */
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/doctor.h"

/* The command that takes back what a note of sluiced complains about. Caller frees. */
static char *remedy_of(const char *table, const char *name, const char *text)
{
	const char *colon = strchr(text, ':'), *key = text + strlen("other_config:");
	bool is_key = !strncmp(text, "other_config:", 13);
	size_t n = is_key ? strcspn(key, ":") : (size_t)(colon ? colon - text : 0);
	const char *record = !strcmp(table, "Open_vSwitch") ? "." : name;
	if (strstr(text, "restart needed"))
		return xstrdup("sluice down; sluice up (guests reconnect by themselves)");
	if (!strncmp(text, "metrics: ", 9))
		return xstrdup("ovs-vsctl set Open_vSwitch . "
			       "other_config:sluice-metrics=unix:metrics.sock (or IP:PORT)");
	if (is_key)
		return xasprintf("ovs-vsctl remove %s %s other_config %.*s", table, record, (int)n,
				 key);
	if (!strcmp(table, "Interface"))
		return xasprintf("ovs-vsctl list Interface %s; its error column says the same",
				 name);
	if (!strcmp(table, "datapath"))
		return xstrdup("see the datapath's log; sluiced tries again by itself");
	if (n)
		return xasprintf("ovs-vsctl clear %s %s %.*s", table, record, (int)n, text);
	return xasprintf("ovs-vsctl list %s %s", table, record);
}

static enum doctor_severity severity_of(const char *table, const char *name, const char *text,
					const struct doctor *d)
{
	if (strstr(text, "unknown key") || strstr(text, "restart needed"))
		return DOCTOR_WARNING;
	if (strstr(text, "without effect"))
		return DOCTOR_NOTE;
	/* A port that is not there is worse than a setting that is not obeyed. */
	if (!strcmp(table, "Interface") && !facts_port(&d->now, name))
		return DOCTOR_ERROR;
	return !strcmp(table, "datapath") ? DOCTOR_ERROR : DOCTOR_WARNING;
}

void check_database(struct doctor *d)
{
	size_t i;
	json_t *n;
	json_array_foreach(json_object_get(d->now.sluiced, "notes"), i, n)
	{
		const char *table = "", *name = "", *text = "";
		char *object, *remedy;
		json_unpack(n, "{s:s, s:s, s:s}", "table", &table, "name", &name, "text", &text);
		object = xasprintf("%s%s%s", table, name[0] ? " " : "", name);
		remedy = remedy_of(table, name, text);
		doctor_find(d, severity_of(table, name, text, d), object, remedy, "%s", text);
		free(object);
		free(remedy);
	}
}

/* The MTU that most ports of the bridge have; 0: none known. */
static uint32_t common_mtu(const struct doctor *d, const char *bridge)
{
	uint32_t best = 0;
	unsigned most = 0;
	VEC_FOR_EACH (p, &d->now.ports) {
		unsigned same = 0;
		if (strcmp(p->bridge, bridge) || !p->mtu)
			continue;
		VEC_FOR_EACH (q, &d->now.ports)
			same += !strcmp(q->bridge, bridge) && q->mtu == p->mtu;
		if (same > most || (same == most && p->mtu > best)) {
			most = same;
			best = p->mtu;
		}
	}
	return best;
}

void check_mtu(struct doctor *d)
{
	VEC_FOR_EACH (b, &d->now.bridges) {
		uint32_t common = common_mtu(d, b->name);
		VEC_FOR_EACH (p, &d->now.ports) {
			char *remedy;
			if (strcmp(p->bridge, b->name) || !p->mtu || p->mtu == common ||
			    !strcmp(p->type, "patch"))
				continue;
			remedy = xasprintf("sluice port set %s mtu=%u", p->name, common);
			doctor_find(d, p->mtu < common ? DOCTOR_WARNING : DOCTOR_NOTE, p->name,
				    remedy, "its MTU is %u, that of bridge %s is %u: %s", p->mtu,
				    b->name, common,
				    p->mtu < common ? "longer packets to it are dropped"
						    : "longer packets from it are dropped");
			free(remedy);
		}
	}
}

void check_bridges(struct doctor *d)
{
	VEC_FOR_EACH (b, &d->now.bridges) {
		char *remedy = xasprintf("sluice bridge set %s mac-table-size=%u", b->name,
					 b->mac_table_size * 2);
		if (!b->open)
			doctor_find(d, DOCTOR_ERROR, b->name,
				    "sluice status says what sluiced waits for",
				    "the bridge's configuration is not complete, so it forwards "
				    "nothing");
		if (b->mac_table_size && b->n_macs * 10ull >= b->mac_table_size * 9ull)
			doctor_find(d, DOCTOR_WARNING, b->name, remedy,
				    "its MAC table is nearly full (%u of %u): new addresses are "
				    "flooded",
				    b->n_macs, b->mac_table_size);
		free(remedy);
	}
}
