/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/vhost_ring.h"

#include <string.h>
#include <unistd.h>

#include <rte_memcpy.h>
#include <rte_prefetch.h>
#include <rte_vhost.h>

#include "datapath/core/limits.h"
#include "datapath/offload/offload.h"
#include "datapath/offload/vnet.h"

enum {
	PIECES_MAX = 256,               /* buffers of one chain */
	FRAME_MAX = 65535 + 14 + 2 * 4, /* largest GSO frame with two tags */
	FRAME_MIN = 14,
	INDIRECT_MAX = 1024,
	/* A burst from a guest ends behind so many: long frames are still in this core's cache when
	 * they are sent, and the guest gets its buffers back while the next ones are copied. */
	RX_BURST_BYTES = 65536,
};

struct piece {
	uint8_t *p;
	uint32_t len;
	uint64_t gpa;
};

struct chain {
	uint32_t n;
	uint64_t bytes;
	struct piece piece[PIECES_MAX];
};

/* Reads a descriptor once: the guest may rewrite it while we look. */
static inline struct vring_desc fetch(const struct vring_desc *d)
{
	union {
		uint64_t w[2];
		struct vring_desc d;
	} copy;

	copy.w[0] = __atomic_load_n((const uint64_t *)(const void *)d, __ATOMIC_RELAXED);
	copy.w[1] = __atomic_load_n((const uint64_t *)(const void *)d + 1, __ATOMIC_RELAXED);
	return copy.d;
}

/* The header and a short frame behind it: drivers put the frame on a line of its own, and both
 * lines are in the cache of the core that the guest runs on. */
static inline void ask_for(const uint8_t *p)
{
	rte_prefetch0(p);
	rte_prefetch0(p + SL_CACHE_LINE);
}

static inline void ask_to_write(const uint8_t *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0\n\tprefetchw %1" : : "m"(p[0]), "m"(p[SL_CACHE_LINE]));
#else
	__builtin_prefetch(p, 1);
	__builtin_prefetch(p + SL_CACHE_LINE, 1);
#endif
}

/* Host address of gpa; *len is cut to what is contiguous; NULL when it is no guest memory. */
static inline uint8_t *translate(struct vhost_ring *r, uint64_t gpa, uint64_t *len)
{
	const struct guest_mem *m = r->mem;

	for (uint32_t k = 0; k < m->n; k++) {
		uint32_t i = r->region + k < m->n ? r->region + k : r->region + k - m->n;
		const struct guest_region *g = &m->r[i];

		if (gpa - g->gpa < g->size) {
			*len = SL_MIN(*len, g->size - (gpa - g->gpa));
			r->region = i;
			return g->hva + (gpa - g->gpa);
		}
	}
	return NULL;
}

static bool add_piece(struct vhost_ring *r, struct chain *c, uint64_t gpa, uint32_t bytes)
{
	while (bytes) {
		uint64_t len = bytes;
		uint8_t *p = translate(r, gpa, &len);

		if (!p || c->n == PIECES_MAX)
			return false;
		c->piece[c->n++] = (struct piece){p, (uint32_t)len, gpa};
		c->bytes += len;
		gpa += len;
		bytes -= (uint32_t)len;
	}
	return true;
}

/* Appends the buffers of the chain that starts at `head`, all readable or all writable. False:
 * malformed. */
static bool gather(struct vhost_ring *r, uint16_t head, bool writable, struct chain *c)
{
	const struct vring_desc *table = r->desc;
	uint32_t entries = r->size, at = head;
	struct vring_desc d = fetch(&table[head]);

	if (d.flags & VRING_DESC_F_INDIRECT) {
		uint64_t len = d.len;
		const uint8_t *p = translate(r, d.addr, &len);

		entries = d.len / sizeof d;
		if (!p || len != d.len || d.len % sizeof d || !entries || entries > INDIRECT_MAX ||
		    (uintptr_t)p % 8 || (d.flags & VRING_DESC_F_NEXT))
			return false;
		table = (const void *)p;
		at = 0;
		d = fetch(&table[0]);
	}
	for (uint32_t steps = 1;; steps++) {
		if ((d.flags & VRING_DESC_F_INDIRECT) ||
		    !!(d.flags & VRING_DESC_F_WRITE) != writable || !add_piece(r, c, d.addr, d.len))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return true;
		at = d.next;
		if (at >= entries || steps == entries)
			return false;
		d = fetch(&table[at]);
	}
}

