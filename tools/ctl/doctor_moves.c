/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses that move to and fro between ports, by the events of the last minute: a loop, or two
 * guests with one address. A guest that has migrated moves once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "tools/ctl/doctor.h"

enum {
	LOOK_BACK_MS = 60000,
	MOVES_MANY = 5,
	EVENTS_BACK = 20000,  /* older ones are not asked for */
	ADDRESSES_MAX = 1000, /* a loop moves them all: enough to say so */
	ADDRESSES_SHOWN = 4,
	ROUNDS_MAX = 1000,
};

struct moving {
	uint8_t mac[6];
	uint16_t vlan;
	unsigned moves;
	char bridge[64], port[64], other[64]; /* where it is, where it was */
};
struct moves {
	uint64_t since_ms;
	uint64_t events; /* heard of */
	VEC(struct moving) list;
};

static struct moving *moving_of(struct moves *m, struct attrs a, const uint8_t *mac)
{
	const char *bridge = attrs_str(a, ATTR_BRIDGE, "");
	uint16_t vlan = (uint16_t)attrs_u64(a, ATTR_VLAN, 0);
	struct moving new = {.vlan = vlan};

	VEC_FOR_EACH (it, &m->list)
		if (!memcmp(it->mac, mac, 6) && it->vlan == vlan && !strcmp(it->bridge, bridge))
			return it;
	if (m->list.len >= ADDRESSES_MAX)
		return NULL;
	memcpy(new.mac, mac, 6);
	snprintf(new.bridge, sizeof new.bridge, "%s", bridge);
	vec_push(&m->list, new);
	return &vec_last(&m->list);
}

static void on_event(struct attrs a, void *aux)
{
	struct moves *m = aux;
	const char *port = attrs_str(a, ATTR_PORT, "");
	struct moving *it;
	size_t len = 0;
	const uint8_t *mac = attrs_bytes(a, ATTR_MAC, &len);

	m->events++;
	if (attrs_u64(a, ATTR_TIME_MS, 0) < m->since_ms || !mac || len != 6 ||
	    strcmp(attrs_str(a, ATTR_STATE, ""), "moved") || !(it = moving_of(m, a, mac)))
		return;
	it->moves++;
	if (strcmp(it->port, port))
		memcpy(it->other, it->port, sizeof it->other);
	snprintf(it->port, sizeof it->port, "%s", port);
}

static void take_next_seq(struct attrs a, void *aux)
{
	*(uint64_t *)aux = attrs_u64(a, ATTR_EVENT_SEQ, 1);
}

/* Answers come behind the events that were there, some at a time: when one comes alone, that was
 * all. */
static void read_events(struct api_client *client, struct moves *m)
{
	uint64_t next = 1, heard;
	struct err e = {0};
	struct msg msg;
	unsigned rounds = 0;

	msg_init(&msg, API_STATUS, 0);
	if (api_call(client, &msg, take_next_seq, &next, &e))
		return;
	api_on_event(client, on_event, m);
	msg_init(&msg, API_SUBSCRIBE, 0);
	msg_put_u64(&msg, ATTR_EVENT_MASK, 1ull << API_EVENT_MAC);
	msg_put_u64(&msg, ATTR_EVENT_SEQ, next > EVENTS_BACK ? next - EVENTS_BACK : 1);
	if (api_call(client, &msg, NULL, NULL, &e))
		return;
	do {
		heard = m->events;
		msg_init(&msg, API_STATUS, 0);
		if (api_call(client, &msg, NULL, NULL, &e))
			return;
	} while (m->events != heard && ++rounds < ROUNDS_MAX);
}

static int by_moves(const void *a, const void *b)
{
	const struct moving *x = a, *y = b;

	return x->moves < y->moves ? 1 : x->moves > y->moves ? -1 : memcmp(x->mac, y->mac, 6);
}

static void report(struct doctor *d, const struct moving *it)
{
	const uint8_t *m = it->mac;
	char mac[18], *remedy;

	snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	remedy = xasprintf("one of two senders needs another address, or there is a loop: sluice "
			   "capture -p %s,%s --in --filter 'ether src %s'",
			   it->port, it->other, mac);
	doctor_find(d, DOCTOR_WARNING, it->bridge, remedy,
		    "address %s, VLAN %u, moves between %s and %s: %u times in the last minute",
		    mac, it->vlan, it->other, it->port, it->moves);
	free(remedy);
}

void check_moves(struct doctor *d)
{
	struct moves m = {.since_ms = clock_wall_ms() - LOOK_BACK_MS};
	struct err e = {0};
	struct api_client *client = d->now.datapath ? facts_connect(d->c, &e) : NULL;
	size_t shown = 0, many = 0;

	if (!client)
		return;
	read_events(client, &m);
	api_close(client);
	if (m.list.len)
		qsort(m.list.at, m.list.len, sizeof *m.list.at, by_moves);
	VEC_FOR_EACH (it, &m.list) {
		if (it->moves < MOVES_MANY || !it->other[0])
			continue;
		many++;
		if (shown < ADDRESSES_SHOWN) {
			report(d, it);
			shown++;
		}
	}
	if (many > shown)
		doctor_find(d, DOCTOR_NOTE, "", "sluice events",
			    "%zu more addresses move between ports", many - shown);
	vec_free(&m.list);
}
