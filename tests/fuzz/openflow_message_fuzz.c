/* SPDX-License-Identifier: BSD-3-Clause */
/* What a controller sends: any bytes after a hello. The switch must stay up, answer only with whole
 * messages of the version agreed, and free what it took. Input: bytes of one connection, the first
 * message choosing the version when it is a hello. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/ofswitch_priv.h"
#include "datapath/base/log.h"
#include "tests/unit/openflow/fake_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_base *base;
static struct ofswitch *sw;

static void for_each_port(void *aux, ofswitch_port_fn fn, void *fn_aux)
{
	static const struct ofswitch_port port = {.ofport = 1, .name = "p1"};
	(void)aux;
	fn(&port, fn_aux);
}

static int port_mod(void *aux, uint32_t ofport, const uint8_t mac[6], uint32_t config,
		    uint32_t mask)
{
	(void)aux, (void)mac, (void)config, (void)mask;
	return ofport == 1 ? 0 : -1;
}

static void on_event(void *aux, const void *attrs)
{
	(void)aux;
	ofswitch_event(sw, *(const struct attrs *)attrs);
}

static void start(void)
{
	static const struct ofswitch_ops ops = {.for_each_port = for_each_port,
						.port_mod = port_mod};
	char dir[] = "/tmp/ofuzzXXXXXX";
	struct err e = {0};
	log_set_levels("off", NULL);
	base = event_base_new();
	struct fake_tables *tables = fake_tables_start(base);
	if (!mkdtemp(dir) ||
	    ofswitch_create(&sw, base, fake_tables_client(tables), "br0", dir, &ops, NULL, &e))
		abort();
	fake_tables_on_event(tables, on_event, NULL);
}

/* Everything that came back is a sequence of OpenFlow messages. */
static void check_output(struct evbuffer *out)
{
	uint8_t head[OFP_HEADER_BYTES];
	while (evbuffer_copyout(out, head, sizeof head) == sizeof head) {
		size_t len = load_be16(head + 2);
		if (len < sizeof head || evbuffer_get_length(out) < len || head[0] < OFP10 ||
		    head[0] > OFP15)
			abort();
		evbuffer_drain(out, len);
	}
	if (evbuffer_get_length(out))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t hello13[] = {OFP13, 0, 0, 8, 0, 0, 0, 1};
	struct bufferevent *pair[2];
	if (!sw)
		start();
	bufferevent_pair_new(base, BEV_OPT_DEFER_CALLBACKS | BEV_OPT_CLOSE_ON_FREE, pair);
	bufferevent_enable(pair[1], EV_READ | EV_WRITE);
	ofconn_create(sw, pair[0], OFCONN_CONTROLLER, NULL, "fuzz");
	if (size < 2 || data[1] != OFPT_HELLO)
		bufferevent_write(pair[1], hello13, sizeof hello13);
	bufferevent_write(pair[1], data, size);
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	check_output(bufferevent_get_input(pair[1]));
	LIST_FOR_EACH_SAFE (c, struct ofconn, node, &sw->conns)
		ofconn_destroy(c);
	bufferevent_free(pair[1]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return 0;
}
