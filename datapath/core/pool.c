/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>
#include <rte_mempool.h>

#include "datapath/base/err.h"
#include "datapath/base/log.h"

LOG_MODULE(pool);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rte_mempool *pools[RTE_MAX_NUMA_NODES];
static unsigned mbufs_per_node;

static struct rte_mempool *create(int node)
{
	char name[32];

	snprintf(name, sizeof name, "mbufs%d", node);
	/* Cache 256: a poll thread's bursts of 32 to and from the pool without touching the ring.
	 */
	return rte_pktmbuf_pool_create(name, mbufs_per_node, 256, 0,
				       POOL_DATA_ROOM + RTE_PKTMBUF_HEADROOM, node);
}

int pool_init(unsigned n_mbufs, struct err *e)
{
	mbufs_per_node = n_mbufs;
	int node = (int)rte_socket_id();
	if (node < 0)
		node = 0;
	pools[node] = create(node);
	if (!pools[node])
		return err_set(e, rte_errno, "packet buffers: %u of %d bytes: %s: raise --memory",
			       n_mbufs, POOL_MBUF_BYTES, rte_strerror(rte_errno));
	return 0;
}

struct rte_mempool *pool_get(int node)
{
	struct rte_mempool *p;

	if (node < 0 || node >= RTE_MAX_NUMA_NODES)
		node = 0;
	p = __atomic_load_n(&pools[node], __ATOMIC_ACQUIRE);
	if (p)
		return p;
	pthread_mutex_lock(&mutex);
	p = pools[node];
	for (int i = 0; !p && i < RTE_MAX_NUMA_NODES; i++) {
		/* A node without memory of its own uses its neighbour's. */
		if (!i && rte_socket_count() > 1)
			p = create(node);
		if (!p)
			p = pools[i];
	}
	__atomic_store_n(&pools[node], p, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&mutex);
	return p;
}

void pool_usage(unsigned *in_use, unsigned *total)
{
	*in_use = *total = 0;
	for (int i = 0; i < RTE_MAX_NUMA_NODES; i++) {
		bool shared = false;

		for (int j = 0; j < i; j++)
			shared |= pools[j] == pools[i];
		if (!pools[i] || shared)
			continue;
		*in_use += rte_mempool_in_use_count(pools[i]);
		*total += pools[i]->size;
	}
}

static struct rte_mbuf *append_bytes(struct rte_mbuf *head, struct rte_mbuf **tail,
				     struct rte_mempool *pool, const uint8_t *p, uint32_t n)
{
	while (n) {
		struct rte_mbuf *t = *tail;
		uint32_t room = t ? rte_pktmbuf_tailroom(t) : 0;

		if (!room) {
			t = rte_pktmbuf_alloc(pool);
			if (!t) {
				rte_pktmbuf_free(head);
				return NULL;
			}
			if (!head) {
				head = t;
			} else {
				(*tail)->next = t;
				head->nb_segs++;
			}
			*tail = t;
			room = rte_pktmbuf_tailroom(t);
		}
		uint32_t k = SL_MIN(room, n);
		rte_memcpy(rte_pktmbuf_mtod_offset(t, void *, t->data_len), p, k);
		t->data_len = (uint16_t)(t->data_len + k);
		head->pkt_len += k;
		p += k;
		n -= k;
	}
	return head;
}

struct rte_mbuf *pool_copy(const struct rte_mbuf *m)
{
	struct rte_mempool *pool = pool_get(m->pool->socket_id);
	struct rte_mbuf *head = NULL, *tail = NULL;

	for (const struct rte_mbuf *s = m; s; s = s->next) {
		head = append_bytes(head, &tail, pool, rte_pktmbuf_mtod(s, const uint8_t *),
				    s->data_len);
		if (!head && s->data_len)
			return NULL;
	}
	if (head) {
		head->ol_flags = m->ol_flags & ~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL);
		head->tx_offload = m->tx_offload;
		head->tso_segsz = m->tso_segsz;
		head->hash = m->hash;
		head->packet_type = m->packet_type;
		head->port = m->port;
	}
	return head;
}

struct rte_mbuf *pool_from_bytes(const void *data, uint32_t len)
{
	struct rte_mbuf *tail = NULL;

	return append_bytes(NULL, &tail, pool_get((int)rte_socket_id()), data, len);
}

bool pool_linearise(struct rte_mbuf *m, uint32_t n)
{
	struct rte_mbuf *s;

	if (m->data_len >= n)
		return true;
	if (m->pkt_len < n || n > POOL_DATA_ROOM || rte_mbuf_refcnt_read(m) > 1 ||
	    !RTE_MBUF_DIRECT(m))
		return false;
	uint32_t need = n - m->data_len;
	if (rte_pktmbuf_tailroom(m) < need) {
		/* Use the headroom: packets that need this are tiny first segments. */
		if (rte_pktmbuf_headroom(m) + rte_pktmbuf_tailroom(m) < need)
			return false;
		uint8_t *from = rte_pktmbuf_mtod(m, uint8_t *);
		m->data_off = (uint16_t)(m->data_off - (need - rte_pktmbuf_tailroom(m)));
		memmove(rte_pktmbuf_mtod(m, uint8_t *), from, m->data_len);
	}
	while (need && (s = m->next)) {
		uint32_t k = SL_MIN((uint32_t)s->data_len, need);

		memcpy(rte_pktmbuf_mtod_offset(m, void *, m->data_len), rte_pktmbuf_mtod(s, void *),
		       k);
		m->data_len = (uint16_t)(m->data_len + k);
		s->data_off = (uint16_t)(s->data_off + k);
		s->data_len = (uint16_t)(s->data_len - k);
		need -= k;
		if (!s->data_len) {
			m->next = s->next;
			m->nb_segs--;
			rte_pktmbuf_free_seg(s);
		}
	}
	return true;
}
