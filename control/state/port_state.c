/* SPDX-License-Identifier: BSD-3-Clause */
/* Run-time knowledge per port, and the back-off of those that fail. */
#include "control/state/port_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"

struct port_state *port_states_find(const struct port_states *s, const char *name)
{
	HMAP_FOR_EACH_WITH_HASH (p, struct port_state, node, hash_string(name), &s->by_name)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

struct port_state *port_states_get(struct port_states *s, const char *name)
{
	struct port_state *p = port_states_find(s, name);
	if (!p) {
		p = xzalloc(sizeof *p);
		p->name = xstrdup(name);
		hmap_insert(&s->by_name, &p->node, hash_string(name));
	}
	return p;
}

static void forget(struct port_states *s, struct port_state *p)
{
	hmap_remove(&s->by_name, &p->node);
	config_port_free(p->failed);
	free(p->error);
	free(p->peer_error);
	free(p->name);
	free(p);
}

void port_states_free(struct port_states *s)
{
	HMAP_FOR_EACH_SAFE (p, struct port_state, node, &s->by_name)
		forget(s, p);
	hmap_destroy(&s->by_name);
}

static void check_peer(struct port_state *s, const struct config_port *p,
		       const struct config *wanted)
{
	const char *name = NULL;
	char *text = NULL;

	VEC_FOR_EACH (o, &p->options)
		if (!strcmp(o->key, "peer"))
			name = o->value;
	const struct config_port *peer = name ? config_find_port(wanted, name) : NULL;
	if (!peer || strcmp(peer->type, "patch"))
		text = xasprintf("port %s: options:peer: %s: there is no such patch port", p->name,
				 name ? name : "");
	config_set_str(&s->peer_error, text);
	free(text);
}

const char *port_state_error(const struct port_state *p)
{
	return p->error ? p->error : p->peer_error;
}

void port_states_keep(struct port_states *s, const struct config *wanted)
{
	HMAP_FOR_EACH_SAFE (p, struct port_state, node, &s->by_name)
		if (!config_find_port(wanted, p->name))
			forget(s, p);
	VEC_FOR_EACH (p, &wanted->ports)
		if (!strcmp((*p)->type, "patch"))
			check_peer(port_states_get(s, (*p)->name), *p, wanted);
}

void port_state_fail(struct port_state *p, const struct config_port *attempted, const char *why,
		     uint64_t now_ms)
{
	bool again = p->failed && config_port_eq(p->failed, attempted);
	p->retry_delay_ms =
		again ? SL_MIN(p->retry_delay_ms * 2, PORT_RETRY_MAX_MS) : PORT_RETRY_FIRST_MS;
	p->retry_at_ms = now_ms + p->retry_delay_ms;
	config_set_str(&p->error, why);
	if (!again) {
		config_port_free(p->failed);
		p->failed = config_port_copy(attempted);
	}
}

void port_state_succeed(struct port_state *p)
{
	config_port_free(p->failed);
	p->failed = NULL;
	config_set_str(&p->error, NULL);
	p->retry_delay_ms = 0;
}

bool port_state_holds_back(const struct port_state *p, const struct config_port *wanted,
			   uint64_t now_ms)
{
	return p && p->failed && now_ms < p->retry_at_ms && config_port_eq(p->failed, wanted);
}

uint64_t port_states_next_retry_ms(const struct port_states *s)
{
	uint64_t next = UINT64_MAX;
	HMAP_FOR_EACH (p, struct port_state, node, &s->by_name)
		if (p->failed)
			next = SL_MIN(next, p->retry_at_ms);
	return next;
}

void port_status_read(struct port_status *st, struct attrs object)
{
	const struct attr *nest = attrs_find(object, ATTR_STATUS);
	struct attrs a = nest ? attr_nest(nest) : object;
	size_t len;
	const void *mac = attrs_bytes(a, ATTR_MAC, &len);

	memset(st, 0, sizeof *st);
	st->known = true;
	st->id = (uint32_t)attrs_u64(object, ATTR_PORT_ID, attrs_u64(object, ATTR_ID, 0));
	st->mtu = (uint32_t)attrs_u64(a, ATTR_MTU, 0);
	if (mac && len == 6)
		memcpy(st->mac, mac, 6);
	st->admin_up = attrs_u64(a, ATTR_ADMIN_UP, 0);
	st->link_up = attrs_u64(a, ATTR_LINK_UP, 0);
	st->full_duplex = attrs_u64(a, ATTR_FULL_DUPLEX, 0);
	st->link_speed_bps = attrs_u64(a, ATTR_LINK_SPEED_BPS, 0);
	st->link_resets = (uint32_t)attrs_u64(a, ATTR_LINK_RESETS, 0);
	st->ifindex = (uint32_t)attrs_u64(a, ATTR_IFINDEX, 0);
	st->n_rxq = (uint16_t)attrs_u64(a, ATTR_N_RXQ, 0);
	st->n_txq = (uint16_t)attrs_u64(a, ATTR_N_TXQ, 0);
	snprintf(st->state, sizeof st->state, "%s", attrs_str(a, ATTR_STATE, ""));
	snprintf(st->detail, sizeof st->detail, "%s", attrs_str(a, ATTR_DETAIL, ""));
	st->lost = !strcmp(st->state, "lost") || strstr(st->detail, "error=removed");
}
