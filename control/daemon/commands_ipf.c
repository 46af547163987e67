/* SPDX-License-Identifier: BSD-3-Clause */
/* dpctl/ipf-…: fragments that wait for the rest of their datagram, in the form of ovs-appctl. */
#include <stdlib.h>
#include <string.h>

#include "control/daemon/ask.h"
#include "control/daemon/ct_text.h"
#include "control/daemon/sluiced.h"
#include "datapath/base/err.h"
#include "ovsdb-lite/unixctl.h"

/* Of the datapath, which also refuses them; here for Open vSwitch's words. */
enum { SMALLEST_FRAGMENT = 400, MOST_FRAGMENTS = 5000 };

static void refuse(struct unixctl_call *call, const char *text, const char *why)
{
	char *t = xasprintf("ovs-vswitchd: %s (%s)\n", text, why);
	unixctl_error(call, t);
	free(t);
}

/* 4, 6, or 0. */
static uint8_t version_of(const char *text)
{
	return !strcmp(text, "v4") ? 4 : !strcmp(text, "v6") ? 6 : 0;
}

static void set_family(struct sluiced *d, struct unixctl_call *call, uint8_t version,
		       enum api_attr id, uint32_t value, const char *text)
{
	struct msg m;
	size_t op, family;
	msg_init(&m, API_TRANSACTION, 0);
	op = msg_op_begin(&m, API_OP_CT_SET);
	family = msg_nest_begin(&m, ATTR_FRAGMENT_FAMILY);
	msg_put_u8(&m, ATTR_IP_VERSION, version);
	if (id == ATTR_FRAGMENT_ENABLED)
		msg_put_u8(&m, id, (uint8_t)value);
	else
		msg_put_u32(&m, id, value);
	msg_nest_end(&m, family);
	msg_nest_end(&m, op);
	ask_change(d, call, &m, text);
}

static void set_enabled(struct sluiced *d, struct unixctl_call *call, const char *family, bool on)
{
	uint8_t version = version_of(family);
	if (!version)
		refuse(call, "parameter missing: 'v4' for IPv4 or 'v6' for IPv6",
		       "Invalid argument");
	else
		set_family(d, call, version, ATTR_FRAGMENT_ENABLED, on,
			   on ? "enabling fragmentation reassembly successful\n"
			      : "disabling fragmentation reassembly successful\n");
}

static void enable(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	set_enabled(aux, call, argv[argc - 1], true);
}

static void disable(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	set_enabled(aux, call, argv[argc - 1], false);
}

static void set_min(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	uint8_t version = version_of(argv[argc - 2]);
	uint64_t bytes;
	if (!version)
		refuse(call, "parameter missing: v4 for IPv4 or v6 for IPv6", "Invalid argument");
	else if (!parse_u64(argv[argc - 1], 10, UINT32_MAX, &bytes))
		refuse(call, "parameter missing for minimum fragment size", "Invalid argument");
	else if (bytes < SMALLEST_FRAGMENT)
		refuse(call, "requested minimum fragment size too small; see documentation",
		       "Operation not permitted");
	else
		set_family(aux, call, version, ATTR_FRAGMENT_MIN_BYTES, (uint32_t)bytes,
			   "setting minimum fragment size successful\n");
}

static void set_max(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	uint64_t max;
	struct msg m;
	size_t op;
	if (!parse_u64(argv[argc - 1], 10, UINT32_MAX, &max)) {
		refuse(call, "parameter missing for maximum fragments", "Invalid argument");
		return;
	}
	if (max > MOST_FRAGMENTS) {
		refuse(call, "setting maximum fragments failed", "Operation not permitted");
		return;
	}
	msg_init(&m, API_TRANSACTION, 0);
	op = msg_op_begin(&m, API_OP_CT_SET);
	msg_put_u32(&m, ATTR_FRAGMENT_MAX, (uint32_t)max);
	msg_nest_end(&m, op);
	ask_change(aux, call, &m, "setting maximum fragments successful\n");
}

/* ---- status ---- */

enum { VERBOSE };

