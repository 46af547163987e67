/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice why: what becomes of each packet of a capture file. The port is the one behind which the
 * MAC table has the packet's source, or given; the way is traced with the rules, addresses and
 * connections of now; the drop counters of the ports on the way say whether it happens. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/api/drop_text.h"
#include "tools/ctl/bpf.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/packet_text.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/trace_json.h"
#include "tools/ctl/trace_text.h"
#include "tools/ctl/traceable.h"

struct source { /* an entry of a MAC table */
	uint8_t mac[6];
	uint16_t vlan;
	char *port, *bridge;
};
struct drop_count {
	char *port, *reason;
	uint64_t count;
};
struct why {
	const struct command_call *c;
	struct api_client *client;
	struct port_names names;
	const struct port_name *given; /* --port; NULL: by source address */
	VEC(struct source) sources;
	VEC(struct drop_count) drops;
	const struct bpf_packet *packet; /* in work */
	const struct port_name *port;
	size_t lost, n;
	int rc;
	struct err e;
};

/* ---- what the switch knows ---- */

static void take_mac(struct attrs a, void *aux)
{
	struct why *w = aux;
	struct source s = {.vlan = (uint16_t)attrs_u64(a, ATTR_VLAN, 0)};
	size_t len = 0;
	const void *mac = attrs_bytes(a, ATTR_MAC, &len);
	if (!mac || len != sizeof s.mac)
		return;
	memcpy(s.mac, mac, sizeof s.mac);
	s.port = xstrdup(attrs_str(a, ATTR_PORT, ""));
	s.bridge = xstrdup(attrs_str(a, ATTR_BRIDGE, ""));
	vec_push(&w->sources, s);
}

static void take_drop(struct attrs a, void *aux)
{
	struct why *w = aux;
	vec_push(&w->drops, (struct drop_count){xstrdup(attrs_str(a, ATTR_PORT, "")),
						xstrdup(attrs_str(a, ATTR_REASON, "")),
						attrs_u64(a, ATTR_COUNT, 0)});
}

static int read_switch(struct why *w)
{
	const char *bridge = command_option(w->c, "bridge"), *port = command_option(w->c, "port");
	struct msg m;
	int rc = port_names_read(w->client, &w->names, &w->e);
	if (!rc && port && !(w->given = port_names_find(&w->names, port)))
		rc = err_set(&w->e, ENOENT, "port %s: not found", port);
	if (!rc) {
		msg_init(&m, API_MACS, 0);
		if (bridge)
			msg_put_str(&m, ATTR_BRIDGE, bridge);
		rc = command_dump_on(w->client, &m, take_mac, w, &w->e);
	}
	if (!rc) {
		msg_init(&m, API_DROPS, 0);
		rc = command_dump_on(w->client, &m, take_drop, w, &w->e);
	}
	return rc;
}

static const struct port_name *port_of(const struct why *w, const uint8_t *frame)
{
	if (w->given)
		return w->given;
	VEC_FOR_EACH (s, &w->sources)
		if (!memcmp(s->mac, frame + 6, 6))
			return port_names_find(&w->names, s->port);
	return NULL;
}

/* ---- answers ---- */

static bool is_on_way(struct attrs a, const struct why *w, const char *port)
{
	if (!strcmp(port, w->port->name))
		return true;
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_STEP &&
		    !strcmp(attrs_str(attr_nest(it), ATTR_STEP_KIND, ""), "output") &&
		    !strcmp(attrs_str(attr_nest(it), ATTR_PORT, ""), port))
			return true;
	return false;
}

static void print_json_answer(struct why *w, struct attrs a)
{
	json_t *o = trace_json(a), *drops = json_array();
	VEC_FOR_EACH (d, &w->drops)
		if (is_on_way(a, w, d->port))
			json_array_append_new(drops, json_pack("{s:s, s:s, s:I}", "port", d->port,
							       "reason", d->reason, "count",
							       (json_int_t)d->count));
	json_object_set_new(o, "packet", json_integer((json_int_t)w->packet->number));
	json_object_set_new(o, "port", json_string(w->port->name));
	json_object_set_new(o, "bridge", json_string(w->port->bridge));
	json_object_set_new(o, "drops", drops);
	print_json(o, true);
}

