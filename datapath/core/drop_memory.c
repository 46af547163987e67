/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/drop_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "datapath/base/hash.h"
#include "datapath/core/thread.h"

enum { KINDS = DROP_MEMORY_CHUNKS, PROBES = 8, NO_CHUNK = UINT16_MAX };

struct kind {
	uint32_t key;            /* port << 8 | reason; 0: free */
	uint32_t epoch;          /* of its last drop, kept or not */
	uint16_t oldest, newest; /* chunks, when n_chunks */
	uint16_t n_chunks;
	uint16_t used;  /* places of the newest */
	uint16_t taken; /* in this epoch */
};

struct drop_memory { /* W, R: its thread, but for `at` */
	struct dropped_packet *at;
	uint32_t epoch; /* milliseconds, as the thread counts them */
	uint16_t taken; /* in this epoch */
	uint16_t n_kinds;
	uint16_t free_oldest, free_newest; /* chunks; NO_CHUNK: none */
	uint16_t next[DROP_MEMORY_CHUNKS]; /* in its list */
	struct kind kind[KINDS];
};

_Static_assert(sizeof(struct dropped_packet) == 192, "three lines");
_Static_assert(DROP_N <= 256, "a reason fits its part of the key");

/* W: main (release)  R: the thread, main */
static struct drop_memory *memories[THREADS_ALL];

static struct drop_memory *memory_of(unsigned thread_idx)
{
	return thread_idx < THREADS_ALL ? __atomic_load_n(&memories[thread_idx], __ATOMIC_ACQUIRE)
					: NULL;
}

int drop_memory_thread_create(unsigned thread_idx)
{
	struct drop_memory *m;

	if (memory_of(thread_idx))
		return 0;
	m = calloc(1, sizeof *m);
	if (!m)
		return -ENOMEM;
	m->at = mmap(NULL, DROP_MEMORY_PACKETS * sizeof *m->at, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->at == MAP_FAILED) {
		free(m);
		return -ENOMEM;
	}
	for (uint16_t i = 0; i < DROP_MEMORY_CHUNKS; i++)
		m->next[i] = (uint16_t)(i + 1);
	m->next[DROP_MEMORY_CHUNKS - 1] = NO_CHUNK;
	m->free_newest = DROP_MEMORY_CHUNKS - 1;
	m->epoch = 1;
	__atomic_store_n(&memories[thread_idx], m, __ATOMIC_RELEASE);
	return 0;
}

void drop_memory_tick(unsigned thread_idx)
{
	struct drop_memory *m = memory_of(thread_idx);

	if (SL_LIKELY(m != NULL)) {
		m->epoch++;
		m->taken = 0;
	}
}

/* ---- chunks ---- */

static uint16_t take_oldest(struct drop_memory *m, struct kind *k)
{
	uint16_t c = k->oldest;

	k->oldest = m->next[c];
	k->n_chunks--;
	if (!k->n_chunks)
		k->used = DROP_MEMORY_CHUNK;
	return c;
}

static void give_all(struct drop_memory *m, struct kind *k)
{
	if (!k->n_chunks)
		return;
	m->next[k->newest] = NO_CHUNK;
	if (m->free_oldest == NO_CHUNK)
		m->free_oldest = k->oldest;
	else
		m->next[m->free_newest] = k->oldest;
	m->free_newest = k->newest;
	k->n_chunks = 0;
}

static struct kind *richest(struct drop_memory *m)
{
	struct kind *best = &m->kind[0];

	for (unsigned i = 1; i < KINDS; i++)
		if (m->kind[i].n_chunks > best->n_chunks)
			best = &m->kind[i];
	return best;
}

static void add_chunk(struct drop_memory *m, struct kind *k)
{
	uint16_t c = m->free_oldest;

	if (c != NO_CHUNK)
		m->free_oldest = m->next[c];
	else if (k->n_chunks && k->n_chunks >= DROP_MEMORY_CHUNKS / m->n_kinds)
		c = take_oldest(m, k);
	else
		c = take_oldest(m, richest(m));
	m->next[c] = NO_CHUNK;
	if (k->n_chunks)
		m->next[k->newest] = c;
	else
		k->oldest = c;
	k->newest = c;
	k->n_chunks++;
	k->used = 0;
}

/* ---- kinds ---- */

