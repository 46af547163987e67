/* SPDX-License-Identifier: BSD-3-Clause */
/* A quarter of all connections may be half open, half of those by one port; three quarters of all
 * may belong to one port. Beside those that live a quarter as many may wait until their memory can
 * be used again, a quarter of those of one port. */
#include "datapath/conntrack/ct_limits.h"

#include "datapath/conntrack/conn_memory.h"
#include "datapath/core/limits.h"
#include "datapath/core/thread.h"

struct port_share {
	rte_spinlock_t lock;
	uint32_t n;       /* atomic */
	uint32_t n_wait;  /* atomic: gone, memory not free yet; whole handfuls */
	uint32_t n_half;  /* W: lock  R: any */
	struct list half; /* oldest first; W: lock; next NULL: not used yet */
} SL_CACHE_ALIGNED;

static struct port_share ports[PORT_ID_MAX];
static uint32_t max_conns = CT_MAX_DEFAULT, default_limit = CT_LIMIT_NONE;
static uint32_t zone_limit[CT_ZONE_MAX + 1];                      /* limit + 1; 0: not set */
static uint32_t zone_count[CT_ZONE_MAX + 1];                      /* atomic */
static uint32_t n_conns, n_half_open;                             /* atomic */
enum { WAIT_MIN = 4096, IN_HAND = THREADS_ALL * 2 * CONN_CHUNK }; /* of one port; of threads */
static uint32_t biggest; /* port with many half-open ones; a hint */

#define LOAD(x)    __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define ADD(x, by) __atomic_add_fetch(&(x), (by), __ATOMIC_RELAXED)
#define SUB(x, by) __atomic_sub_fetch(&(x), (by), __ATOMIC_RELAXED)

void ct_limits_set_max(uint32_t max)
{
	__atomic_store_n(&max_conns, SL_MIN(max, (uint32_t)CT_MAX_LARGEST), __ATOMIC_RELAXED);
}

uint32_t ct_limits_max(void)
{
	return LOAD(max_conns);
}

void ct_limits_set_zone(int zone, uint32_t limit)
{
	if (zone < 0)
		__atomic_store_n(&default_limit, limit, __ATOMIC_RELAXED);
	else if (zone <= CT_ZONE_MAX)
		__atomic_store_n(&zone_limit[zone], limit + 1, __ATOMIC_RELAXED);
}

uint32_t ct_limits_zone(int zone)
{
	return zone < 0 ? LOAD(default_limit) : LOAD(zone_limit[zone & CT_ZONE_MAX]) - 1;
}

uint32_t ct_limits_zone_count(uint16_t zone)
{
	return LOAD(zone_count[zone]);
}

uint32_t ct_limits_count(void)
{
	return LOAD(n_conns);
}

uint32_t ct_limits_half_open(void)
{
	return LOAD(n_half_open);
}

static struct port_share *share_of(uint32_t port_id)
{
	return &ports[port_id % PORT_ID_MAX];
}

uint32_t ct_limits_port_count(uint32_t port_id)
{
	return LOAD(share_of(port_id)->n);
}

static uint32_t wait_max(uint32_t max)
{
	return SL_MAX(max / 16, (uint32_t)WAIT_MIN);
}

uint32_t ct_limits_existing_max(void)
{
	uint32_t max = LOAD(max_conns);

	return max + 4 * wait_max(max) + IN_HAND;
}

void ct_limits_wait(uint32_t port_id, int n)
{
	ADD(share_of(port_id)->n_wait, (uint32_t)n);
}

static bool turns_over(const struct port_share *s, uint32_t max)
{
	if (SL_LIKELY(LOAD(s->n_wait) < wait_max(max)))
		return false;
	conn_memory_collect();
	return LOAD(s->n_wait) >= wait_max(max);
}

void ct_limits_rank(void)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < PORT_ID_MAX; i++)
		if (LOAD(ports[i].n_half) > LOAD(ports[best].n_half))
			best = i;
	__atomic_store_n(&biggest, best, __ATOMIC_RELAXED);
}

/* ---- half-open connections ---- */
static void drop_from_list(struct port_share *s, struct ct_conn *c)
{
	if (!c->half_open)
		return;
	list_remove(&c->half_link);
	__atomic_store_n(&c->half_open, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->n_half, s->n_half - 1, __ATOMIC_RELAXED);
	SUB(n_half_open, 1);
}

/* In a flood each new connection takes the oldest one's place: what removing the next ones will
 * touch is asked for one and two of them ahead. */
static void prefetch_oldest(const struct port_share *s)
{
	const struct ct_conn *next, *after;

	if (s->n_half < 2)
		return;
	next = LIST_ITEM(s->half.next, const struct ct_conn, half_link);
	after = LIST_ITEM(next->half_link.next, const struct ct_conn, half_link);
	conn_table_prefetch_remove(after);
	conn_table_prefetch_remove_bucket(next);
}

static struct ct_conn *oldest_of(uint32_t port_id)
{
	struct port_share *s = share_of(port_id);
	struct ct_conn *c = NULL;