/* Entries the guest made available; breaks the ring when that is impossible. */
static inline uint16_t available(struct vhost_ring *r)
{
	uint16_t n = (uint16_t)(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE) - r->last_avail);

	if (SL_UNLIKELY(n > r->size)) {
		r->broken = true;
		return 0;
	}
	return n;
}

uint16_t vhost_ring_waiting(const struct vhost_ring *r)
{
	return (uint16_t)(__atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE) - r->last_avail);
}

static inline void put_used(struct vhost_ring *r, uint16_t i, uint16_t head, uint32_t len)
{
	struct vring_used_elem *u = &r->used->ring[(uint16_t)(r->last_used + i) & (r->size - 1)];

	u->id = head;
	u->len = len;
}

static void publish_used(struct vhost_ring *r, uint16_t n)
{
	if (SL_UNLIKELY(r->log)) {
		for (uint16_t i = 0; i < n; i++) {
			uint16_t slot = (uint16_t)(r->last_used + i) & (r->size - 1);

			rte_vhost_log_used_vring(r->vid, r->index,
						 offsetof(struct vring_used, ring[slot]),
						 sizeof(struct vring_used_elem));
		}
	}
	r->last_used = (uint16_t)(r->last_used + n);
	__atomic_store_n(&r->used->idx, r->last_used, __ATOMIC_RELEASE);
	if (SL_UNLIKELY(r->log))
		rte_vhost_log_used_vring(r->vid, r->index, offsetof(struct vring_used, idx),
					 sizeof r->used->idx);
}

/* ---- from the guest ---- */

/* Fills m from the chain, behind its header; takes more buffers as needed. */
static bool copy_in(const struct chain *c, uint32_t skip, struct rte_mbuf *head,
		    struct rte_mempool *pool)
{
	struct rte_mbuf *tail = head;
	uint32_t i = 0, left = (uint32_t)c->bytes - skip;

	head->pkt_len = left;
	while (i < c->n && skip >= c->piece[i].len)
		skip -= c->piece[i++].len;
	for (uint32_t off = skip; left; i++, off = 0) {
		const struct piece *p = &c->piece[i];

		while (off < p->len) {
			uint32_t room = rte_pktmbuf_tailroom(tail);

			if (!room) {
				tail->next = rte_pktmbuf_alloc(pool);
				if (!tail->next)
					return false;
				tail = tail->next;
				head->nb_segs++;
				room = rte_pktmbuf_tailroom(tail);
			}
			uint32_t k = SL_MIN(p->len - off, room);
			rte_memcpy(rte_pktmbuf_mtod_offset(tail, void *, tail->data_len),
				   p->p + off, k);
			tail->data_len = (uint16_t)(tail->data_len + k);
			off += k;
			left -= k;
		}
	}
	return true;
}

static void copy_header(const struct chain *c, uint32_t bytes, void *to)
{
	uint8_t *dst = to;

	for (uint32_t i = 0; bytes; i++) {
		uint32_t k = SL_MIN(bytes, c->piece[i].len);

		memcpy(dst, c->piece[i].p, k);
		dst += k;
		bytes -= k;
	}
}

#define COUNT_DROP(d, n_bytes)                                                                     \
	do {                                                                                       \
		(d).pkts++;                                                                        \
		(d).bytes += (n_bytes);                                                            \
	} while (0)

/* Any chain into m. False: dropped and counted, m is empty again. */
static bool rx_chain(struct vhost_ring *r, uint16_t head, struct rte_mbuf *m,
		     struct rte_mempool *pool, struct virtio_net_hdr_mrg_rxbuf *hdr,
		     struct vhost_rx_drops *drops)
{
	struct chain c;

