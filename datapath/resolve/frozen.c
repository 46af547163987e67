/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/resolve/frozen.h"

#include <stdlib.h>
#include <string.h>

#include <rte_spinlock.h>

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/core/limits.h"
#include "datapath/core/rcu.h"
#include "datapath/flow/action.h"

enum { BUCKETS = 16384 };

static rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
static struct frozen *buckets[BUCKETS];  /* under the lock */
static struct frozen *by_id[FROZEN_MAX]; /* W: under the lock (release)  R: any, RCU */
static uint32_t last_id, n_frozen;       /* under the lock */
static uint32_t per_port[PORT_ID_MAX];   /* under the lock */

static void free_frozen(struct credit_target *c)
{
	free(SL_CONTAINER_OF(c, struct frozen, credit));
}

/* Ids are not reused soon: the slot is the low bits, and each use of a slot counts the high bits
 * up, so that a packet that waited too long finds nothing rather than somebody else's state. */
static uint32_t take_id(void)
{
	for (unsigned i = 0; i < FROZEN_MAX; i++) {
		last_id++;
		if (last_id & (FROZEN_MAX - 1) && !by_id[last_id % FROZEN_MAX])
			return last_id;
	}
	return 0;
}

static struct frozen *find(const struct frozen_state *s, uint32_t port_id, uint64_t hash)
{
	struct frozen *f = buckets[hash % BUCKETS];

	while (f && !(f->hash == hash && f->port_id == port_id && f->state.len == s->len &&
		      !memcmp(&f->state, s, s->len)))
		f = f->next;
	return f;
}

static struct frozen *make(const struct frozen_state *s, uint32_t port_id, uint64_t hash)
{
	struct frozen *f;
	uint32_t id;

	if (n_frozen >= FROZEN_MAX - 1 || per_port[port_id % PORT_ID_MAX] >= FROZEN_PER_PORT)
		return NULL;
	id = take_id();
	f = id ? malloc(sizeof *f + s->len - sizeof f->state) : NULL;
	if (!f)
		return NULL;
	credit_init(&f->credit, free_frozen);
	f->id = id;
	f->port_id = port_id;
	f->hash = hash;
	memcpy(&f->state, s, s->len);
	f->next = buckets[hash % BUCKETS];
	buckets[hash % BUCKETS] = f;
	rcu_store(&by_id[id % FROZEN_MAX], f);
	per_port[port_id % PORT_ID_MAX]++;
	n_frozen++;
	return f;
}

uint32_t frozen_intern(const struct frozen_state *s, uint32_t port_id, uint64_t now_ms, bool create,
		       struct frozen **out)
{
	uint64_t hash = hash_bytes(s, s->len) ^ port_id;
	struct frozen *f;

	rte_spinlock_lock(&lock);
	f = find(s, port_id, hash);
	if (!f && create)
		f = make(s, port_id, hash);
	if (f)
		f->credit.used_ms = now_ms;
	rte_spinlock_unlock(&lock);
	if (out)
		*out = f;
	return f ? f->id : 0;
}

const struct frozen *frozen_lookup(uint32_t id)
{
	const struct frozen *f = rcu_load(&by_id[id % FROZEN_MAX]);

	return f && f->id == id ? f : NULL;
}

uint32_t frozen_restart(void)
{
	rte_spinlock_lock(&lock);
	uint32_t id = last_id;
	for (unsigned i = 0; i < BUCKETS && n_frozen; i++)
		for (struct frozen *f = buckets[i]; f; f = f->next)
			f->hash = ~f->hash; /* still there by number, and until it is idle */
	rte_spinlock_unlock(&lock);
	return id;
}

void frozen_replay_last_id(uint32_t id)
{
	last_id = id;
}

uint32_t frozen_count(void)
{
	return __atomic_load_n(&n_frozen, __ATOMIC_RELAXED);
}

static struct frozen *take_idle(struct frozen **bucket, uint64_t now_ms)
{
	for (struct frozen **at = bucket; *at; at = &(*at)->next) {
		struct frozen *f = *at;

		if (__atomic_load_n(&f->credit.refs, __ATOMIC_ACQUIRE) > 1 ||
		    f->credit.used_ms + FROZEN_IDLE_MS > now_ms)
			continue;
		*at = f->next;
		rcu_store(&by_id[f->id % FROZEN_MAX], NULL);
		per_port[f->port_id % PORT_ID_MAX]--;
		n_frozen--;
		return f;
	}
	return NULL;
}

static void put(void *p)
{
	credit_put(&((struct frozen *)p)->credit);
}

void frozen_expire(uint64_t now_ms)
{
	struct frozen *f;

	if (!frozen_count())
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		do {
			rte_spinlock_lock(&lock);
			f = take_idle(&buckets[i], now_ms);
			rte_spinlock_unlock(&lock);
			/* A poll thread may hold it in this burst, and pin it yet. */
			if (f)
				rcu_defer_noted(put, f);
		} while (f);
	}
}

bool frozen_state_is_valid(const void *data, size_t len)
{
	const struct frozen_state *s = data;
	size_t at, end;

	if (len < sizeof *s || len > FROZEN_BYTES_MAX || s->len != len)
		return false;
	if (s->stack_len % 8 || s->action_set_len % 8 || s->lists_len % 8 ||
	    (uint64_t)sizeof *s + s->stack_len + s->action_set_len + s->lists_len != len ||
	    action_list_check(s->data + s->stack_len, s->action_set_len, NULL))
		return false;
	at = s->stack_len + s->action_set_len;
	end = at + s->lists_len;
	while (at < end) {
		const struct frozen_list *l = (const void *)(s->data + at);

		if (end - at < sizeof *l || l->len % 8 || l->len > end - at - sizeof *l ||
		    action_list_check(l->actions, l->len, NULL))
			return false;
		at += sizeof *l + l->len;
	}
	return true;
}
