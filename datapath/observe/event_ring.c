/* SPDX-License-Identifier: BSD-3-Clause */
/* Poll thread writes, main reads; see event_ring.h for the invariants. */
#include "datapath/observe/event_ring.h"

#include <stdlib.h>
#include <string.h>

struct event_ring *event_ring_create(void)
{
	struct event_ring *r = aligned_alloc(SL_CACHE_LINE, sizeof *r);

	if (r) /* the data stay untouched: pages come as they are used */
		memset(r, 0, offsetof(struct event_ring, data));
	return r;
}

void event_ring_destroy(struct event_ring *r)
{
	free(r);
}

void *event_ring_reserve(struct event_ring *r, uint8_t kind, uint32_t bytes, uint32_t spare)
{
	uint32_t need = SL_ALIGN_UP(bytes, 8u), at = (uint32_t)(r->head % EVENT_RING_BYTES);
	uint32_t pad = at + need > EVENT_RING_BYTES ? EVENT_RING_BYTES - at : 0;
	uint64_t want = r->head + pad + need + spare;

	if (want - r->tail_seen > EVENT_RING_BYTES) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		if (want - r->tail_seen > EVENT_RING_BYTES)
			return NULL;
	}
	if (pad) {
		struct event_head *h = (void *)(r->data + at);

		*h = (struct event_head){.bytes = pad};
		at = 0;
	}
	struct event_head *h = (void *)(r->data + at);
	*h = (struct event_head){.bytes = need, .kind = kind};
	r->reserved = pad + need;
	return h;
}

void event_ring_commit(struct event_ring *r)
{
	__atomic_store_n(&r->head, r->head + r->reserved, __ATOMIC_RELEASE);
}

const struct event_head *event_ring_peek(struct event_ring *r)
{
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

	while (r->tail != head) {
		const struct event_head *h = (const void *)(r->data + r->tail % EVENT_RING_BYTES);

		if (h->kind)
			return h;
		event_ring_next(r);
	}
	return NULL;
}

void event_ring_next(struct event_ring *r)
{
	const struct event_head *h = (const void *)(r->data + r->tail % EVENT_RING_BYTES);

	__atomic_store_n(&r->tail, r->tail + h->bytes, __ATOMIC_RELEASE);
}
