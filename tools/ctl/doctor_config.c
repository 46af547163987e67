/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the configuration: what sluiced cannot do with it, and what does not fit together. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "tools/ctl/doctor.h"

enum { DISK_MIN_BYTES = 1 << 20 };

struct note { /* of sluiced/status */
	const char *table, *name, *text;
	const char *kind, *column, *key; /* "" when it is not about a column */
};

/* A port's text names the option that it could not use, when it was one. */
static char *interface_remedy(const struct note *n)
{
	const char *option = strstr(n->text, "options:");
	if (option) {
		option += strlen("options:");
		int len = (int)strcspn(option, ": =,");
		return xasprintf("ovs-vsctl set Interface %s options:%.*s=…%s, or ovs-vsctl "
				 "del-port %s",
				 n->name, len, option,
				 !strncmp(option, "dpdk-devargs", (size_t)len)
					 ? " (dpdk-devbind.py --status lists devices)"
					 : "",
				 n->name);
	}
	return xasprintf("correct what it names (it is tried again by itself), or ovs-vsctl "
			 "del-port %s",
			 n->name);
}

/* The command that takes back what a note complains about. Caller frees. */
static char *remedy_of(const struct note *n)
{
	const char *record = strcmp(n->table, "Open_vSwitch") ? n->name : ".";
	if (strstr(n->text, "restart needed"))
		return xstrdup("sluice down; sluice up (guests reconnect by themselves)");
	if (!strncmp(n->text, "metrics: ", 9))
		return xstrdup("ovs-vsctl set Open_vSwitch . "
			       "other_config:sluice-metrics=unix:metrics.sock (or IP:PORT)");
	if (n->column[0] && n->key[0])
		return xasprintf("ovs-vsctl remove %s %s %s %s", n->table, record, n->column,
				 n->key);
	if (n->column[0] && strcmp(n->kind, "unsupported"))
		return xasprintf("ovs-vsctl clear %s %s %s", n->table, record, n->column);
	if (!strcmp(n->table, "Interface"))
		return interface_remedy(n);
	if (!strcmp(n->table, "datapath"))
		return xstrdup("see the datapath's log; sluiced tries again by itself");
	return xasprintf("ovs-vsctl list %s %s", n->table, record);
}

static enum doctor_severity severity_of(const struct note *n, const struct doctor *d)
{
	if (!strcmp(n->kind, "inert"))
		return DOCTOR_NOTE;
	if (!strcmp(n->kind, "unknown_key") || !strcmp(n->kind, "bad_value") ||
	    strstr(n->text, "restart needed"))
		return DOCTOR_WARNING;
	/* A port that is not there is worse than a setting that is not obeyed. */
	if (!strcmp(n->table, "Interface") && !facts_port(&d->now, n->name))
		return DOCTOR_ERROR;
	return !strcmp(n->table, "datapath") ? DOCTOR_ERROR : DOCTOR_WARNING;
}

static const char *member(json_t *o, const char *key)
{
	const char *v = json_string_value(json_object_get(o, key));
	return v ? v : "";
}

void check_database(struct doctor *d)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(d->now.sluiced, "notes"), i, o)
	{
		const struct note n = {member(o, "table"), member(o, "name"),   member(o, "text"),
				       member(o, "kind"),  member(o, "column"), member(o, "key")};
		char *object = xasprintf("%s%s%s", n.table, n.name[0] ? " " : "", n.name);
		char *remedy = remedy_of(&n);
		doctor_find(d, severity_of(&n, d), object, remedy, "%s", n.text);
		free(object);
		free(remedy);
	}
}

/* A daemon that cannot write goes on; every change is refused with the reason until it can. */
void check_disk(struct doctor *d)
{
	const char *dir = d->c->dbdir;
	struct statvfs s;
	if (statvfs(dir, &s))
		return; /* never started here, or not ours to see */
	uint64_t bytes = (uint64_t)s.f_bfree * s.f_frsize;
	char *remedy = s.f_flag & ST_RDONLY
			       ? xasprintf("mount -o remount,rw the file system of %s", dir)
			       : xasprintf("df %s; make room there", dir);
	if (s.f_flag & ST_RDONLY)
		doctor_find(d, DOCTOR_ERROR, dir, remedy,
			    "the databases are on a file system without writes: changes are "
			    "refused");
	else if (bytes < DISK_MIN_BYTES || (s.f_files && !s.f_ffree))
		doctor_find(d, bytes ? DOCTOR_WARNING : DOCTOR_ERROR, dir, remedy,
			    "%llu kB are left for the databases: %s",
			    (unsigned long long)bytes / 1024,
			    bytes ? "changes will be refused soon" : "changes are refused");
	free(remedy);
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