	rte_spinlock_lock(&s->lock);
	if (s->n_half) {
		c = LIST_ITEM(s->half.next, struct ct_conn, half_link);
		drop_from_list(s, c);
		prefetch_oldest(s);
	}
	spin_unlock(&s->lock);
	return c;
}

void ct_limits_add_half_open(struct ct_conn *c)
{
	struct port_share *s = share_of(c->port_id);
	uint32_t big;

	rte_spinlock_lock(&s->lock);
	if (!s->half.next)
		list_init(&s->half);
	/* It may have been answered or removed since it was linked. */
	if (c->node[CONN_ORIG].live && c->phase < CONN_BIDIR && !c->half_open) {
		list_push_back(&s->half, &c->half_link);
		__atomic_store_n(&c->half_open, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&s->n_half, s->n_half + 1, __ATOMIC_RELAXED);
		ADD(n_half_open, 1);
	}
	spin_unlock(&s->lock);
	big = LOAD(biggest);
	if (LOAD(s->n_half) > LOAD(ports[big].n_half))
		__atomic_store_n(&biggest, (uint32_t)(s - ports), __ATOMIC_RELAXED);
}

void ct_limits_answered(struct ct_conn *c)
{
	struct port_share *s = share_of(c->port_id);

	rte_spinlock_lock(&s->lock);
	drop_from_list(s, c);
	spin_unlock(&s->lock);
}

/* ---- booking ---- */
static bool zone_has_room(uint32_t context)
{
	uint32_t limit;

	if (context > CT_ZONE_MAX)
		return true;
	limit = LOAD(zone_limit[context]) - 1;
	if (limit == CT_LIMIT_NONE)
		limit = LOAD(default_limit);
	return limit == CT_LIMIT_NONE || LOAD(zone_count[context]) < limit;
}

static enum drop_reason book_half_open(uint32_t port_id, uint32_t max, struct ct_conn **victim)
{
	uint32_t own = LOAD(share_of(port_id)->n_half), big = LOAD(biggest);

	if (LOAD(n_conns) < max && LOAD(n_half_open) < SL_MAX(max / 4, 1u) &&
	    own < SL_MAX(max / 8, 1u))
		return DROP_NONE;
	if (own >= SL_MAX(max / 8, 1u) || own >= LOAD(ports[big].n_half))
		big = port_id;
	*victim = oldest_of(big);
	return *victim ? DROP_NONE : LOAD(n_conns) >= max ? DROP_CT_FULL : DROP_CT_HALF_OPEN;
}

bool ct_limits_replaces(const struct ct_conn *victim, uint32_t context, uint32_t port_id)
{
	return victim->node[CONN_ORIG].tuple.context == context &&
	       victim->port_id == (uint16_t)port_id;
}

void ct_limits_book_one(uint32_t context, uint32_t port_id)
{
	ADD(n_conns, 1);
	ADD(share_of(port_id)->n, 1);
	if (context <= CT_ZONE_MAX)
		ADD(zone_count[context], 1);
}

enum drop_reason ct_limits_book(uint32_t context, uint32_t port_id, struct ct_conn **victim)
{
	uint32_t max = LOAD(max_conns);
	struct port_share *s = share_of(port_id);
	enum drop_reason why;

	*victim = NULL;
	if (!zone_has_room(context))
		return DROP_CT_ZONE_LIMIT;
	if (SL_UNLIKELY(turns_over(s, max)))
		return DROP_CT_TURNOVER;
	if (LOAD(s->n) >= SL_MAX(max / 4 * 3, 1u)) {
		*victim = oldest_of(port_id);
		if (!*victim)
			return DROP_CT_PORT_QUOTA;
	} else {
		why = book_half_open(port_id, max, victim);
		if (why != DROP_NONE)
			return why;
	}
	/* In a flood one comes where one goes: no shared count moves. */
	if (!*victim || !ct_limits_replaces(*victim, context, port_id))
		ct_limits_book_one(context, port_id);
	return DROP_NONE;
}

enum drop_reason ct_limits_would_refuse(uint32_t context, uint32_t port_id)
{
	const struct port_share *s = share_of(port_id);
	uint32_t max = LOAD(max_conns), own = LOAD(s->n_half);

	if (!zone_has_room(context))
		return DROP_CT_ZONE_LIMIT;
	if (SL_UNLIKELY(turns_over(s, max)))
		return DROP_CT_TURNOVER;
	if (LOAD(s->n) >= SL_MAX(max / 4 * 3, 1u))
		return own ? DROP_NONE : DROP_CT_PORT_QUOTA;
	/* Whoever has half-open ones makes room. */
	return LOAD(n_conns) >= max && !own && !LOAD(ports[LOAD(biggest)].n_half) ? DROP_CT_FULL
										  : DROP_NONE;
}

void ct_limits_unbook(uint32_t context, uint32_t port_id)
{
	SUB(n_conns, 1);
	SUB(share_of(port_id)->n, 1);
	if (context <= CT_ZONE_MAX)
		SUB(zone_count[context], 1);
}
