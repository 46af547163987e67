/* SPDX-License-Identifier: BSD-3-Clause */
/* dpctl/…conntrack and dpctl/ct-…: connections and their limits in the form of ovs-appctl. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/ask.h"
#include "control/daemon/ct_text.h"
#include "control/daemon/sluiced.h"
#include "datapath/base/err.h"
#include "datapath/flow/field.h"
#include "ovsdb-lite/unixctl.h"

/* Arguments that all of them take: a datapath's name, of which there is one, says nothing. */
static bool is_datapath(const char *arg)
{
	return strchr(arg, '@') || !strcmp(arg, "ovs-netdev");
}

static void refuse(struct unixctl_call *call, const char *text)
{
	char *t = xasprintf("ovs-vswitchd: %s (Invalid argument)\n", text);
	unixctl_error(call, t);
	free(t);
}

static bool put_zone(struct msg *m, const char *text)
{
	uint64_t zone;
	if (!parse_u64(text, 10, UINT16_MAX, &zone))
		return false;
	msg_put_u16(m, ATTR_CT_ZONE, (uint16_t)zone);
	return true;
}

/* ---- connections ---- */

enum { FLAGS };

static void put_conn(struct ask *a, struct attrs o)
{
	ct_text_put(&a->text, o, (unsigned)a->numbers[FLAGS]);
}

static void dump(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a;
	struct msg m;
	unsigned flags = 0;
	bool ok = true;
	msg_init(&m, API_CONNS, 0);
	for (int i = 1; i < argc && ok; i++) {
		if (!strcmp(argv[i], "-m") || !strcmp(argv[i], "--more"))
			flags |= CT_TEXT_VERBOSE;
		else if (!strcmp(argv[i], "-s") || !strcmp(argv[i], "--statistics"))
			flags |= CT_TEXT_STATS;
		else if (!strncmp(argv[i], "zone=", 5))
			ok = put_zone(&m, argv[i] + 5);
		else
			ok = is_datapath(argv[i]);
	}
	if (!ok)
		refuse(call, "datapath not found");
	a = ok ? ask_begin(aux, call) : NULL;
	if (!a) {
		msg_free(&m);
		return;
	}
	a->numbers[FLAGS] = flags;
	ask_send(a, &m, put_conn);
	ask_end(a);
}

/* N or N/MASK */
static bool put_mark(struct msg *m, const char *text)
{
	const char *slash = strchr(text, '/');
	uint64_t mark, mask;
	char number[24];
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	if (n >= sizeof number)
		return false;
	memcpy(number, text, n);
	number[n] = '\0';
	if (!parse_u64(number, 0, UINT32_MAX, &mark))
		return false;
	msg_put_u32(m, ATTR_CT_MARK, (uint32_t)mark);
	if (!slash)
		return true;
	if (!parse_u64(slash + 1, 0, UINT32_MAX, &mask))
		return false;
	msg_put_u32(m, ATTR_CT_MARK_MASK, (uint32_t)mask);
	return true;
}

/* The same of 128 bits. */
static bool put_label(struct msg *m, const char *text)
{
	union field_value value, mask;
	struct err e = {0};

	if (field_parse_value(&fields[FIELD_CT_LABEL], text, &value, &mask, &e))
		return false;
	msg_put_bytes(m, ATTR_CT_LABEL, value.b, 16);
	msg_put_bytes(m, ATTR_CT_LABEL_MASK, mask.b, 16);
	return true;
}

static int put_selection(struct msg *m, int argc, const char *argv[], struct err *e)
{
	static const enum api_attr ids[] = {ATTR_CT_ORIG, ATTR_CT_REPLY};
	unsigned n_tuples = 0;
	int rc = 0;
	for (int i = 1; i < argc && !rc; i++) {
		if (is_datapath(argv[i]))
			continue;
		if (!strncmp(argv[i], "zone=", 5)) {
			if (!put_zone(m, argv[i] + 5))
				rc = err_set(e, EINVAL, "failed to parse zone");
		} else if (!strncmp(argv[i], "mark=", 5)) {
			if (!put_mark(m, argv[i] + 5))
				rc = err_set(e, EINVAL, "failed to parse mark");
		} else if (!strncmp(argv[i], "label=", 6) || !strncmp(argv[i], "labels=", 7)) {
			if (!put_label(m, strchr(argv[i], '=') + 1))
				rc = err_set(e, EINVAL, "failed to parse label");
		} else if (n_tuples < SL_ARRAY_SIZE(ids)) {
			if (*argv[i])
				rc = ct_text_put_tuple(m, ids[n_tuples], argv[i], e);
			n_tuples++;
		} else {
			rc = err_set(e, EINVAL, "too many arguments");
		}
	}
	return rc;
}

