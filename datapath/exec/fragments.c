/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants, under the lock: a datagram's chain is ordered and free of overlaps, its `bytes` are
 * those of its nodes and never more than `total` when that is known; n_held is the nodes in all
 * chains and the sum of by_port[]; each datagram is in its bucket, in `ages` and in its port's
 * list, oldest first. */
#include "datapath/exec/fragments.h"

#include <rte_spinlock.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/base/list.h"

enum { BUCKETS = 1024, NODES = FRAGMENTS_MAX + 1024, LARGEST = 65535 };

struct datagram {
	struct ct_tuple key; /* ports 0 */
	uint32_t id;
	uint32_t port_id; /* of all its fragments */
	uint32_t born_ms, bytes, total;
	bool has_end;
	uint16_t first, n, next; /* next: bucket's chain or free list */
	struct list age, port_age;
};

static rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
/* All W, R: lock, where nothing else is said. */
static struct fragment_node nodes[NODES];
static struct datagram datagrams[FRAGMENTS_MAX + 1];
static uint16_t bucket[BUCKETS];            /* datagram + 1; 0: empty */
static uint16_t free_nodes, free_datagrams; /* + 1 */
static unsigned n_nodes_used, n_datagrams_used;
static struct list ages;
static struct list port_ages[PORT_ID_MAX]; /* next NULL: not used yet */
static uint16_t by_port[PORT_ID_MAX];      /* R: any */
static uint32_t n_held, biggest;
static struct fragments_status st = {
	.max = FRAGMENTS_MAX_DEFAULT,
	.of = {{.enabled = true, .min_bytes = 1200}, {.enabled = true, .min_bytes = 1280}}};

static enum fragments_family family_of(const struct ct_tuple *k)
{
	return k->family == 4 ? FRAGMENTS_V4 : FRAGMENTS_V6;
}

/* ---- nodes and datagrams: taken in order of their place first, so that memory which was never
 * needed is never touched ---- */
static uint16_t node_alloc(void)
{
	uint16_t i = free_nodes;

	if (i) {
		free_nodes = nodes[i - 1].next;
		return (uint16_t)(i - 1);
	}
	return n_nodes_used < NODES ? (uint16_t)n_nodes_used++ : (uint16_t)FRAGMENTS_NONE;
}

static void node_free(uint16_t i)
{
	nodes[i].next = free_nodes;
	free_nodes = (uint16_t)(i + 1);
}

static struct datagram *datagram_alloc(void)
{
	uint16_t i = free_datagrams;

	if (i) {
		free_datagrams = datagrams[i - 1].next;
		return &datagrams[i - 1];
	}
	return n_datagrams_used <= FRAGMENTS_MAX ? &datagrams[n_datagrams_used++] : NULL;
}

static uint16_t *bucket_of(const struct ct_tuple *key, uint32_t id, uint32_t port_id)
{
	uint64_t h = ct_tuple_hash(key);

	return &bucket[hash_u64(h ^ ((uint64_t)id << 12 | port_id)) % BUCKETS];
}

static struct datagram *find(const struct ct_fragment_at *f, uint32_t port_id)
{
	for (uint16_t i = *bucket_of(&f->key, f->id, port_id); i; i = datagrams[i - 1].next) {
		struct datagram *d = &datagrams[i - 1];

		if (d->id == f->id && d->port_id == port_id && ct_tuple_equal(&d->key, &f->key))
			return d;
	}
	return NULL;
}

/* Its place is free again; its nodes are the caller's. */
static uint16_t unlink_datagram(struct datagram *d)
{
	uint16_t *at = bucket_of(&d->key, d->id, d->port_id), me = (uint16_t)(d - datagrams + 1);

	while (*at != me)
		at = &datagrams[*at - 1].next;
	*at = d->next;
	list_remove(&d->age);
	list_remove(&d->port_age);
	n_held -= d->n;
	__atomic_store_n(&by_port[d->port_id], by_port[d->port_id] - d->n, __ATOMIC_RELAXED);
	d->next = free_datagrams;
	free_datagrams = me;
	return d->first;
}

static struct datagram *begin(const struct ct_fragment_at *f, uint32_t port_id, uint32_t now_ms)
{
	struct datagram *d = datagram_alloc();
	uint16_t *b = bucket_of(&f->key, f->id, port_id);

	if (!d)
		return NULL;
	*d = (struct datagram){.key = f->key,
			       .id = f->id,
			       .port_id = port_id,
			       .born_ms = now_ms,
			       .first = FRAGMENTS_NONE,
			       .next = *b};
	*b = (uint16_t)(d - datagrams + 1);
	if (!ages.next)
		list_init(&ages);
	if (!port_ages[port_id].next)
		list_init(&port_ages[port_id]);
	list_push_back(&ages, &d->age);
	list_push_back(&port_ages[port_id], &d->port_age);
	return d;
}

/* ---- a new fragment ---- */
static enum fragments_answer refuse(struct datagram *d, uint16_t i, uint16_t *chain)
{
	nodes[i].next = d ? unlink_datagram(d) : (uint16_t)FRAGMENTS_NONE;
	*chain = i;
	return FRAGMENTS_REFUSED;
}