	c.n = 0;
	c.bytes = 0;
	if (!gather(r, head, false, &c) || c.bytes < r->hdr_bytes ||
	    c.bytes > (uint64_t)FRAME_MAX + r->hdr_bytes) {
		COUNT_DROP(drops->bad_chain, 0);
		return false;
	}
	uint64_t frame = c.bytes - r->hdr_bytes;
	if (frame < FRAME_MIN) {
		COUNT_DROP(drops->truncated, frame);
		return false;
	}
	copy_header(&c, r->hdr_bytes, hdr);
	if (copy_in(&c, r->hdr_bytes, m, pool))
		return true;
	COUNT_DROP(drops->no_mbuf, frame);
	rte_pktmbuf_free(m->next);
	m->next = NULL;
	m->nb_segs = 1;
	m->data_len = 0;
	m->pkt_len = 0;
	return false;
}

/* The usual packet: one readable descriptor, one buffer. */
static inline bool rx_simple(struct vhost_ring *r, const struct vring_desc *d, const uint8_t *p,
			     struct rte_mbuf *m, struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	uint32_t frame = d->len - r->hdr_bytes;

	if (!p || d->flags || frame - FRAME_MIN > (uint32_t)rte_pktmbuf_tailroom(m) - FRAME_MIN)
		return false;
	memcpy(hdr, p, 10);
	rte_memcpy(rte_pktmbuf_mtod(m, void *), p + r->hdr_bytes, frame);
	m->data_len = (uint16_t)frame;
	m->pkt_len = frame;
	return true;
}

uint16_t vhost_ring_rx(struct vhost_ring *r, struct rte_mempool *pool, struct rte_mbuf **pkts,
		       uint16_t n, struct vhost_rx_drops *drops)
{
	struct rte_mbuf *m[BURST_MAX];
	uint16_t heads[BURST_MAX], got = 0, mask = (uint16_t)(r->size - 1), i;
	struct vring_desc first[BURST_MAX];
	const uint8_t *at[BURST_MAX];
	uint64_t bytes = 0;

	if (r->broken)
		return 0;
	/* Read once: the guest may make more available between two looks. */
	uint16_t waiting = available(r);
	n = SL_MIN(n, (uint16_t)BURST_MAX);
	n = SL_MIN(n, waiting);
	if (!n || rte_pktmbuf_alloc_bulk(pool, m, n))
		return 0;
	for (i = 0; i < n; i++) {
		heads[i] = __atomic_load_n(&r->avail->ring[(uint16_t)(r->last_avail + i) & mask],
					   __ATOMIC_RELAXED);
		rte_prefetch0(&r->desc[heads[i] & mask]);
	}
	for (i = 0; i < n; i++) {
		uint64_t len;

		if (SL_UNLIKELY(heads[i] >= r->size)) {
			r->broken = true;
			COUNT_DROP(drops->bad_chain, 0);
			rte_pktmbuf_free_bulk(m + i, n - i);
			n = i;
			break;
		}
		first[i] = fetch(&r->desc[heads[i]]);
		len = first[i].len;
		at[i] = translate(r, first[i].addr, &len);
		if (len < first[i].len)
			at[i] = NULL; /* goes on in another region: the long way */
		else if (at[i])
			ask_for(at[i]);
	}
	for (i = 0; i < n; i++) {
		struct virtio_net_hdr_mrg_rxbuf hdr;

		if (SL_UNLIKELY(bytes >= RX_BURST_BYTES)) {
			rte_pktmbuf_free_bulk(m + i, n - i);
			n = i;
			break;
		}
		if (!rx_simple(r, &first[i], at[i], m[i], &hdr) &&
		    !rx_chain(r, heads[i], m[i], pool, &hdr, drops)) {
			rte_pktmbuf_free(m[i]);
			continue;
		}
		bytes += m[i]->pkt_len;
		if (SL_UNLIKELY(!vnet_is_plain(&hdr.hdr)) &&
		    vnet_to_mbuf(&hdr.hdr, m[i]) != DROP_NONE) {
			COUNT_DROP(drops->bad_offload, m[i]->pkt_len);
			rte_pktmbuf_free(m[i]);
			continue;
		}
		pkts[got++] = m[i];
	}
	/* Behind the copies: what reads the packets next need not wait until the guest's core has
	 * given up these lines. */
	for (i = 0; i < n; i++)
		put_used(r, i, heads[i], 0);
	if (n) {
		r->last_avail = (uint16_t)(r->last_avail + n);
		publish_used(r, n);
		vhost_ring_signal(r);
	}
	return got;
}