static void flush(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct err e = {0};
	struct ask *a;
	struct msg m;
	size_t at;
	msg_init(&m, API_TRANSACTION, 0);
	at = msg_op_begin(&m, API_OP_CT_FLUSH);
	if (put_selection(&m, argc, argv, &e)) {
		refuse(call, e.text);
		msg_free(&m);
		return;
	}
	msg_nest_end(&m, at);
	a = ask_begin(aux, call);
	if (!a) {
		msg_free(&m);
		return;
	}
	ask_send(a, &m, NULL);
	ask_end(a);
}

/* ---- statistics ---- */

enum { TOTAL, TCP, UDP, SCTP, ICMP, OTHER };

static void count_conn(struct ask *a, struct attrs o)
{
	a->numbers[TOTAL]++;
	switch (attrs_u64(o, ATTR_CT_PROTO, 0)) {
	case IPPROTO_TCP:
		a->numbers[TCP]++;
		break;
	case IPPROTO_UDP:
		a->numbers[UDP]++;
		break;
	case IPPROTO_SCTP:
		a->numbers[SCTP]++;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		a->numbers[ICMP]++;
		break;
	default:
		a->numbers[OTHER]++;
		break;
	}
}

static void print_stats(struct ask *a)
{
	static const char *const names[] = {"Total", "TCP", "UDP", "SCTP", "ICMP", "Other"};
	str_printf(&a->text, "Connections Stats:\n    Total: %llu\n",
		   (unsigned long long)a->numbers[TOTAL]);
	for (unsigned i = TCP; i <= OTHER; i++)
		if (a->numbers[i])
			str_printf(&a->text, "  %s: %llu\n", names[i],
				   (unsigned long long)a->numbers[i]);
}

static void stats_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a;
	struct msg m;
	msg_init(&m, API_CONNS, 0);
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "zone=", 5) && !put_zone(&m, argv[i] + 5)) {
			refuse(call, "failed to parse zone");
			msg_free(&m);
			return;
		}
	a = ask_begin(aux, call);
	if (!a) {
		msg_free(&m);
		return;
	}
	a->finish = print_stats;
	ask_send(a, &m, count_conn);
	ask_end(a);
}

/* ---- counts and limits ---- */

static void ask_info(struct sluiced *d, struct unixctl_call *call, ask_object_fn fn)
{
	struct ask *a = ask_begin(d, call);
	struct msg m;
	if (!a)
		return;
	msg_init(&m, API_CT_INFO, 0);
	ask_send(a, &m, fn);
	ask_end(a);
}

static void print_max(struct ask *a, struct attrs o)
{
	if (attrs_has(o, ATTR_CT_MAX))
		str_printf(&a->text, "%u\n", (unsigned)attrs_u64(o, ATTR_CT_MAX, 0));
}

static void print_count(struct ask *a, struct attrs o)
{
	if (attrs_has(o, ATTR_CT_MAX))
		str_printf(&a->text, "%u\n", (unsigned)attrs_u64(o, ATTR_CT_COUNT, 0));
}

static void print_window_check(struct ask *a, struct attrs o)
{
	if (attrs_has(o, ATTR_CT_MAX))
		str_printf(&a->text, "TCP sequence checking: %s\n",
			   attrs_u64(o, ATTR_CT_WINDOW_CHECK, 0) ? "enabled" : "disabled");
}

static void get_max(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_info(aux, call, print_max);
}

static void get_count(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_info(aux, call, print_count);
}

static void get_window_check(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	ask_info(aux, call, print_window_check);
}

enum { DEFAULT_LIMIT };

struct zone_limit {
	uint32_t limit, count;
};

static void print_zone(struct ask *a, unsigned zone, struct zone_limit z)
{
	str_printf(&a->text, "zone=%u,limit=%u,count=%u\n", zone,
		   z.limit == UINT32_MAX ? (unsigned)a->numbers[DEFAULT_LIMIT] : z.limit, z.count);
}

/* Open vSwitch shows 0 where there is no default, and the default for a zone without its own. What
 * is asked for by number is kept for print_asked(). */
