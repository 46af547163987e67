/* SPDX-License-Identifier: BSD-3-Clause */
/* netdev-dummy/… and time/…: what test suites do to a switch whose ports are dummies. Only
 * registered when dummy ports are enabled. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/daemon/ask.h"
#include "control/daemon/sluiced.h"
#include "datapath/flow/key_text.h"
#include "datapath/flow/match_text.h"
#include "datapath/flow/packet_build.h"
#include "ovsdb-lite/unixctl.h"

enum { FRAME_MAX = 9216 };

/* ---- frames ---- */

/* "505400…", blanks allowed. 0: not that. */
static size_t from_hex(const char *text, uint8_t *frame)
{
	size_t n = 0;
	for (const char *p = text; *p;) {
		unsigned byte;
		int end = 0;
		p += strspn(p, " \t\n");
		if (!*p)
			break;
		if (n == FRAME_MAX || strspn(p, "0123456789abcdefABCDEF") < 2 ||
		    sscanf(p, "%2x%n", &byte, &end) != 1)
			return 0;
		frame[n++] = (uint8_t)byte;
		p += end;
	}
	return n;
}

/* A flow, in the words of the datapath or of OpenFlow, as a packet of `len` bytes (0: as long as it
 * becomes). */
static size_t from_flow(const char *text, size_t len, uint8_t *frame, struct err *e)
{
	struct err key_error = {0};
	struct match m;
	size_t n;
	if (key_parse(text, &m, &key_error) && match_parse(text, NULL, NULL, NULL, &m, e)) {
		if (strchr(text, '('))
			*e = key_error;
		return 0;
	}
	n = packet_compose(&m.value, len, frame, FRAME_MAX);
	if (!n)
		err_set(e, EINVAL, "the packet does not fit into %d bytes", FRAME_MAX);
	return n;
}

static void receive(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a = ask_begin(aux, call);
	size_t len = 0;
	if (!a)
		return;
	for (int i = 2; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--len"))
			len = strtoul(argv[i + 1], NULL, 10);
	if (len > FRAME_MAX) {
		ask_fail(a, "packet is too long");
		return;
	}
	for (int i = 2; i < argc; i++) {
		uint8_t frame[FRAME_MAX];
		struct err e = {0};
		struct msg m;
		if (!strncmp(argv[i], "--", 2)) { /* --len and --qid have a number */
			i++;
			continue;
		}
		size_t n = from_hex(argv[i], frame);
		if (!n)
			n = from_flow(argv[i], len, frame, &e);
		if (!n) {
			ask_fail(a, e.text);
			return;
		}
		msg_init(&m, API_DUMMY_RECEIVE, 0);
		msg_put_str(&m, ATTR_PORT, argv[1]);
		msg_put_bytes(&m, ATTR_PACKET, frame, n);
		ask_send(a, &m, NULL);
	}
	ask_end(a);
}

/* ---- ports that go down ---- */

enum { PORT_DOWN = 1 }; /* OFPPC_PORT_DOWN */

static bool is_dummy(const struct config_port *p)
{
	return !strcmp(p->type, "dummy");
}

static void set_admin_state(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	const char *state = argv[argc - 1], *name = argc > 2 ? argv[1] : NULL;
	bool found = false;
	if (strcasecmp(state, "up") && strcasecmp(state, "down")) {
		unixctl_error(call, "Invalid Admin State");
		return;
	}
	VEC_FOR_EACH (p, &engine_desired(d->engine)->ports) {
		if (!is_dummy(*p) || (name && strcmp((*p)->name, name)))
			continue;
		found = true;
		engine_port_mod(d->engine, (*p)->name, strcasecmp(state, "up") ? PORT_DOWN : 0,
				PORT_DOWN);
	}
	if (name && !found)
		unixctl_error(call, "Unknown Dummy Interface");
	else
		unixctl_reply(call, "OK\n");
}

/* ---- time ---- */

static void set_clock(struct sluiced *d, struct unixctl_call *call, bool stop, uint64_t ms,
		      const char *text)
{
	struct ask *a = ask_begin(d, call);
	struct msg m;
	if (!a)
		return;
	msg_init(&m, API_CLOCK, 0);
	if (stop)
		msg_put_flag(&m, ATTR_STOP);
	else
		msg_put_u64(&m, ATTR_WARP_MS, ms);
	str_puts(&a->text, text);
	ask_send(a, &m, NULL);
	ask_end(a);
}

static void time_stop(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	set_clock(aux, call, true, 0, "");
}

/* The second number is the size of steps, which we do not need. */
static void time_warp(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	char *end;
	uint64_t ms = strtoull(argv[1], &end, 10);
	if (end == argv[1] || *end || !ms)
		unixctl_error(call, "invalid MSECS");
	else
		set_clock(aux, call, false, ms, "warped\n");
}

void commands_dummy_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "netdev-dummy/receive",
			 "name [--qid queue_id] packet|flow [--len packet_len]", 2, 64, receive, d);
	unixctl_register(ctl, "netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2,
			 set_admin_state, d);
	unixctl_register(ctl, "time/stop", "", 0, 0, time_stop, d);
	unixctl_register(ctl, "time/warp", "MSECS [LARGE_MSECS]", 1, 2, time_warp, d);
}