/* ---- to the guest ---- */

static void copy_out(struct vhost_ring *r, const struct chain *c, const void *hdr,
		     const struct rte_mbuf *m)
{
	const uint8_t *src = hdr;
	uint32_t src_left = r->hdr_bytes;

	for (uint32_t i = 0; i < c->n; i++) {
		const struct piece *p = &c->piece[i];
		uint32_t off = 0;

		while (off < p->len) {
			while (!src_left) {
				if (!m) {
					if (r->log && off)
						rte_vhost_log_write(r->vid, p->gpa, off);
					return;
				}
				src = rte_pktmbuf_mtod(m, const uint8_t *);
				src_left = m->data_len;
				m = m->next;
			}
			uint32_t k = SL_MIN(p->len - off, src_left);
			rte_memcpy(p->p + off, src, k);
			off += k;
			src += k;
			src_left -= k;
		}
		if (SL_UNLIKELY(r->log))
			rte_vhost_log_write(r->vid, p->gpa, p->len);
	}
}

static inline void make_header(const struct vhost_ring *r, const struct rte_mbuf *m,
			       struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	memset(hdr, 0, sizeof *hdr);
	hdr->num_buffers = 1;
	if (m->ol_flags & (OFFLOAD_PENDING | RTE_MBUF_F_RX_L4_CKSUM_MASK))
		vnet_from_mbuf(m, &hdr->hdr);
	if (!r->guest_csum)
		hdr->hdr.flags &= (uint8_t)~VIRTIO_NET_HDR_F_DATA_VALID;
}

/* make_header() into the guest's memory, from registers. A header that is put together in memory
 * and read back in wider pieces waits until every store before it is done, those into lines that
 * another core has included: one packet after the other. */
static inline void put_header(const struct vhost_ring *r, const struct rte_mbuf *m, uint8_t *to)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	bool good = (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	uint64_t first = good && r->guest_csum ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
	uint32_t last = 1u << 16; /* csum_offset 0, num_buffers 1 */

	_Static_assert(sizeof hdr == 12 &&
			       offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers) == 10,
		       "what `last` is");
	if (SL_UNLIKELY(m->ol_flags & OFFLOAD_PENDING)) {
		make_header(r, m, &hdr);
		memcpy(to, &hdr, r->hdr_bytes == 12 ? 12 : 10);
		return;
	}
	memcpy(to, &first, sizeof first);
	if (r->hdr_bytes == 12)
		memcpy(to + sizeof first, &last, 4);
	else
		memcpy(to + sizeof first, &last, 2);
}

/* One packet through one or, when mergeable, several chains. Returns the used entries written (from
 * `used` on), 0 when the guest has not enough room now, -1 when it never fits. */
static int tx_chains(struct vhost_ring *r, const struct rte_mbuf *m, uint16_t used, uint16_t free)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	struct chain c;
	uint64_t need = (uint64_t)r->hdr_bytes + m->pkt_len;
	uint16_t n = 0;

	c.n = 0;
	c.bytes = 0;
	make_header(r, m, &hdr);
	while (c.bytes < need) {
		uint64_t before = c.bytes;
		uint16_t head;

		if (n == free)
			return 0;
		if (n && !r->mergeable)
			return -1;
		head = __atomic_load_n(
			&r->avail->ring[(uint16_t)(r->last_avail + used + n) & (r->size - 1)],
			__ATOMIC_RELAXED);
		if (head >= r->size || !gather(r, head, true, &c) || c.bytes == before) {
			r->broken = true; /* a receive buffer that is none */
			return 0;
		}
		put_used(r, used + n, head, (uint32_t)(SL_MIN(c.bytes, need) - before));
		n++;
	}
	hdr.num_buffers = n;
	copy_out(r, &c, &hdr, m);
	return n;
}

