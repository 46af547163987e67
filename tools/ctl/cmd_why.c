/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice why: what became of each packet of a capture file. First the datapath's memory of drops is
 * asked; then the way is traced with the rules, addresses and connections of now, and said to be
 * that. The port is the one behind which the MAC table has the packet's source, or given; the drop
 * counters of the ports on the way say how often it happens. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/api/drop_text.h"
#include "tools/ctl/bpf.h"
#include "tools/ctl/dropped.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/packet_text.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/trace_json.h"
#include "tools/ctl/trace_text.h"
#include "tools/ctl/traceable.h"

enum { CLOCKS_DIFFER_S = 5 };
static const char *const match_names[] = {
	[DROP_MATCH_NONE] = "none",
	[DROP_MATCH_SEGMENT] = "segment",
	[DROP_MATCH_REWRITTEN] = "rewritten",
	[DROP_MATCH_SAME] = "same",
};

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
	struct dropped_list memory;
	bool forgotten;                  /* there were drops that are not in it */
	const struct bpf_packet *packet; /* in work */
	const struct port_name *port;    /* NULL: not known */
	const struct dropped *was;       /* what the memory has of it; NULL: nothing */
	enum drop_match how;
	size_t was_lost, lost, n;
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
	/* After the counters: what is dropped in between is not taken for forgotten. */
	if (!rc)
		rc = dropped_read(w->client, &(struct dropped_select){0}, &w->memory, &w->e);
	VEC_FOR_EACH (d, &w->memory.all)
		w->forgotten |= !d->what.data;
	VEC_FOR_EACH (d, &w->drops)
		w->forgotten |= dropped_count(&w->memory, d->port, d->reason) < d->count;
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

/* How much later it was dropped than the file says that it was sent. */
static double later_s(const struct why *w)
{
	return (double)(int64_t)(w->was->time_ns - w->packet->time_ns) / 1e9;
}

static void set_answer(json_t *o, const struct why *w)
{
	json_object_set_new(o, "packet", json_integer((json_int_t)w->packet->number));
	json_object_set_new(o, "port", w->port ? json_string(w->port->name) : json_null());
	if (w->port)
		json_object_set_new(o, "bridge", json_string(w->port->bridge));
	json_object_set_new(o, "from", json_string(w->was ? "memory" : "now"));
}

/* What the memory says, and beside it what would happen now; `now` is taken. */
static json_t *remembered_json(const struct why *w, json_t *now)
{
	static const char *const same[] = {"reason", "help", "remedy", "denied_by"};
	json_t *was = dropped_json(w->was), *o = json_object();
	json_object_set_new(was, "match", json_string(match_names[w->how]));
	json_object_set_new(was, "later_s", json_real(later_s(w)));
	json_object_set_new(o, "dropped", json_true());
	for (size_t i = 0; i < SL_ARRAY_SIZE(same); i++)
		json_object_set(o, same[i], json_object_get(was, same[i]));
	json_object_set_new(o, "was", was);
	json_object_set_new(o, "now", now);
	return o;
}

static void print_json_answer(struct why *w, struct attrs a)
{
	json_t *o = trace_json(a), *drops = json_array();
	VEC_FOR_EACH (d, &w->drops)
		if (is_on_way(a, w, d->port))
			json_array_append_new(drops, json_pack("{s:s, s:s, s:I}", "port", d->port,
							       "reason", d->reason, "count",
							       (json_int_t)d->count));
	if (w->was)
		o = remembered_json(w, o);
	set_answer(o, w);
	json_object_set_new(o, "drops", drops);
	print_json(o, true);
}

static void put_packet(const struct why *w, struct str *out)
{
	str_printf(out, "packet %zu: ", w->packet->number);
	packet_text(w->packet->data, w->packet->len, w->packet->wire_len, out);
	str_putc(out, '\n');
}

static void put_span(double later, struct str *out)
{
	const double s = fabs(later);
	const char *when = later > 0 ? "earlier" : "later";
	if (s < 120)
		str_printf(out, "%.1f s %s", s, when);
	else if (s < 7200)
		str_printf(out, "%.0f minutes %s", s / 60, when);
	else if (s < 172800)
		str_printf(out, "%.0f hours %s", s / 3600, when);
	else
		str_printf(out, "%.0f days %s", s / 86400, when);
}

