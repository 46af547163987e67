/* SPDX-License-Identifier: BSD-3-Clause */
/* What a controller sends: any bytes after a hello. The switch must stay up, answer only with whole
 * messages of the version agreed, and free what it took. Flow mods survive encoding. Input: bytes
 * of one connection, the first message choosing the version when it is a hello. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/openflow/action_codec.h"
#include "control/openflow/ofswitch_priv.h"
#include "control/openflow/oxm.h"
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

/* What was decoded encodes as something that decodes, and then encodes to the same bytes again. */
static void check_actions(const struct flow_mod *fm, uint8_t version)
{
	struct ofbuf once = {0}, twice = {0};
	struct action_buf back = {0};

	ofp_rule_actions_put(&once, version, fm->actions.data, fm->actions.len);
	if (!ofp_rule_actions_get(once.data, once.len, version, &back)) {
		ofp_rule_actions_put(&twice, version, back.data, back.len);
		if (once.len != twice.len || (once.len && memcmp(once.data, twice.data, once.len)))
			abort();
	} else if (once.len < UINT16_MAX / 2) {
		abort();
	}
	action_buf_free(&back);
	ofbuf_free(&once);
	ofbuf_free(&twice);
}

static void check_match(const struct flow_mod *fm, uint8_t version)
{
	struct match *back = aligned_alloc(64, sizeof *back);
	struct ofbuf b = {0};

	ofp_match_put(&b, &fm->match, version);
	struct ofcur c = {.p = b.data, .end = b.data + b.len};
	enum ofp_err err = ofp_match_get(&c, version, back);
	if (err || memcmp(back, &fm->match, sizeof *back))
		abort();
	ofbuf_free(&b);
	free(back);
}

static void check_flow_mods(const uint8_t *data, size_t size)
{
	while (size >= OFP_HEADER_BYTES && load_be16(data + 2) >= OFP_HEADER_BYTES &&
	       load_be16(data + 2) <= size) {
		struct ofmsg m;
		struct flow_mod fm = {0};

		if (!ofmsg_parse(data, load_be16(data + 2), &m) && m.kind == OFMSG_OF &&
		    m.number == OFPT_FLOW_MOD) {
			struct flow_mod_format f = {m.version, false, true};

			if (!flow_mod_get(m.body, f, &fm)) {
				check_actions(&fm, m.version);
				if (m.version >= OFP12) /* earlier ones have no OXM */
					check_match(&fm, m.version);
			}
			flow_mod_free(&fm);
		}
		size -= load_be16(data + 2);
		data += load_be16(data + 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t hello13[] = {OFP13, 0, 0, 8, 0, 0, 0, 1};
	struct bufferevent *pair[2];
	if (!sw)
		start();
	check_flow_mods(data, size);
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