static void put_counts(struct ask *a, struct attrs f)
{
	static const char *const names[] = {"accepted",  "completed",  "expired",
					    "too small", "overlapped", "purged"};
	unsigned v = (unsigned)attrs_u64(f, ATTR_IP_VERSION, 0);
	size_t len;
	const uint8_t *b = attrs_bytes(f, ATTR_FRAGMENT_COUNTS, &len);
	str_printf(&a->text, "        min v%u frag size: %u\n", v,
		   (unsigned)attrs_u64(f, ATTR_FRAGMENT_MIN_BYTES, 0));
	for (size_t i = 0; i < SL_ARRAY_SIZE(names) && b && (i + 1) * 8 <= len; i++) {
		uint64_t n;
		memcpy(&n, b + i * 8, 8);
		str_printf(&a->text, "        v%u frags %s: %llu\n", v, names[i],
			   (unsigned long long)n);
	}
}

static void put_datagram(struct ask *a, struct attrs g)
{
	const struct attr *nest = attrs_find(g, ATTR_CT_ORIG);
	size_t len = 0;
	if (!nest)
		return;
	attrs_bytes(attr_nest(nest), ATTR_CT_SRC, &len);
	str_puts(&a->text, "(src=");
	ct_text_put_addr(&a->text, attr_nest(nest), ATTR_CT_SRC);
	str_puts(&a->text, ",dst=");
	ct_text_put_addr(&a->text, attr_nest(nest), ATTR_CT_DST);
	str_printf(&a->text,
		   ",recirc_id=0,ip_id=%u,dl_type=0x%x,zone=%u,nw_proto=%u,num_fragments=%u,"
		   "state=%s)\n",
		   (unsigned)attrs_u64(g, ATTR_IP_ID, 0), len == 4 ? 0x800u : 0x86ddu,
		   (unsigned)attrs_u64(g, ATTR_CT_ZONE, 0),
		   (unsigned)attrs_u64(g, ATTR_CT_PROTO, 0), (unsigned)attrs_u64(g, ATTR_COUNT, 0),
		   attrs_str(g, ATTR_STATE, ""));
}

static void put_status(struct ask *a, struct attrs o)
{
	bool enabled[2] = {false, false};
	if (!attrs_has(o, ATTR_FRAGMENT_MAX))
		return;
	ATTR_FOR_EACH (at, o)
		if (at->id == ATTR_FRAGMENT_FAMILY) {
			struct attrs f = attr_nest(at);
			enabled[attrs_u64(f, ATTR_IP_VERSION, 0) == 6] =
				attrs_u64(f, ATTR_FRAGMENT_ENABLED, 0);
		}
	str_printf(&a->text,
		   "        Fragmentation Module Status\n        ---------------------------\n"
		   "        v4 enabled: %u\n        v6 enabled: %u\n"
		   "        max num frags (v4/v6): %u\n        num frag: %u\n",
		   enabled[0], enabled[1], (unsigned)attrs_u64(o, ATTR_FRAGMENT_MAX, 0),
		   (unsigned)attrs_u64(o, ATTR_FRAGMENT_HELD, 0));
	ATTR_FOR_EACH (at, o)
		if (at->id == ATTR_FRAGMENT_FAMILY)
			put_counts(a, attr_nest(at));
	if (!a->numbers[VERBOSE])
		return;
	str_puts(&a->text, "\n        Fragment Lists:\n\n");
	ATTR_FOR_EACH (at, o)
		if (at->id == ATTR_DATAGRAM)
			put_datagram(a, attr_nest(at));
}

static void status(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a;
	struct msg m;
	bool verbose = false;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-m") || !strcmp(argv[i], "--more")) {
			verbose = true;
		} else if (!strchr(argv[i], '@') && strcmp(argv[i], "ovs-netdev")) {
			refuse(call, "datapath not found", "Invalid argument");
			return;
		}
	}
	a = ask_begin(aux, call);
	if (!a)
		return;
	a->numbers[VERBOSE] = verbose;
	msg_init(&m, API_CT_INFO, 0);
	ask_send(a, &m, put_status);
	ask_end(a);
}

void commands_ipf_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "dpctl/ipf-set-enabled", "[dp] v4|v6", 1, 2, enable, d);
	unixctl_register(ctl, "dpctl/ipf-set-disabled", "[dp] v4|v6", 1, 2, disable, d);
	unixctl_register(ctl, "dpctl/ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, set_min, d);
	unixctl_register(ctl, "dpctl/ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, set_max, d);
	unixctl_register(ctl, "dpctl/ipf-get-status", "[dp]", 0, 2, status, d);
}