/* Puts node i where it belongs. 0; or what it contradicts: 1 an exact copy, 2 anything else. */
static int link_node(struct datagram *d, uint16_t i, bool last)
{
	struct fragment_node *n = &nodes[i];
	uint16_t *at = &d->first;
	uint32_t before = 0;

	while (*at != FRAGMENTS_NONE && nodes[*at].begin < n->begin) {
		before = nodes[*at].end;
		at = &nodes[*at].next;
	}
	if (*at != FRAGMENTS_NONE && nodes[*at].begin == n->begin && nodes[*at].end == n->end)
		return 1;
	if (before > n->begin || (*at != FRAGMENTS_NONE && nodes[*at].begin < n->end) ||
	    (d->has_end && n->end > d->total) || (last && (d->has_end || *at != FRAGMENTS_NONE)))
		return 2;
	n->next = *at;
	*at = i;
	d->n++;
	d->bytes += n->end - n->begin;
	if (last) {
		d->has_end = true;
		d->total = n->end;
	}
	n_held++;
	__atomic_store_n(&by_port[d->port_id], by_port[d->port_id] + 1, __ATOMIC_RELAXED);
	return 0;
}

/* The oldest datagram of whoever has too many goes, but never `keep`, which is the one that grows.
 */
static uint16_t make_room(uint32_t port_id, const struct datagram *keep)
{
	uint32_t from = port_id;
	struct datagram *d;

	if (n_held < st.max && by_port[port_id] < SL_MAX(st.max / 2, 1u))
		return FRAGMENTS_NONE;
	if (by_port[port_id] < SL_MAX(st.max / 2, 1u) && by_port[biggest] > by_port[port_id])
		from = biggest;
	if (!port_ages[from].next || list_is_empty(&port_ages[from]))
		return FRAGMENTS_NONE;
	d = LIST_ITEM(port_ages[from].next, struct datagram, port_age);
	if (d == keep) {
		if (d->port_age.next == &port_ages[from])
			return FRAGMENTS_NONE;
		d = LIST_ITEM(d->port_age.next, struct datagram, port_age);
	}
	st.of[family_of(&d->key)].purged += d->n;
	return unlink_datagram(d);
}

static bool is_odd(const struct ct_fragment_at *f, uint32_t ip_bytes)
{
	uint32_t n = f->end - f->begin;

	return !n || (!f->last && n % 8) || f->end + (ip_bytes - n) > LARGEST;
}

static enum fragments_answer add(const struct packet *p, const struct ct_fragment_at *f,
				 uint32_t now_ms, struct fragments_out *out)
{
	uint32_t port_id = p->s.in_port % PORT_ID_MAX;
	enum fragments_family v = family_of(&f->key);
	struct datagram *d = find(f, port_id);
	uint16_t i;
	int wrong;

	out->victims = make_room(port_id, d);
	i = node_alloc();
	if (i == FRAGMENTS_NONE || n_held >= st.max) {
		if (i != FRAGMENTS_NONE)
			node_free(i);
		return FRAGMENTS_INVALID;
	}
	nodes[i] = (struct fragment_node){.m = p->m,
					  .s = p->s,
					  .begin = f->begin,
					  .end = f->end,
					  .payload_ofs = f->payload_ofs,
					  .next = FRAGMENTS_NONE};
	if (!d && !(d = begin(f, port_id, now_ms)))
		return refuse(NULL, i, &out->chain);
	wrong = link_node(d, i, f->last);
	if (wrong) {
		st.of[v].overlapped++;
		out->why = DROP_CT_FRAGMENT_OVERLAP;
		/* A copy alone goes when the datagram has that part already. */
		return refuse(wrong == 1 ? NULL : d, i, &out->chain);
	}
	st.of[v].accepted++;
	if (by_port[port_id] > by_port[biggest])
		biggest = port_id;
	if (d->has_end && d->bytes == d->total && nodes[d->first].begin == 0) {
		st.of[v].completed += d->n;
		out->chain = unlink_datagram(d);
		return FRAGMENTS_WHOLE;
	}
	return FRAGMENTS_HELD;
}

enum fragments_answer fragments_add(const struct packet *p, const struct ct_fragment_at *f,
				    uint32_t now_ms, struct fragments_out *out)
{
	enum fragments_family v = family_of(&f->key);
	enum fragments_answer a = FRAGMENTS_INVALID;

	*out = (struct fragments_out){FRAGMENTS_NONE, FRAGMENTS_NONE, DROP_CT_FRAGMENT_QUOTA};
	rte_spinlock_lock(&lock);
	if (!st.of[v].enabled || is_odd(f, f->ip_bytes))
		;
	else if (!f->last && f->ip_bytes < st.of[v].min_bytes)
		st.of[v].too_small++;
	else
		a = add(p, f, now_ms, out);
	rte_spinlock_unlock(&lock);
	return a;
}

struct fragment_node *fragments_node(uint16_t i)
{
	return &nodes[i];
}