static void print_limit(struct ask *a, struct attrs o)
{
	unsigned zone = (unsigned)attrs_u64(o, ATTR_CT_ZONE, 0) & UINT16_MAX;
	struct zone_limit z = {(uint32_t)attrs_u64(o, ATTR_CT_LIMIT, 0),
			       (uint32_t)attrs_u64(o, ATTR_CT_COUNT, 0)};
	if (attrs_has(o, ATTR_CT_MAX))
		return;
	if (!attrs_has(o, ATTR_CT_ZONE)) {
		a->numbers[DEFAULT_LIMIT] = z.limit == UINT32_MAX ? 0 : z.limit;
		str_printf(&a->text, "default limit=%u\n", (unsigned)a->numbers[DEFAULT_LIMIT]);
		return;
	}
	if (a->aux)
		((struct zone_limit *)a->aux)[zone] = z;
	else if (z.limit != UINT32_MAX)
		print_zone(a, zone, z);
}

/* Next zone of "1,2,3"; false: none, or *bad. */
static bool next_zone(const char **at, unsigned *zone, bool *bad)
{
	char *end;
	unsigned long v;
	*bad = false;
	if (!**at)
		return false;
	v = strtoul(*at, &end, 10);
	*bad = end == *at || (*end && *end != ',') || v > UINT16_MAX;
	*at = *end ? end + 1 : end;
	*zone = (unsigned)v;
	return !*bad;
}

static void print_asked(struct ask *a)
{
	const struct zone_limit *zones = a->aux;
	const char *at = a->bridge;
	unsigned zone;
	bool bad;
	while (next_zone(&at, &zone, &bad))
		print_zone(a, zone, zones[zone]);
}

static void free_zones(struct ask *a)
{
	free(a->aux);
}

static bool zones_are_good(const char *zones)
{
	unsigned zone;
	bool bad;
	while (next_zone(&zones, &zone, &bad))
		;
	return !bad;
}

static void get_limits(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct zone_limit *zones = NULL;
	struct ask *a;
	struct msg m;
	const char *asked = NULL;
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "zone=", 5))
			asked = argv[i] + 5;
	if (asked && !zones_are_good(asked)) {
		refuse(call, "invalid zone");
		return;
	}
	a = ask_begin(aux, call);
	if (!a)
		return;
	if (asked) {
		zones = xcalloc(UINT16_MAX + 1, sizeof *zones);
		for (unsigned i = 0; i <= UINT16_MAX; i++)
			zones[i].limit = UINT32_MAX;
		a->bridge = xstrdup(asked); /* the one string an ask has */
		a->finish = print_asked;
		a->discard = free_zones;
		a->aux = zones;
	}
	msg_init(&m, API_CT_INFO, 0);
	ask_send(a, &m, print_limit);
	ask_end(a);
}

/* Open vSwitch has one bucket of all connections, shown among the first eight. */
static void print_bucket(struct ask *a, struct attrs o)
{
	unsigned n = (unsigned)attrs_u64(o, ATTR_CT_COUNT, 0);
	if (!attrs_has(o, ATTR_CT_MAX))
		return;
	str_printf(&a->text, "Total Buckets: 1\nCurrent Connections: %u\n\n", n);
	if (!n)
		return;
	str_puts(&a->text, "+-----------+-----------------------------------------+\n"
			   "|  Buckets  |         Connections per Buckets         |\n"
			   "+-----------+-----------------------------------------+\n"
			   "   0..  7   ");
	if (n > a->numbers[0])
		str_printf(&a->text, "|%6u\n\n", n);
	else
		str_puts(&a->text, "|     .\n\n");
}

static void get_buckets(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	uint64_t more_than = 0;
	struct ask *a;
	struct msg m;
	for (int i = 1; i < argc; i++)
		if (!is_datapath(argv[i]) &&
		    (strncmp(argv[i], "gt=", 3) ||
		     !parse_u64(argv[i] + 3, 10, UINT16_MAX, &more_than))) {
			refuse(call, "datapath not found");
			return;
		}
	a = ask_begin(aux, call);
	if (!a)
		return;
	a->numbers[0] = more_than;
	msg_init(&m, API_CT_INFO, 0);
	ask_send(a, &m, print_bucket);
	ask_end(a);
}

/* ---- changes ---- */

static void set_max(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct msg m;
	uint64_t max;
	size_t at;
	if (!parse_u64(argv[argc - 1], 10, UINT32_MAX, &max)) {
		refuse(call, "maxconns missing or malformed");
		return;
	}
	msg_init(&m, API_TRANSACTION, 0);
	at = msg_op_begin(&m, API_OP_CT_SET);
	msg_put_u32(&m, ATTR_CT_MAX, (uint32_t)max);
	msg_nest_end(&m, at);
	ask_change(aux, call, &m, "setting maxconns successful\n");
}

