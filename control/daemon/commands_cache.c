/* SPDX-License-Identifier: BSD-3-Clause */
/* dpctl/… and dpif/… about cached flows, and revalidator/…, in the form of ovs-appctl. There is no
 * revalidator: entries are checked when they are used; "purge" makes all of them be resolved again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/ask.h"
#include "control/daemon/sluiced.h"
#include "datapath/api/match_attr.h"
#include "datapath/flow/key_text.h"
#include "datapath/flow/match_text.h"
#include "ovsdb-lite/unixctl.h"

#define DATAPATH "netdev@ovs-netdev"

/* ---- dump-flows ---- */

enum { HEADERS, NAMES, CORE, ONLY_CORE, HAS_ONLY_CORE }; /* ask.numbers */

/* Of the entry that is printed, for port_name(). */
static const char *port_name(void *aux, uint32_t port_id)
{
	const char *const *name = aux;
	(void)port_id;
	return **name ? *name : NULL;
}

/* The first six bits, as tcpdump writes them. */
static void put_tcp_flags(struct str *out, unsigned flags)
{
	static const char letters[] = "FSRP.UEC";
	if (!flags)
		return;
	str_puts(out, ", flags:");
	for (unsigned i = 0; letters[i]; i++)
		if (flags & 1u << i)
			str_putc(out, letters[i]);
}

static bool bits_agree(const struct match *filter, const struct match *m)
{
	const uint8_t *fv = (const uint8_t *)&filter->value, *fm = (const uint8_t *)&filter->mask,
		      *v = (const uint8_t *)&m->value, *mask = (const uint8_t *)&m->mask;
	for (size_t i = 0; i < sizeof m->value.key; i++)
		if ((fv[i] ^ v[i]) & fm[i] & mask[i])
			return false;
	return true;
}

static bool is_wanted(struct ask *a, struct attrs o, const struct match *m)
{
	if (a->numbers[HAS_ONLY_CORE] && attrs_u64(o, ATTR_CORE, 0) != a->numbers[ONLY_CORE])
		return false;
	return !a->aux || bits_agree(a->aux, m);
}

static void put_flow(struct ask *a, struct attrs o)
{
	const char *name = attrs_str(o, ATTR_PORT, "");
	uint64_t packets = attrs_u64(o, ATTR_PKTS, 0);
	struct match m;
	if (!api_get_match(o, ATTR_KEY_LINES, &m) || !is_wanted(a, o, &m))
		return;
	if (a->numbers[HEADERS] && a->numbers[CORE] != attrs_u64(o, ATTR_CORE, 0) + 1) {
		a->numbers[CORE] = attrs_u64(o, ATTR_CORE, 0) + 1;
		str_printf(&a->text, "flow-dump from pmd on cpu core: %u\n",
			   (unsigned)a->numbers[CORE] - 1);
	}
	key_format(&m, a->numbers[NAMES] ? port_name : NULL, &name, &a->text);
	str_printf(&a->text, ", packets:%llu, bytes:%llu, used:", (unsigned long long)packets,
		   (unsigned long long)attrs_u64(o, ATTR_BYTES_COUNT, 0));
	if (packets)
		str_printf(&a->text, "%.3fs", (double)attrs_u64(o, ATTR_IDLE_AGE_MS, 0) / 1000);
	else
		str_puts(&a->text, "never");
	put_tcp_flags(&a->text, (unsigned)attrs_u64(o, ATTR_TCP_FLAGS, 0));
	str_printf(&a->text, ", actions:%s\n", attrs_str(o, ATTR_PROGRAM_TEXT, ""));
}

static void free_filter(struct ask *a)
{
	free(a->aux);
	a->aux = NULL;
}

/* One option or filter. False: `e` says why not. */
static bool take_word(struct ask *a, const char *w, struct err *e)
{
	if (!strcmp(w, "-m") || !strcmp(w, "--more") || !strcmp(w, "--names")) {
		a->numbers[NAMES] = true;
	} else if (!strcmp(w, "--no-names")) {
		a->numbers[NAMES] = false;
	} else if (!strncmp(w, "pmd=", 4)) {
		a->numbers[HAS_ONLY_CORE] = true;
		a->numbers[ONLY_CORE] = strtoull(w + 4, NULL, 10);
	} else if (!strncmp(w, "filter=", 7)) {
		struct match *m = aligned_alloc(64, sizeof *m);
		free_filter(a);
		a->aux = m;
		a->discard = free_filter;
		if (!m || match_parse(w + 7, NULL, NULL, NULL, m, e)) {
			err_prefix(e, "filter");
			return false;
		}
		/* in_port of a filter is the datapath's number */
		m->value.key.in_port = be32_to_cpu(m->value.regs.in_port);
		m->mask.key.in_port = m->mask.regs.in_port ? UINT32_MAX : 0;
	} else if (!strncmp(w, "type=", 5)) {
		if (strcmp(w + 5, "ovs") && strcmp(w + 5, "all") && strcmp(w + 5, "non-offloaded"))
			a->numbers[HAS_ONLY_CORE] = true, a->numbers[ONLY_CORE] = UINT64_MAX;
	} else {
		err_set(e, EINVAL, "unexpected argument \"%s\"", w);
		return false;
	}
	return true;
}

