/* SPDX-License-Identifier: BSD-3-Clause */
/* MACS. */
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/poll/poll.h"
#include "datapath/server/dump.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"
#include "datapath/table/bridge.h"
#include "datapath/table/mac_table.h"

struct mac_dump {
	struct dump d;
	struct dump_filter filter;
	uint32_t port_id;   /* 0: any */
	uint32_t bridge_id; /* in work; 0: none yet */
	uint32_t pos;       /* in its table */
};

static void put_entry(struct msg *m, const struct bridge *b, const struct mac_entry *e)
{
	const struct port_object *p = registry_port_by_id(e->port_id);
	uint64_t used = SL_MAX(__atomic_load_n(&e->credit.used_ms, __ATOMIC_RELAXED), e->learnt_ms);
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_str(m, ATTR_BRIDGE, b->name);
	msg_put_u16(m, ATTR_VLAN, e->vlan);
	msg_put_bytes(m, ATTR_MAC, e->mac, sizeof e->mac);
	msg_put_str(m, ATTR_PORT, p ? p->o.name : "");
	msg_put_u8(m, ATTR_STATIC, e->is_static);
	if (!e->is_static)
		msg_put_u32(m, ATTR_AGE_S, (uint32_t)((clock_mono_ms() - used) / 1000));
	msg_put_u64(m, ATTR_PKTS, e->credit.pkts);
	msg_put_u64(m, ATTR_BYTES_COUNT, e->credit.bytes);
	msg_nest_end(m, at);
}

static bool wants_bridge(const struct mac_dump *s, const struct bridge *b)
{
	return !*s->filter.bridge || !strcmp(s->filter.bridge, b->name);
}

/* False when the message is full. */
static bool put_table(struct mac_dump *s, const struct bridge *b, struct msg *m)
{
	const struct mac_entry *e;

	while (dump_has_room(m)) {
		e = mac_table_next(b->macs, &s->pos);
		if (!e)
			return true;
		if (!s->port_id || s->port_id == e->port_id)
			put_entry(m, b, e);
	}
	return false;
}

static bool step(struct dump *d, struct msg *m)
{
	struct mac_dump *s = SL_CONTAINER_OF(d, struct mac_dump, d);

	for (;;) {
		struct bridge *b = bridge_by_id(s->bridge_id); /* gone meanwhile: NULL */

		if (b && wants_bridge(s, b) && !put_table(s, b, m))
			return true;
		b = dump_bridge_after(s->bridge_id);
		if (!b)
			return false;
		s->bridge_id = b->id;
		s->pos = 0;
	}
}

static void free_macs(struct dump *d)
{
	free(SL_CONTAINER_OF(d, struct mac_dump, d));
}

void request_MACS(struct conn *c, struct attrs a)
{
	struct mac_dump *s = xzalloc(sizeof *s);

	s->d = (struct dump){step, free_macs};
	dump_filter_init(&s->filter, a);
	if (dump_refused(c, &s->filter)) {
		free(s);
		return;
	}
	if (*s->filter.port)
		s->port_id = registry_port(s->filter.port)->id;
	poll_credit_collect(); /* ages count from the last packet */
	conn_dump(c, &s->d);
}
