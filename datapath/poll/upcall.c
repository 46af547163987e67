/* SPDX-License-Identifier: BSD-3-Clause */
/* From poll threads to the main thread: a ring of heap blocks and an eventfd that is written only
 * when the ring was empty. The ring bounds what traffic can make the main thread do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "datapath/core/pool.h"
#include "datapath/flow/action.h"
#include "datapath/observe/record.h"
#include "datapath/poll/poll_priv.h"

enum {
	UPCALLS = 4096,
	BYTES_MAX = 32 << 20, /* of packets in the ring, or little more */
};

static struct rte_ring *ring;
static int event_fd = -1;
static uint64_t bytes; /* of packets in the ring; atomic, relaxed */

int upcall_init(void)
{
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ring = rte_ring_create("upcalls", UPCALLS, SOCKET_ID_ANY, RING_F_SC_DEQ);
	return ring && event_fd >= 0 ? 0 : -ENOMEM;
}

int poll_upcall_fd(void)
{
	return event_fd;
}

bool upcall_post(struct poll_upcall *u)
{
	uint64_t one = 1;
	bool was_empty = rte_ring_empty(ring);

	__atomic_add_fetch(&bytes, u->packet_len, __ATOMIC_RELAXED);
	if (rte_ring_mp_enqueue(ring, u)) {
		__atomic_sub_fetch(&bytes, u->packet_len, __ATOMIC_RELAXED);
		return false;
	}
	if (was_empty && write(event_fd, &one, sizeof one) < 0) {
		/* EAGAIN: the descriptor is readable already. */
	}
	return true;
}

bool upcall_packet_in(struct exec *x, const struct packet *p, uint8_t reason,
		      uint16_t controller_id, const struct prog_controller *c,
		      const uint8_t *userdata)
{
	/* All of it: nobody keeps packets for controllers (OpenFlow 1.5.1 §6.1.2). */
	uint32_t len = SL_MIN(p->m->pkt_len, 65535u);
	struct poll_upcall *u;
	struct flow_offsets ofs;

	if (rte_ring_full(ring) || __atomic_load_n(&bytes, __ATOMIC_RELAXED) + len > BYTES_MAX)
		return false;
	u = aligned_alloc(SL_CACHE_LINE,
			  SL_ALIGN_UP(sizeof *u + c->userdata_len + len, SL_CACHE_LINE));
	if (!u)
		return false;
	memset(u, 0, sizeof *u);
	u->kind = UPCALL_PACKET_IN;
	u->bridge_id = c->bridge_id;
	u->of_in_port = c->of_in_port;
	u->port_id = p->s.in_port;
	u->reason = reason;
	u->table = c->table;
	u->pause = c->pause;
	u->controller_id = controller_id;
	u->max_len = c->max_len;
	u->userdata_len = c->userdata_len;
	u->meter_id = c->meter_id;
	u->cookie = c->cookie;
	u->frozen_id = c->frozen_id;
	u->orig_len = p->m->pkt_len;
	u->packet_len = len;
	memcpy(&u->flow.regs, c->regs, sizeof u->flow.regs);
	memcpy(u->data, userdata, c->userdata_len);
	const void *d = rte_pktmbuf_read(p->m, 0, len, u->data + c->userdata_len);
	if (d != u->data + c->userdata_len)
		memcpy(u->data + c->userdata_len, d, len);
	flow_extract(u->data + c->userdata_len, len, p->m->pkt_len, &u->flow.key, &ofs);
	u->flow.key.in_port = p->s.in_port;
	u->flow.key.ct_state = p->s.ct_state;
	u->flow.key.ct_zone = cpu_to_be16(p->s.ct_zone);
	u->flow.key.ct_mark = cpu_to_be32(p->s.ct_mark);
	if (upcall_post(u)) {
		if (record_on())
			record_out(RECORD_CONTROLLER, &p->m, 1);
		return true;
	}
	free(u);
	return false;
}

static struct poll_upcall *take(void)
{
	struct poll_upcall *u;
	void *p;

	if (rte_ring_sc_dequeue(ring, &p))
		return NULL;
	u = p;
	__atomic_sub_fetch(&bytes, u->packet_len, __ATOMIC_RELAXED);
	return u;
}

struct poll_upcall *poll_upcall_next(void)
{
	struct poll_upcall *u = take();
	uint64_t v;

	if (u)
		return u;
	if (read(event_fd, &v, sizeof v) < 0) {
		/* nothing was signalled */
	}
	/* One may have come between the two. */
	return take();
}