static struct kind *find(struct drop_memory *m, uint32_t key)
{
	uint32_t at = (uint32_t)hash_u64(key);
	struct kind *k, *silent = &m->kind[at % KINDS];

	for (unsigned i = 0; i < PROBES; i++) {
		k = &m->kind[(at + i) % KINDS];
		if (SL_LIKELY(k->key == key))
			return k;
		if (!k->key) {
			silent = k;
			m->n_kinds++;
			break;
		}
		if (k->epoch < silent->epoch)
			silent = k;
	}
	/* What it held stays readable until it is written over. */
	give_all(m, silent);
	*silent = (struct kind){.key = key, .used = DROP_MEMORY_CHUNK};
	return silent;
}

static bool may_keep(struct drop_memory *m, struct kind *k)
{
	if (k->epoch != m->epoch) {
		k->epoch = m->epoch;
		k->taken = 0;
	}
	if (k->taken >= (m->taken < DROPS_PER_MS_ALL ? DROPS_PER_MS : 1))
		return false;
	k->taken++;
	m->taken++;
	return true;
}

/* ---- one drop ---- */

static void write_packet(struct dropped_packet *e, const struct drop_note *n)
{
	uint32_t len = n->packet ? SL_MIN(n->packet->pkt_len, (uint32_t)DROP_MEMORY_BYTES) : 0;
	uint32_t seq = e->seq;

	__atomic_store_n(&e->seq, seq | 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	e->pkt_len = n->packet ? n->packet->pkt_len : n->pkt_len;
	e->tsc = rte_rdtsc();
	e->origin = n->origin ? *n->origin : (struct packet_origin){0};
	e->port_id = n->port_id;
	e->from_port = n->from_port;
	e->policy_slot = n->policy_slot;
	e->count = n->packet ? 1 : n->count;
	e->reason = (uint16_t)n->why;
	e->cap_len = (uint8_t)len;
	if (len) {
		const void *d = rte_pktmbuf_read(n->packet, 0, len, e->bytes);

		if (d != e->bytes)
			memcpy(e->bytes, d, len);
	}
	seq = (seq | 1) + 1;
	__atomic_store_n(&e->seq, seq ? seq : 2, __ATOMIC_RELEASE);
}

void drop_memory_note(unsigned thread_idx, const struct drop_note *n)
{
	struct drop_memory *m = memory_of(thread_idx);
	struct kind *k;

	if (SL_UNLIKELY(!m))
		return;
	k = find(m, n->port_id << 8 | (uint32_t)n->why);
	if (SL_LIKELY(!may_keep(m, k)))
		return;
	if (k->used == DROP_MEMORY_CHUNK)
		add_chunk(m, k);
	write_packet(&m->at[k->newest * DROP_MEMORY_CHUNK + k->used++], n);
}

bool drop_memory_read(unsigned thread_idx, unsigned i, struct dropped_packet *out)
{
	const struct drop_memory *m = memory_of(thread_idx);
	uint32_t seq;

	if (!m)
		return false;
	seq = __atomic_load_n(&m->at[i].seq, __ATOMIC_ACQUIRE);
	if (!seq || seq & 1)
		return false;
	memcpy(out, &m->at[i], sizeof *out);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&m->at[i].seq, __ATOMIC_RELAXED) == seq;
}

void drop_memory_check_invariants(unsigned thread_idx)
{
	const struct drop_memory *m = memory_of(thread_idx);
	unsigned chunks = 0, kinds = 0;

	assert(m);
	for (uint16_t c = m->free_oldest; c != NO_CHUNK; c = m->next[c])
		chunks++;
	for (unsigned i = 0; i < KINDS; i++) {
		const struct kind *k = &m->kind[i];
		uint16_t c = k->oldest;

		kinds += k->key != 0;
		assert(k->used <= DROP_MEMORY_CHUNK);
		for (unsigned j = 0; j < k->n_chunks; j++, c = m->next[c]) {
			unsigned n = c == k->newest ? k->used : DROP_MEMORY_CHUNK;

			for (unsigned p = 0; p < n; p++) {
				const struct dropped_packet *e = &m->at[c * DROP_MEMORY_CHUNK + p];
				assert((e->port_id << 8 | e->reason) == k->key);
			}
			assert(j + 1u < k->n_chunks || c == k->newest);
		}
		chunks += k->n_chunks;
	}
	assert(chunks == DROP_MEMORY_CHUNKS && kinds == m->n_kinds);
}