static void set_window_check(struct sluiced *d, struct unixctl_call *call, bool on)
{
	struct msg m;
	size_t at;
	msg_init(&m, API_TRANSACTION, 0);
	at = msg_op_begin(&m, API_OP_CT_SET);
	msg_put_u8(&m, ATTR_CT_WINDOW_CHECK, on);
	msg_nest_end(&m, at);
	ask_change(d, call, &m,
		   on ? "enabling TCP sequence checking successful\n"
		      : "disabling TCP sequence checking successful\n");
}

static void enable_window_check(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	set_window_check(aux, call, true);
}

static void disable_window_check(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	set_window_check(aux, call, false);
}

static void put_limit(struct msg *m, int zone, uint32_t limit)
{
	size_t at = msg_op_begin(m, API_OP_CT_SET);
	if (zone >= 0)
		msg_put_u16(m, ATTR_CT_ZONE, (uint16_t)zone);
	msg_put_u32(m, ATTR_CT_LIMIT, limit);
	msg_nest_end(m, at);
}

/* "default=10" or "zone=5,limit=3". */
static bool put_limit_text(struct msg *m, const char *text)
{
	uint64_t zone, limit;
	const char *comma = strchr(text, ',');
	char *number;
	bool ok;
	if (!strncmp(text, "default=", 8)) {
		if (!parse_u64(text + 8, 10, UINT32_MAX, &limit))
			return false;
		put_limit(m, -1, (uint32_t)limit);
		return true;
	}
	if (strncmp(text, "zone=", 5) || !comma || strncmp(comma, ",limit=", 7))
		return false;
	number = xstrndup(text + 5, (size_t)(comma - text - 5));
	ok = parse_u64(number, 10, UINT16_MAX, &zone) &&
	     parse_u64(comma + 7, 10, UINT32_MAX, &limit);
	free(number);
	if (ok)
		put_limit(m, (int)zone, (uint32_t)limit);
	return ok;
}

static void set_limits(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct msg m;
	msg_init(&m, API_TRANSACTION, 0);
	for (int i = 1; i < argc; i++)
		if (!is_datapath(argv[i]) && !put_limit_text(&m, argv[i])) {
			refuse(call, strncmp(argv[i], "default", 7) ? "failed to parse field zone"
								    : "invalid default limit");
			msg_free(&m);
			return;
		}
	ask_change(aux, call, &m, "");
}

static void del_limits(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	const char *arg = argv[argc - 1];
	char *copy, *rest, *word;
	uint64_t zone;
	bool ok = !strncmp(arg, "zone=", 5);
	struct msg m;
	msg_init(&m, API_TRANSACTION, 0);
	copy = rest = xstrdup(ok ? arg + 5 : "");
	while (ok && (word = strsep(&rest, ","))) {
		ok = parse_u64(word, 10, UINT16_MAX, &zone);
		if (ok)
			put_limit(&m, (int)zone, UINT32_MAX);
	}
	free(copy);
	if (ok) {
		ask_change(aux, call, &m, "");
		return;
	}
	refuse(call, "failed to parse field zone");
	msg_free(&m);
}

void commands_ct_register(struct sluiced *d, struct unixctl *ctl)
{
	enum { MANY = 64 };
	unixctl_register(ctl, "dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, dump, d);
	unixctl_register(
		ctl, "dpctl/flush-conntrack",
		"[dp] [zone=N] [mark=N[/MASK]] [label=N[/MASK]] [ct-orig-tuple] [ct-reply-tuple]",
		0, 6, flush, d);
	unixctl_register(ctl, "dpctl/ct-stats-show", "[dp] [zone=N]", 0, 3, stats_show, d);
	unixctl_register(ctl, "dpctl/ct-get-nconns", "[dp]", 0, 1, get_count, d);
	unixctl_register(ctl, "dpctl/ct-get-maxconns", "[dp]", 0, 1, get_max, d);
	unixctl_register(ctl, "dpctl/ct-set-maxconns", "[dp] maxconns", 1, 2, set_max, d);
	unixctl_register(ctl, "dpctl/ct-bkts", "[dp] [gt=N]", 0, 2, get_buckets, d);
	unixctl_register(ctl, "dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, get_limits, d);
	unixctl_register(ctl, "dpctl/ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1,
			 MANY, set_limits, d);
	unixctl_register(ctl, "dpctl/ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, del_limits, d);
	unixctl_register(ctl, "dpctl/ct-get-tcp-seq-chk", "[dp]", 0, 1, get_window_check, d);
	unixctl_register(ctl, "dpctl/ct-enable-tcp-seq-chk", "[dp]", 0, 1, enable_window_check, d);
	unixctl_register(ctl, "dpctl/ct-disable-tcp-seq-chk", "[dp]", 0, 1, disable_window_check,
			 d);
}