/* The usual packet: one buffer, into one writable descriptor. */
static inline bool tx_simple(struct vhost_ring *r, const struct rte_mbuf *m,
			     const struct vring_desc *d, uint8_t *to)
{
	if (!to || d->flags != VRING_DESC_F_WRITE || m->nb_segs != 1 ||
	    d->len < r->hdr_bytes + m->pkt_len)
		return false;
	put_header(r, m, to);
	rte_memcpy(to + r->hdr_bytes, rte_pktmbuf_mtod(m, const void *), m->data_len);
	if (SL_UNLIKELY(r->log))
		rte_vhost_log_write(r->vid, d->addr, r->hdr_bytes + m->pkt_len);
	return true;
}

uint16_t vhost_ring_tx(struct vhost_ring *r, struct rte_mbuf *const *pkts, uint16_t n,
		       uint32_t *refused)
{
	uint16_t mask = (uint16_t)(r->size - 1), used = 0, i, ahead, free;
	struct vring_desc d[BURST_MAX];
	uint8_t *to[BURST_MAX];
	uint16_t heads[BURST_MAX];

	if (r->broken)
		return 0;
	n = SL_MIN(n, (uint16_t)BURST_MAX);
	free = available(r);
	ahead = SL_MIN(n, free);
	for (i = 0; i < ahead; i++) {
		heads[i] = __atomic_load_n(&r->avail->ring[(uint16_t)(r->last_avail + i) & mask],
					   __ATOMIC_RELAXED);
		rte_prefetch0(&r->desc[heads[i] & mask]);
	}
	for (i = 0; i < ahead; i++) {
		uint64_t len;

		d[i] = fetch(&r->desc[heads[i] & mask]);
		len = d[i].len;
		to[i] = heads[i] < r->size ? translate(r, d[i].addr, &len) : NULL;
		if (len < d[i].len)
			to[i] = NULL;
		else if (to[i])
			ask_to_write(to[i]);
	}
	for (i = 0; i < n && used < free; i++) {
		/* While every packet took one entry, entry i is the one looked at above. */
		if (used < ahead && tx_simple(r, pkts[i], &d[used], to[used])) {
			put_used(r, used, heads[used], r->hdr_bytes + pkts[i]->pkt_len);
			used++;
			continue;
		}
		int k = tx_chains(r, pkts[i], used, (uint16_t)(free - used));
		if (!k)
			break;
		if (k < 0)
			++*refused;
		else
			used = (uint16_t)(used + k);
	}
	if (used) {
		r->last_avail = (uint16_t)(r->last_avail + used);
		publish_used(r, used);
	}
	return i;
}

/* ---- notifications ---- */

void vhost_ring_signal(struct vhost_ring *r)
{
	uint16_t old = r->signalled, now = r->last_used;
	static const uint64_t one = 1;

	if (old == now && r->signalled_valid)
		return;
	/* Our used index must be visible before the guest's wish is read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	bool wanted;
	if (r->event_idx) {
		uint16_t event = __atomic_load_n(&r->avail->ring[r->size], __ATOMIC_RELAXED);

		wanted = !r->signalled_valid || vring_need_event(event, now, old);
	} else {
		wanted = !(__atomic_load_n(&r->avail->flags, __ATOMIC_RELAXED) &
			   VRING_AVAIL_F_NO_INTERRUPT);
	}
	r->signalled = now;
	r->signalled_valid = true;
	if (wanted && r->callfd >= 0) {
		ssize_t ret = write(r->callfd, &one, sizeof one); /* non-blocking */

		(void)ret;
	}
}

bool vhost_ring_arm(struct vhost_ring *r)
{
	if (r->broken)
		return true;
	if (r->event_idx)
		__atomic_store_n((uint16_t *)(void *)&r->used->ring[r->size], r->last_avail,
				 __ATOMIC_RELAXED);
	else
		__atomic_store_n(&r->used->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !vhost_ring_waiting(r);
}

void vhost_ring_disarm(struct vhost_ring *r)
{
	/* With event indices the old one stays behind and asks for nothing. */
	if (!r->broken && !r->event_idx)
		__atomic_store_n(&r->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}
