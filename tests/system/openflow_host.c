/* SPDX-License-Identifier: BSD-3-Clause */
/* An OpenFlow switch without a datapath, for system tests: openflow_host RUNDIR [TARGET...] serves
 * bridge "br0" with ports p1, p2, p3 from tables in memory. SIGUSR1 sends a packet-in. Prints
 * "ready". */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/ofswitch.h"
#include "control/openflow/spec.h"
#include "datapath/base/err.h"
#include "tests/unit/openflow/fake_tables.h"

static struct ofswitch_port ports[] = {
	{.ofport = 1, .name = "p1", .mac = {2, 0, 0, 0, 0, 1}, .state = 4},
	{.ofport = 2, .name = "p2", .mac = {2, 0, 0, 0, 0, 2}, .state = 4},
	{.ofport = 3, .name = "p3", .mac = {2, 0, 0, 0, 0, 3}, .state = 4},
	{.ofport = 0xfffffffe, .name = "br0", .mac = {2, 0, 0, 0, 0, 9}, .state = 4},
};
static struct ofswitch *sw;

static void for_each_port(void *aux, ofswitch_port_fn fn, void *fn_aux)
{
	(void)aux;
	for (size_t i = 0; i < SL_ARRAY_SIZE(ports); i++)
		fn(&ports[i], fn_aux);
}

static int port_mod(void *aux, uint32_t ofport, const uint8_t mac[6], uint32_t config,
		    uint32_t mask)
{
	(void)aux, (void)mac;
	for (size_t i = 0; i < SL_ARRAY_SIZE(ports); i++)
		if (ports[i].ofport == ofport) {
			ports[i].config = (ports[i].config & ~mask) | config;
			ofswitch_port_changed(sw, &ports[i], OFPPR_MODIFY);
			return 0;
		}
	return -19;
}

static void on_event(void *aux, const void *attrs)
{
	(void)aux;
	ofswitch_event(sw, *(const struct attrs *)attrs);
}

static void on_term(evutil_socket_t fd, short what, void *aux)
{
	(void)fd, (void)what;
	event_base_loopbreak(aux);
}

static void on_usr1(evutil_socket_t fd, short what, void *aux)
{
	static const uint8_t frame[64] = {1, 2, 3, 4, 5, 6, 2, 0, 0, 0, 0, 1, 0x12, 0x34};
	(void)fd, (void)what;
	fake_tables_packet_in(aux, "br0", 1, frame, sizeof frame);
}

int main(int argc, char **argv)
{
	static const struct ofswitch_ops ops = {.for_each_port = for_each_port,
						.port_mod = port_mod};
	struct event_base *base = event_base_new();
	struct fake_tables *tables = fake_tables_start(base);
	struct ofswitch_controller_config controllers[16];
	struct ofswitch_config config = {.datapath_id = 0x0000020000000009,
					 .controllers = controllers};
	struct err e = {0};
	if (argc < 2)
		return 2;
	for (int i = 2; i < argc && i < 18; i++)
		controllers[config.n_controllers++] =
			(struct ofswitch_controller_config){.target = argv[i],
							    .primary = true,
							    .inactivity_probe_ms = -1,
							    .max_backoff_ms = 1000};
	if (ofswitch_create(&sw, base, fake_tables_client(tables), "br0", argv[1], &ops, NULL,
			    &e) ||
	    ofswitch_configure(sw, &config, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	fake_tables_on_event(tables, on_event, NULL);
	struct event *term = evsignal_new(base, SIGTERM, on_term, base);
	struct event *usr1 = evsignal_new(base, SIGUSR1, on_usr1, tables);
	event_add(term, NULL);
	event_add(usr1, NULL);
	printf("ready\n");
	fflush(stdout);
	event_base_dispatch(base);
	ofswitch_destroy(sw);
	fake_tables_stop(tables);
	event_free(term);
	event_free(usr1);
	event_base_free(base);
	return 0;
}