static void put_memory(const struct why *w, struct str *out)
{
	static const char *const hows[] = {
		[DROP_MATCH_SEGMENT] = "  (a part of it, or one that it is a part of)\n",
		[DROP_MATCH_REWRITTEN] = "  (its addresses or ports had been rewritten by then)\n",
		[DROP_MATCH_SAME] = "",
	};
	if (!w->was) {
		str_puts(out, w->forgotten ? "  no drop of it is remembered\n"
					   : "  none of the packets dropped so far looks "
					     "like it\n");
		return;
	}
	str_puts(out, "  dropped at ");
	dropped_text(w->was, out);
	str_putc(out, '\n');
	str_puts(out, hows[w->how]);
	if (later_s(w) > CLOCKS_DIFFER_S || later_s(w) < -CLOCKS_DIFFER_S) {
		str_puts(out, "  (the file says that it was sent ");
		put_span(later_s(w), out);
		str_puts(out, ": clocks differ, or it is another packet like it)\n");
	}
}

static void put_counts(const struct why *w, struct attrs a, const char *reason, struct str *out)
{
	VEC_FOR_EACH (d, &w->drops) {
		bool same = reason && !strcmp(d->reason, reason) && !strcmp(d->port, w->port->name);
		/* A packet that is sent may still be lost at its output. */
		bool at_output = strcmp(d->port, w->port->name) && is_on_way(a, w, d->port) &&
				 !strcmp(drop_text_find(d->reason)->family, "tx");
		if (same)
			str_printf(out, "  %llu packets of %s were dropped for this so far\n",
				   (unsigned long long)d->count, d->port);
		else if (!reason && at_output)
			str_printf(
				out,
				"  but %s has dropped %llu packets: %s: %s\n    what to do: %s\n",
				d->port, (unsigned long long)d->count, d->reason,
				drop_text_find(d->reason)->help, drop_text_find(d->reason)->remedy);
	}
}

static void print_answer(struct attrs a, void *aux)
{
	struct why *w = aux;
	const char *reason = trace_text_drop(a);
	struct str out = STR_INIT;
	w->lost += !w->was && reason;
	if (w->c->json) {
		print_json_answer(w, a);
		return;
	}
	put_packet(w, &out);
	put_memory(w, &out);
	/* The rules of now may be others than those of then. */
	str_printf(&out, "  %s, from %s on %s: ", w->was ? "now" : "with the rules of now",
		   w->port->name, w->port->bridge);
	trace_text_result(a, &out);
	str_putc(&out, '\n');
	put_counts(w, a, w->was ? w->was->reason : reason, &out);
	fputs(str_cstr(&out), stdout);
	str_free(&out);
}

/* No port is known to ask for what would happen now. */
static void print_without_port(struct why *w)
{
	static const char what[] = "no port is known for its source address: it did not arrive "
				   "lately, or say --port PORT";
	struct str out = STR_INIT;
	if (w->c->json) {
		json_t *o =
			w->was ? remembered_json(w, json_null()) : json_pack("{s:s}", "help", what);
		set_answer(o, w);
		print_json(o, true);
		return;
	}
	put_packet(w, &out);
	put_memory(w, &out);
	if (!w->was)
		str_printf(&out, "  %s\n", what);
	fputs(str_cstr(&out), stdout);
	str_free(&out);
}

static void look_into_memory(struct why *w)
{
	struct dropped_wanted wanted = {.from = w->port ? w->port->name : NULL,
					.only_from = w->given != NULL,
					.time_ns = w->packet->time_ns};
	packet_identity(w->packet->data, w->packet->len, w->packet->wire_len, &wanted.what);
	w->was = dropped_find(&w->memory, &wanted, &w->how);
	w->was_lost += w->was != NULL;
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
	look_into_memory(w);
	if (!w->port) {
		print_without_port(w);
		return true;
	}
	match_init(&t.described);
	t.bridge = w->port->bridge;
	t.in_port = w->port->ofport;
	t.packet = (uint8_t *)p->data;
	t.len = p->len;
	traceable_put(&t, &m);
	w->rc = api_call(w->client, &m, print_answer, w, &w->e);
	if (w->rc && w->was) { /* what would happen now cannot be said, of a port on no bridge */
		w->rc = 0;
		err_clear(&w->e);
		print_without_port(w);
	}
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
	dropped_free(&w->memory);
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
		printf("%zu packets: %zu were dropped, %zu more would be dropped now\n", w.n,
		       w.was_lost, w.lost);
	forget(&w);
	return rc ? command_fail_input(&w.e) : EXIT_OK;
}
