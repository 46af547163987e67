/* SPDX-License-Identifier: BSD-3-Clause */
/* fdb/…: MAC tables, in the text form that operators' scripts parse. Static entries are
 * configuration: they go through the database, so that they last and every tool sees them. */
#include <stdlib.h>
#include <string.h>

#include "control/daemon/ask.h"
#include "control/daemon/sluiced.h"
#include "control/state/knobs.h"
#include "control/state/ofport.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/unixctl.h"

static bool check_bridge(struct sluiced *d, struct unixctl_call *call, const char *name)
{
	if (config_find_bridge(engine_desired(d->engine), name))
		return true;
	unixctl_error(call, "no such bridge");
	return false;
}

static void put_entry(struct ask *a, struct attrs o)
{
	const struct config_port *p =
		config_find_port(engine_desired(a->d->engine), attrs_str(o, ATTR_PORT, ""));
	size_t len;
	const uint8_t *m = attrs_bytes(o, ATTR_MAC, &len);
	if (!m || len != 6)
		return;
	if (p && p->ofport == CONFIG_OFPORT_LOCAL)
		str_puts(&a->text, "LOCAL");
	else
		str_printf(&a->text, "%5u", p ? p->ofport : 0);
	str_printf(&a->text, "  %4u  %02x:%02x:%02x:%02x:%02x:%02x",
		   (unsigned)attrs_u64(o, ATTR_VLAN, 0), m[0], m[1], m[2], m[3], m[4], m[5]);
	if (attrs_u64(o, ATTR_STATIC, 0))
		str_puts(&a->text, "  static\n");
	else
		str_printf(&a->text, "  %3u\n", (unsigned)attrs_u64(o, ATTR_AGE_S, 0));
}

static struct ask *ask_macs(struct sluiced *d, struct unixctl_call *call, const char *bridge,
			    ask_object_fn fn)
{
	struct ask *a = check_bridge(d, call, bridge) ? ask_begin(d, call) : NULL;
	struct msg m;
	if (!a)
		return NULL;
	a->bridge = xstrdup(bridge);
	msg_init(&m, API_MACS, 0);
	msg_put_str(&m, ATTR_BRIDGE, bridge);
	ask_send(a, &m, fn);
	return a;
}

static void show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a = ask_macs(aux, call, argv[1], put_entry);
	if (!a)
		return;
	str_puts(&a->text, " port  VLAN  MAC                Age\n");
	ask_end(a);
}

/* ---- statistics ---- */

enum { ENTRIES, STATICS };

static void count_entry(struct ask *a, struct attrs o)
{
	a->numbers[ENTRIES]++;
	a->numbers[STATICS] += attrs_u64(o, ATTR_STATIC, 0) != 0;
}

static void print_counts(struct ask *a)
{
	const struct config_bridge *b = config_find_bridge(engine_desired(a->d->engine), a->bridge);
	str_printf(&a->text,
		   "Statistics for bridge \"%s\":\n"
		   "  Current/maximum MAC entries in the table: %llu/%u\n"
		   "  Current static MAC entries in the table : %llu\n",
		   a->bridge, (unsigned long long)a->numbers[ENTRIES], b ? b->mac_table_size : 0,
		   (unsigned long long)a->numbers[STATICS]);
}

static void stats_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a = ask_macs(aux, call, argv[1], count_entry);
	if (!a)
		return;
	a->finish = print_counts;
	ask_end(a);
}

/* ---- changes ---- */

static void put_flush(struct msg *m, const char *bridge)
{
	size_t at = msg_op_begin(m, API_OP_MAC_DEL);
	msg_put_str(m, ATTR_BRIDGE, bridge);
	msg_nest_end(m, at);
}

static void flush(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	struct ask *a;
	struct msg m;
	if (argc > 1 && !check_bridge(d, call, argv[1]))
		return;
	a = ask_begin(d, call);
	if (!a)
		return;
	msg_init(&m, API_TRANSACTION, 0);
	if (argc > 1)
		put_flush(&m, argv[1]);
	else
		VEC_FOR_EACH (b, &engine_desired(d->engine)->bridges)
			put_flush(&m, (*b)->name);
	str_puts(&a->text, "table successfully flushed\n");
	ask_send(a, &m, NULL);
	ask_end(a);
}

static void add(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	const struct config_port *p;
	if (!check_bridge(d, call, argv[1]))
		return;
	p = config_find_port(engine_desired(d->engine), argv[2]);
	if (!p || strcmp(p->bridge, argv[1])) {
		unixctl_error(call, "no such port");
		return;
	}
	commands_net_set_mac(d, call, argv[2], argv[3], argv[4], true);
}

static void del(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	uint64_t vlan;
	uint8_t mac[6];
	if (!check_bridge(d, call, argv[1]))
		return;
	if (parse_u64(argv[2], 10, 4095, &vlan) && knob_parse_mac(argv[3], mac))
		VEC_FOR_EACH (m, &engine_desired(d->engine)->macs)
			if (!strcmp(m->bridge, argv[1]) && m->vlan == vlan &&
			    !memcmp(m->mac, mac, 6)) {
				commands_net_set_mac(d, call, m->port, argv[2], argv[3], false);
				return;
			}
	unixctl_error(call, "could not find static mac entry");
}

void commands_fdb_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "fdb/show", "bridge", 1, 1, show, d);
	unixctl_register(ctl, "fdb/stats-show", "bridge", 1, 1, stats_show, d);
	unixctl_register(ctl, "fdb/flush", "[bridge]", 0, 1, flush, d);
	unixctl_register(ctl, "fdb/add", "bridge port vlan mac", 4, 4, add, d);
	unixctl_register(ctl, "fdb/del", "bridge vlan mac", 3, 3, del, d);
}