bool fragments_take(uint16_t *chain, struct packet *p)
{
	struct fragment_node *n;
	uint16_t i = *chain;

	if (i == FRAGMENTS_NONE)
		return false;
	n = &nodes[i];
	*p = (struct packet){.m = n->m, .s = n->s};
	*chain = n->next;
	rte_spinlock_lock(&lock);
	node_free(i);
	rte_spinlock_unlock(&lock);
	return true;
}

uint64_t fragments_held(uint32_t port_id)
{
	return __atomic_load_n(&by_port[port_id % PORT_ID_MAX], __ATOMIC_RELAXED);
}

/* ---- main thread ---- */
static void drop_chain(uint16_t chain, enum drop_reason why)
{
	struct packet p;

	while (fragments_take(&chain, &p)) {
		struct port_counters *c = counters_of(POLL_THREADS_MAX, p.s.in_port);

		if (c)
			counter_add(&c->drop[why], 1);
		rte_pktmbuf_free(p.m);
	}
}

/* NULL: none is due. */
static struct datagram *due(uint32_t now_ms)
{
	struct datagram *d;

	if (!ages.next || list_is_empty(&ages))
		return NULL;
	d = LIST_ITEM(ages.next, struct datagram, age);
	return (int32_t)(now_ms - d->born_ms) >= FRAGMENTS_MS ? d : NULL;
}

void fragments_expire(uint32_t now_ms)
{
	enum { AT_ONCE = 256 };

	for (unsigned i = 0; i < AT_ONCE; i++) {
		uint16_t chain = FRAGMENTS_NONE;
		struct datagram *d;

		if (!__atomic_load_n(&n_held, __ATOMIC_RELAXED))
			return;
		rte_spinlock_lock(&lock);
		d = due(now_ms);
		if (d) {
			st.of[family_of(&d->key)].expired += d->n;
			chain = unlink_datagram(d);
		}
		rte_spinlock_unlock(&lock);
		if (!d)
			return;
		drop_chain(chain, DROP_CT_FRAGMENT_TIMEOUT);
	}
}

void fragments_forget(uint32_t port_id)
{
	struct list *l = &port_ages[port_id % PORT_ID_MAX];

	while (fragments_held(port_id)) {
		uint16_t chain = FRAGMENTS_NONE;

		rte_spinlock_lock(&lock);
		if (!list_is_empty(l)) {
			struct datagram *d = LIST_ITEM(l->next, struct datagram, port_age);

			st.of[family_of(&d->key)].purged += d->n;
			chain = unlink_datagram(d);
		}
		rte_spinlock_unlock(&lock);
		drop_chain(chain, DROP_CT_FRAGMENT_TIMEOUT);
	}
}

void fragments_status(struct fragments_status *out)
{
	rte_spinlock_lock(&lock);
	*out = st;
	out->held = n_held;
	rte_spinlock_unlock(&lock);
}

void fragments_enable(enum fragments_family f, bool on)
{
	rte_spinlock_lock(&lock);
	st.of[f].enabled = on;
	rte_spinlock_unlock(&lock);
}

void fragments_set_min(enum fragments_family f, uint32_t bytes)
{
	rte_spinlock_lock(&lock);
	st.of[f].min_bytes = bytes;
	rte_spinlock_unlock(&lock);
}

void fragments_set_max(uint32_t max)
{
	rte_spinlock_lock(&lock);
	st.max = SL_MIN(max, (uint32_t)FRAGMENTS_MAX);
	rte_spinlock_unlock(&lock);
}

unsigned fragments_list(struct fragments_shown *out, unsigned n)
{
	unsigned k = 0;

	rte_spinlock_lock(&lock);
	for (struct list *l = ages.next; l && l != &ages && k < n; l = l->next) {
		const struct datagram *d = LIST_ITEM(l, struct datagram, age);

		out[k++] = (struct fragments_shown){.key = d->key,
						    .id = d->id,
						    .n = d->n,
						    .has_first = !nodes[d->first].begin,
						    .has_last = d->has_end};
	}
	rte_spinlock_unlock(&lock);
	return k;
}

static bool is_sound(const struct datagram *d)
{
	uint32_t at = 0, bytes = 0, n = 0;

	for (uint16_t i = d->first; i != FRAGMENTS_NONE; i = nodes[i].next, n++) {
		if (nodes[i].begin < at || nodes[i].end <= nodes[i].begin)
			return false;
		at = nodes[i].end;
		bytes += nodes[i].end - nodes[i].begin;
	}
	return n == d->n && bytes == d->bytes && (!d->has_end || at <= d->total);
}

bool fragments_check_invariants(void)
{
	uint32_t held = 0, ported = 0, listed = 0;

	for (unsigned b = 0; b < BUCKETS; b++)
		for (uint16_t i = bucket[b]; i; i = datagrams[i - 1].next) {
			if (!is_sound(&datagrams[i - 1]))
				return false;
			held += datagrams[i - 1].n;
		}
	for (struct list *l = ages.next; l && l != &ages; l = l->next)
		listed += LIST_ITEM(l, struct datagram, age)->n;
	for (unsigned i = 0; i < PORT_ID_MAX; i++)
		ported += by_port[i];
	return held == n_held && ported == n_held && listed == n_held;
}