static void dump_flows(struct sluiced *d, struct unixctl_call *call, const char *const *words,
		       int n, const char *bridge)
{
	struct ask *a = ask_begin(d, call);
	struct err e = {0};
	struct msg m;
	if (!a)
		return;
	a->numbers[HEADERS] = !bridge;
	for (int i = 0; i < n; i++)
		if (!take_word(a, words[i], &e)) {
			ask_fail(a, e.text);
			return;
		}
	msg_init(&m, API_MEGAFLOWS, 0);
	if (bridge)
		msg_put_str(&m, ATTR_BRIDGE, bridge);
	ask_send(a, &m, put_flow);
	ask_end(a);
}

/* A word that names the datapath may stand among the options. */
static bool names_datapath(const char *w)
{
	return !strcmp(w, DATAPATH) || !strcmp(w, "ovs-netdev") || !strcmp(w, "ovs-system") ||
	       !strcmp(w, "system@ovs-system") || !strcmp(w, "ovs-dummy") ||
	       !strcmp(w, "dummy@ovs-dummy");
}

static void dpctl_dump_flows(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	const char *words[8];
	int n = 0;
	for (int i = 1; i < argc && n < 8; i++)
		if (!names_datapath(argv[i]))
			words[n++] = argv[i];
	dump_flows(aux, call, words, n, NULL);
}

static void dpif_dump_flows(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	if (!config_find_bridge(engine_desired(d->engine), argv[argc - 1]))
		unixctl_error(call, "no such bridge");
	else
		dump_flows(d, call, argv + 1, argc - 2, argv[argc - 1]);
}

/* ---- show ---- */

enum { HITS, MISSES, LOST, FLOWS };

static void add_stats(struct ask *a, struct attrs o)
{
	a->numbers[HITS] += attrs_u64(o, ATTR_CACHE_HITS, 0) + attrs_u64(o, ATTR_MEGAFLOW_HITS, 0);
	a->numbers[MISSES] += attrs_u64(o, ATTR_MISSES, 0);
}

static void add_flows(struct ask *a, struct attrs o)
{
	a->numbers[FLOWS] += attrs_u64(o, ATTR_MEGAFLOWS, 0);
}

static void print_datapath(struct ask *a)
{
	const struct engine *e = a->d->engine;
	str_printf(&a->text, DATAPATH ":\n  lookups: hit:%llu missed:%llu lost:0\n  flows: %llu\n",
		   (unsigned long long)a->numbers[HITS], (unsigned long long)a->numbers[MISSES],
		   (unsigned long long)a->numbers[FLOWS]);
	VEC_FOR_EACH (p, &engine_desired(e)->ports) {
		const struct port_state *st = engine_port(e, (*p)->name);
		if (st && st->status.known)
			str_printf(&a->text, "  port %u: %s (%s)\n", st->status.id, (*p)->name,
				   (*p)->type);
	}
}

static void print_upcalls(struct ask *a)
{
	str_printf(&a->text, DATAPATH ":\n  flows         : (current %llu)\n",
		   (unsigned long long)a->numbers[FLOWS]);
}

static void ask_stats(struct sluiced *d, struct unixctl_call *call, void (*print)(struct ask *a))
{
	struct ask *a = ask_begin(d, call);
	struct msg m;
	if (!a)
		return;
	a->finish = print;
	msg_init(&m, API_PORT_STATS, 0);
	ask_send(a, &m, add_stats);
	msg_init(&m, API_POLL, 0);
	ask_send(a, &m, add_flows);
	ask_end(a);
}

static void show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_stats(aux, call, print_datapath);
}

static void upcall_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_stats(aux, call, print_upcalls);
}

static void dump_dps(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call, DATAPATH "\n");
}

/* ---- purge ---- */

static void purge(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a = ask_begin(aux, call);
	struct msg m;
	if (!a)
		return;
	msg_init(&m, API_TRANSACTION, 0);
	size_t at = msg_op_begin(&m, API_OP_CACHE_FLUSH);
	msg_nest_end(&m, at);
	ask_send(a, &m, NULL);
	ask_end(a);
}

/* Every change has reached every entry when its command returns. */
static void nothing_to_wait_for(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call, "");
}

void commands_cache_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "dpctl/dump-flows",
			 "[-m] [--names | --no-names] [dp] [filter=..] [type=..] [pmd=..]", 0, 7,
			 dpctl_dump_flows, d);
	unixctl_register(ctl, "dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 4,
			 dpif_dump_flows, d);
	unixctl_register(ctl, "dpctl/show", "[-s] [dp...]", 0, 7, show, d);
	unixctl_register(ctl, "dpctl/dump-dps", "", 0, 0, dump_dps, d);
	unixctl_register(ctl, "dpif/dump-dps", "", 0, 0, dump_dps, d);
	unixctl_register(ctl, "dpctl/del-flows", "[dp]", 0, 1, purge, d);
	unixctl_register(ctl, "revalidator/purge", "", 0, 0, purge, d);
	unixctl_register(ctl, "revalidator/wait", "", 0, 0, nothing_to_wait_for, d);
	unixctl_register(ctl, "upcall/show", "", 0, 0, upcall_show, d);
}
