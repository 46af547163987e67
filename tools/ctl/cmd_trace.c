/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice trace: a described packet, the packets of a file, or real ones as they come. Asks
 * datapath.sock, so it works while sluiced is away, and changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/bpf.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/live.h"
#include "tools/ctl/packet_text.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/trace_json.h"
#include "tools/ctl/trace_text.h"
#include "tools/ctl/traceable.h"

struct trace {
	const struct command_call *c;
	struct api_client *client;
	struct port_names names;
	struct traceable what;
	bool is_line;  /* JSON: several answers, one line each */
	size_t number; /* of the packet in the file; 0: none */
	int rc;
	struct err e;
};

/* ---- answers ---- */

static void print_packet(struct trace *t, struct str *out)
{
	struct text_ports ports = port_names_text(&t->names);
	if (t->number)
		str_printf(out, "packet %zu: ", t->number);
	if (t->what.packet) {
		packet_text(t->what.packet, (uint32_t)t->what.len, (uint32_t)t->what.len, out);
	} else {
		struct match m = t->what.described;
		m.value.regs.in_port = cpu_to_be32(t->what.in_port);
		m.mask.regs.in_port = UINT32_MAX;
		match_format(&m, &ports, out);
	}
	str_putc(out, '\n');
}

static void print_answer(struct attrs a, void *aux)
{
	struct trace *t = aux;
	struct str out = STR_INIT;
	if (t->c->json) {
		json_t *o = trace_json(a);
		if (t->number)
			json_object_set_new(o, "packet", json_integer((json_int_t)t->number));
		print_json(o, t->is_line);
		return;
	}
	print_packet(t, &out);
	trace_text_steps(a, &out);
	str_puts(&out, "Result: ");
	trace_text_result(a, &out);
	str_puts(&out, "\nMegaflow:\n");
	trace_text_megaflows(a, &out);
	fputs(str_cstr(&out), stdout);
	str_free(&out);
}

static int ask(struct trace *t)
{
	struct msg m;
	traceable_put(&t->what, &m);
	return api_call(t->client, &m, print_answer, t, &t->e);
}

/* ---- what is asked ---- */

static int take_states(struct trace *t)
{
	for (size_t i = 0; i < t->c->n_given; i++) {
		uint8_t *at = &t->what.ct_next[t->what.n_ct_next];
		if (strcmp(t->c->given[i].name, "ct-next"))
			continue;
		if (t->what.n_ct_next == SL_ARRAY_SIZE(t->what.ct_next))
			return err_set(&t->e, E2BIG, "--ct-next: more than %zu",
				       SL_ARRAY_SIZE(t->what.ct_next));
		if (traceable_parse_states(t->c->given[i].value, at, &t->e))
			return -t->e.code;
		t->what.n_ct_next++;
	}
	return 0;
}

/* FLOW: fields with in_port, or the packet itself. */
static int take_flow(struct trace *t, const char *text)
{
	struct text_ports ports = port_names_text(&t->names);
	if (traceable_looks_hex(text)) {
		t->what.packet = traceable_parse_hex(text, &t->what.len, &t->e);
		return -t->e.code;
	}
	if (match_parse(text, &ports, NULL, NULL, &t->what.described, &t->e)) {
		err_prefix(&t->e, "flow");
		return -t->e.code;
	}
	if (t->what.described.mask.regs.in_port)
		t->what.in_port = be32_to_cpu(t->what.described.value.regs.in_port);
	t->what.described.value.regs.in_port = t->what.described.mask.regs.in_port = 0;
	return 0;
}

static int take_port(struct trace *t)
{
	const char *name = command_option(t->c, "port");
	const struct port_name *p = name ? port_names_find(&t->names, name) : NULL;
	if (name && (!p || strcmp(p->bridge, t->what.bridge)))
		return err_set(&t->e, ENOENT, "port %s: not on bridge %s", name, t->what.bridge);
	if (p)
		t->what.in_port = p->ofport;
	if (!t->what.in_port)
		return err_set(&t->e, EINVAL,
			       "flow: it does not say where the packet arrives: in_port=PORT, or "
			       "--port PORT");
	return 0;
}

