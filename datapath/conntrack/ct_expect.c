/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_expect.h"

#include "datapath/core/spin.h"

enum { SETS = 512, WAYS = 4 };

static struct set {
	rte_spinlock_t lock;
	struct ct_expectation way[WAYS]; /* until_ms 0: free; W, R: lock */
} sets[SETS];
static unsigned count; /* W: whoever has a set's lock, atomically  R: any, relaxed */

static struct set *set_of(struct ct_tuple t)
{
	t.src_port = 0;
	return &sets[ct_tuple_hash(&t) % SETS];
}

static bool is_free(const struct ct_expectation *e)
{
	return !e->until_ms;
}

static void clear(struct ct_expectation *e)
{
	if (is_free(e))
		return;
	e->until_ms = 0;
	__atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
}

static bool is_over(const struct ct_expectation *e, uint32_t now_ms)
{
	return !is_free(e) && (int32_t)(e->until_ms - now_ms) <= 0;
}

static bool is_for(const struct ct_expectation *e, const struct ct_tuple *t)
{
	struct ct_tuple k = *t;

	if (!e->tuple.src_port)
		k.src_port = 0;
	return !is_free(e) && ct_tuple_equal(&e->tuple, &k);
}

static void add(struct set *s, const struct ct_expectation *e)
{
	struct ct_expectation *to = &s->way[0];

	for (unsigned i = 0; i < WAYS; i++) {
		if (is_for(&s->way[i], &e->tuple) || is_free(&s->way[i])) {
			to = &s->way[i];
			break;
		}
		if ((int32_t)(s->way[i].until_ms - to->until_ms) < 0)
			to = &s->way[i];
	}
	clear(to);
	*to = *e;
	to->until_ms += !to->until_ms; /* 0 says free */
	__atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
}

void ct_expect_add(const struct ct_expectation *e)
{
	struct set *s = set_of(e->tuple);

	rte_spinlock_lock(&s->lock);
	add(s, e);
	spin_unlock(&s->lock);
}

bool ct_expect_claim(const struct ct_expectation *e, uint32_t now_ms)
{
	struct set *s = set_of(e->tuple);
	bool free = true;

	rte_spinlock_lock(&s->lock);
	for (unsigned i = 0; i < WAYS && free; i++)
		free = !is_for(&s->way[i], &e->tuple) || is_over(&s->way[i], now_ms) ||
		       ct_tuple_equal(&s->way[i].reply, &e->reply);
	if (free)
		add(s, e);
	spin_unlock(&s->lock);
	return free;
}

bool ct_expect_find(const struct ct_tuple *t, uint32_t now_ms, bool take,
		    struct ct_expectation *out)
{
	struct set *s;
	bool found = false;

	if (SL_LIKELY(!ct_expect_count()))
		return false;
	s = set_of(*t);
	rte_spinlock_lock(&s->lock);
	for (unsigned i = 0; i < WAYS && !found; i++) {
		struct ct_expectation *e = &s->way[i];

		if (is_over(e, now_ms))
			clear(e);
		if (!is_for(e, t))
			continue;
		found = true;
		*out = *e;
		if (take)
			clear(e);
	}
	spin_unlock(&s->lock);
	return found;
}

void ct_expect_flush(int64_t context)
{
	for (unsigned k = 0; k < SETS; k++) {
		struct set *s = &sets[k];

		rte_spinlock_lock(&s->lock);
		for (unsigned i = 0; i < WAYS; i++)
			if (context < 0 ? s->way[i].tuple.context <= CT_ZONE_MAX
					: s->way[i].tuple.context == context)
				clear(&s->way[i]);
		spin_unlock(&s->lock);
	}
}

unsigned ct_expect_count(void)
{
	return __atomic_load_n(&count, __ATOMIC_RELAXED);
}