static void put_packet(const struct why *w, struct str *out)
{
	str_printf(out, "packet %zu: ", w->packet->number);
	packet_text(w->packet->data, w->packet->len, w->packet->wire_len, out);
	str_putc(out, '\n');
}

static void print_answer(struct attrs a, void *aux)
{
	struct why *w = aux;
	const char *reason = trace_text_drop(a);
	struct str out = STR_INIT;
	w->lost += reason != NULL;
	if (w->c->json) {
		print_json_answer(w, a);
		return;
	}
	put_packet(w, &out);
	str_printf(&out, "  from %s on %s: ", w->port->name, w->port->bridge);
	trace_text_result(a, &out);
	str_putc(&out, '\n');
	VEC_FOR_EACH (d, &w->drops) {
		bool same = reason && !strcmp(d->reason, reason) && !strcmp(d->port, w->port->name);
		/* A packet that is sent may still be lost at its output. */
		bool at_output = strcmp(d->port, w->port->name) && is_on_way(a, w, d->port) &&
				 !strcmp(drop_text_find(d->reason)->family, "tx");
		if (same)
			str_printf(&out, "  %llu packets of %s were dropped for this so far\n",
				   (unsigned long long)d->count, d->port);
		else if (!reason && at_output)
			str_printf(
				&out,
				"  but %s has dropped %llu packets: %s: %s\n    what to do: %s\n",
				d->port, (unsigned long long)d->count, d->reason,
				drop_text_find(d->reason)->help, drop_text_find(d->reason)->remedy);
	}
	fputs(str_cstr(&out), stdout);
	str_free(&out);
}

static void print_unknown_source(struct why *w)
{
	static const char what[] = "no port is known for its source address: it did not arrive "
				   "lately, or say --port PORT";
	struct str out = STR_INIT;
	if (w->c->json) {
		print_json(json_pack("{s:I, s:n, s:s}", "packet", (json_int_t)w->packet->number,
				     "port", "help", what),
			   true);
		return;
	}
	put_packet(w, &out);
	printf("%s  %s\n", str_cstr(&out), what);
	str_free(&out);
}

static bool explain(const struct bpf_packet *p, void *aux)
{
	struct why *w = aux;
	struct traceable t = {0};
	struct msg m;
	w->packet = p;
	w->n++;
	if (p->len < 14) {
		w->rc = err_set(&w->e, EINVAL, "packet %zu: %u bytes are no Ethernet frame",
				p->number, p->len);
		return false;
	}
	w->port = port_of(w, p->data);
	if (!w->port) {
		print_unknown_source(w);
		return true;
	}
	match_init(&t.described);
	t.bridge = w->port->bridge;
	t.in_port = w->port->ofport;
	t.packet = (uint8_t *)p->data;
	t.len = p->len;
	traceable_put(&t, &m);
	w->rc = api_call(w->client, &m, print_answer, w, &w->e);
	return !w->rc;
}

static void forget(struct why *w)
{
	VEC_FOR_EACH (s, &w->sources) {
		free(s->port);
		free(s->bridge);
	}
	VEC_FOR_EACH (d, &w->drops) {
		free(d->port);
		free(d->reason);
	}
	vec_free(&w->sources);
	vec_free(&w->drops);
	port_names_free(&w->names);
	api_close(w->client);
}

int cmd_why(struct command_call *c)
{
	struct why w = {.c = c};
	int rc;
	w.client = command_datapath(c, false);
	if (!w.client)
		return EXIT_FAILED;
	rc = read_switch(&w);
	if (!rc)
		rc = bpf_read_file(c->argv[0], explain, &w, &w.e);
	rc = w.rc ? w.rc : rc;
	if (!rc && !c->json)
		printf("%zu packets, %zu of them would be dropped\n", w.n, w.lost);
	forget(&w);
	return rc ? command_fail_input(&w.e) : EXIT_OK;
}