static int take_arguments(struct trace *t)
{
	const struct command_call *c = t->c;
	t->what.bridge = xstrdup(c->argv[0]);
	t->names.bridge = t->what.bridge;
	match_init(&t->what.described);
	if (port_names_read(t->client, &t->names, &t->e) || take_states(t) ||
	    (c->argc > 1 && take_flow(t, c->argv[1])))
		return -t->e.code;
	if (c->argc > 2) {
		free(t->what.packet);
		t->what.packet = traceable_parse_hex(c->argv[2], &t->what.len, &t->e);
		if (!t->what.packet)
			return -t->e.code;
	}
	return take_port(t);
}

static bool trace_from_file(const struct bpf_packet *p, void *aux)
{
	struct trace *t = aux;
	if (p->len < 14) {
		t->rc = err_set(&t->e, EINVAL, "packet %zu: %u bytes are no Ethernet frame",
				p->number, p->len);
		return false;
	}
	t->what.packet = (uint8_t *)p->data; /* borrowed for the call */
	t->what.len = p->len;
	t->number = p->number;
	if (p->number > 1 && !t->c->json)
		putchar('\n');
	t->rc = ask(t);
	t->what.packet = NULL;
	return !t->rc;
}

static int trace_described(struct command_call *c)
{
	const char *pcap = command_option(c, "pcap");
	struct trace t = {.c = c, .is_line = pcap};
	int rc;
	if (!c->argc)
		return command_usage(c, "which bridge?");
	if (c->argc < 2 && !pcap)
		return command_usage(c, "which packet? FLOW, PACKET or --pcap FILE");
	if (command_option(c, "filter") || command_option(c, "count"))
		return command_usage(c, "--filter and --count go with --live");
	t.client = command_datapath(c, false);
	if (!t.client)
		return EXIT_FAILED;
	rc = take_arguments(&t);
	if (!rc && pcap) {
		rc = bpf_read_file(pcap, trace_from_file, &t, &t.e);
		rc = t.rc ? t.rc : rc;
	} else if (!rc) {
		rc = ask(&t);
	}
	traceable_free(&t.what);
	port_names_free(&t.names);
	api_close(t.client);
	return rc ? command_fail_input(&t.e) : EXIT_OK;
}

/* ---- real packets ---- */

static int print_live(struct attrs o, void *aux, struct err *e)
{
	const struct command_call *c = aux;
	struct str s = STR_INIT;
	size_t len = 0;
	const void *data = attrs_bytes(o, ATTR_PACKET, &len);
	if (c->json) {
		attrs_format_json(o, &s);
	} else {
		packet_time(attrs_u64(o, ATTR_TIME_NS, 0), &s);
		str_printf(&s, " %s: ", attrs_str(o, ATTR_PORT, ""));
		packet_text(data, (uint32_t)len, (uint32_t)attrs_u64(o, ATTR_PACKET_LEN, len), &s);
		str_puts(&s, attrs_has(o, ATTR_STALE) ? "  (rules have changed since)\n" : "\n");
		trace_text_steps(o, &s);
		str_puts(&s, "Result: ");
		packet_fate(o, &s);
		str_putc(&s, '\n');
	}
	puts(str_cstr(&s));
	str_free(&s);
	return fflush(stdout) ? err_set(e, errno, "standard output: %s", strerror(errno)) : 0;
}

static int trace_live(struct command_call *c)
{
	struct live l = {.packet = print_live, .aux = c};
	const char *count = command_option(c, "count"), *port = command_option(c, "port");
	struct api_client *client;
	struct err e = {0};
	uint64_t n = 1;
	struct msg m;
	int rc;
	if (c->argc || command_option(c, "pcap") || command_option(c, "ct-next"))
		return command_usage(c, "--live takes real packets, not a described one");
	if (count && (!parse_u64(count, 10, UINT32_MAX, &n) || !n))
		return command_usage(c, "--count %s: not a number above 0", count);
	msg_init(&m, API_TRACE_LIVE, 0);
	msg_put_u32(&m, ATTR_LIMIT, (uint32_t)n);
	if (port)
		msg_put_str(&m, ATTR_PORT, port);
	if (bpf_put_filter(&m, command_option(c, "filter"), &e)) {
		msg_free(&m);
		return command_fail_input(&e);
	}
	client = command_datapath(c, false);
	if (!client) {
		msg_free(&m);
		return EXIT_FAILED;
	}
	rc = live_run(client, &m, &l, &e);
	api_close(client);
	return rc && rc != -EPIPE ? command_fail_input(&e) : EXIT_OK;
}

int cmd_trace(struct command_call *c)
{
	return command_option(c, "live") ? trace_live(c) : trace_described(c);
}
