/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/policy/policy_live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/core/rcu.h"
#include "datapath/policy/policy_over.h"

struct policy *policy_current;

static struct policy *before; /* waits for the confirmation of the one in force; NULL: none */
static uint64_t confirm_at_ms, generation, last_wall_ms;
static const struct policy_sink *sink;

static struct port_fact {           /* what is true of a port number under any policy */
	char name[PORT_NAME_BYTES]; /* "": on no bridge */
	uint8_t role;
	uint16_t edge; /* 0: on no bridge */
} ports[PORT_ID_MAX];
static uint16_t users[POLICY_EDGES]; /* ports of an edge */

static struct conn_cursor sweep_at;
static bool sweeping;
/* When the sweep began no thread could be judging by what held before: what it does not meet now
 * is not there. */
static bool sweep_is_whole;
static struct rcu_moment changed;

static void destroy(void *p)
{
	policy_destroy(p);
}

/* ---- generations ---- */
/* Everything is judged again, or, when established connections may finish, nothing is. Fields that
 * verdicts depend on were written before. */
static void raise_generation(struct policy *p)
{
	/* In this order: who reads the new generation first sees what must be judged again. */
	generation++;
	__atomic_store_n(&p->judged_from, p->keep_established ? 1 : generation, __ATOMIC_RELEASE);
	__atomic_store_n(&p->generation, generation, __ATOMIC_RELEASE);
	changed = rcu_now();
	sweep_is_whole = false;
	sweep_at = (struct conn_cursor){0, 0};
	sweeping = true;
}

/* ---- times ---- */
static bool is_active(const struct policy_rule *r, uint64_t wall_ms)
{
	return wall_ms >= r->valid_from_ms && (!r->valid_until_ms || wall_ms < r->valid_until_ms);
}

/* True when a rule began or ended. */
static bool check_times(struct policy *p, uint64_t wall_ms, bool tell)
{
	bool any = false;

	p->next_change_ms = UINT64_MAX;
	for (uint32_t i = 0; i < p->n_rules; i++) {
		struct policy_rule *r = &p->rules[i];
		bool active = is_active(r, wall_ms);

		if (active && policy_is_over(r->slot))
			policy_over_cancel(r->slot);
		if (r->valid_from_ms > wall_ms)
			p->next_change_ms = SL_MIN(p->next_change_ms, r->valid_from_ms);
		else if (r->valid_until_ms > wall_ms)
			p->next_change_ms = SL_MIN(p->next_change_ms, r->valid_until_ms);
		if (active == r->active)
			continue;
		any = true;
		__atomic_store_n(&r->active, active, __ATOMIC_RELAXED);
		/* What a rule let through ends with it, even when established connections may
		 * finish after a change of the policy: time is part of the rule. */
		if (tell && !active && r->valid_until_ms && p->keep_established)
			policy_over_begin(r->name);
		if (tell && !active && sink)
			sink->news(POLICY_EXPIRED, r->name);
	}
	return any;
}

/* ---- ports ---- */
static uint8_t flags_of(const struct policy_endpoint *ep)
{
	const struct policy_limits *l = &ep->limits;

	return (uint8_t)((l->in_kbps || l->in_pps ? POLICY_PORT_LIMITED_IN : 0) |
			 (l->out_kbps || l->out_pps || l->broadcast_pps || l->multicast_pps ||
					  l->unknown_pps
				  ? POLICY_PORT_LIMITED_OUT
				  : 0));
}

static void bind(struct policy *p, uint32_t port_id)
{
	const struct port_fact *f = &ports[port_id];
	struct policy_port *to = &p->port[port_id];
	uint32_t endpoint = POLICY_NONE;

	for (uint32_t i = 0; i < p->n_endpoints && *f->name; i++)
		if (!strcmp(p->endpoints[i].port, f->name))
			endpoint = i;
	__atomic_store_n(&to->role, f->role, __ATOMIC_RELAXED);
	__atomic_store_n(&to->edge, f->edge ? f->edge : (uint16_t)port_id, __ATOMIC_RELAXED);
	__atomic_store_n(&to->flags,
			 endpoint == POLICY_NONE ? 0 : flags_of(&p->endpoints[endpoint]),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&to->endpoint, endpoint, __ATOMIC_RELAXED);
	if (sink)
		sink->mac_limit(port_id,
				endpoint == POLICY_NONE ? 0 : p->endpoints[endpoint].limits.macs);
}

static void join(struct port_fact *f, uint32_t edge)
{
	f->edge = (uint16_t)edge;
	users[edge]++;
}

/* Who comes to an edge that nobody has is somebody else. */
static void leave(struct port_fact *f)
{
	uint16_t *epoch = &policy_edge_epoch[f->edge];

	if (f->edge && !--users[f->edge])
		__atomic_store_n(epoch, (uint16_t)(*epoch + 1), __ATOMIC_RELAXED);
	f->edge = 0;
}

void policy_port_set(uint32_t port_id, uint32_t bridge_id, const char *name, uint8_t role)
{
	struct port_fact *f = &ports[port_id];
	uint32_t edge = role == POLICY_ROLE_HOST ? PORT_ID_MAX + bridge_id : port_id;

	if (!strcmp(f->name, name) && f->role == role && f->edge == edge)
		return;
	if (f->edge != edge) {
		leave(f);
		join(f, edge);
	}
	strncpy(f->name, name, sizeof f->name - 1);
	f->role = role;
	bind(policy_current, port_id);
	raise_generation(policy_current);
}

void policy_port_clear(uint32_t port_id)
{
	struct port_fact *f = &ports[port_id];

	if (!*f->name)
		return;
	leave(f);
	*f = (struct port_fact){.role = POLICY_ROLE_GUEST};
	bind(policy_current, port_id);
	raise_generation(policy_current);
}

/* ---- publishing ---- */
static void put_in_force(struct policy *p, uint64_t wall_ms)
{
	for (uint32_t i = 0; i < PORT_ID_MAX; i++)
		bind(p, i);
	check_times(p, wall_ms, false);
	raise_generation(p);
	__atomic_store_n(&policy_current, p, __ATOMIC_RELEASE);
}

void policy_publish(struct policy *p, uint64_t now_ms, uint64_t wall_ms)
{
	struct policy *old = policy_current;

	put_in_force(p, wall_ms);
	confirm_at_ms = 0;
	if (p->confirm_ms) {
		confirm_at_ms = now_ms + p->confirm_ms;
		if (!before) { /* else the one before that is what to go back to */
			before = old;
			return;
		}
	} else if (before) {
		rcu_defer(destroy, before);
		before = NULL;
	}
	rcu_defer(destroy, old);
}

int policy_confirm(const uint8_t hash[POLICY_HASH_BYTES], struct err *e)
{
	if (memcmp(policy_current->hash, hash, POLICY_HASH_BYTES))
		return err_set(e, ESTALE,
			       "policy: another one is in force: confirm that, or apply "
			       "yours again");
	if (!before)
		return 0;
	rcu_defer(destroy, before);
	before = NULL;
	confirm_at_ms = 0;
	if (sink)
		sink->news(POLICY_CONFIRMED, "");
	return 0;
}

uint64_t policy_confirm_left_ms(uint64_t now_ms)
{
	return before && confirm_at_ms > now_ms ? confirm_at_ms - now_ms : before ? 1 : 0;
}

static void roll_back(uint64_t wall_ms)
{
	struct policy *old = policy_current;

	put_in_force(before, wall_ms);
	before = NULL;
	confirm_at_ms = 0;
	rcu_defer(destroy, old);
	if (sink) {
		sink->changed();
		sink->news(POLICY_ROLLED_BACK, "");
	}
}

/* ---- upkeep ---- */
static void sweep(void)
{
	enum { CHUNKS_PER_UPKEEP = 64 };
	struct policy *p = policy_current;
	struct ct_conn *c[CONN_CHUNK];
	unsigned n;

	for (unsigned i = 0; i < CHUNKS_PER_UPKEEP && sweeping; i++) {
		if (!sweep_at.chunk)
			sweep_is_whole = rcu_has_passed(&changed);
		if (!conn_table_next(&sweep_at, c, &n)) {
			sweep_at = (struct conn_cursor){0, 0};
			sweeping = !sweep_is_whole;
			if (!sweeping)
				policy_over_done();
			break;
		}
		for (unsigned k = 0; k < n; k++) {
			uint32_t context = c[k]->node[CONN_ORIG].tuple.context;
			uint64_t judged = __atomic_load_n(&c[k]->label[0], __ATOMIC_RELAXED);

			if (context < POLICY_CONTEXT || context >= POLICY_CONTEXT_END)
				continue;
			if ((judged < p->judged_from || !policy_edge_is_current(c[k]) ||
			     policy_is_over(__atomic_load_n(&c[k]->mark, __ATOMIC_RELAXED))) &&
			    !policy_edge_judge_again(p, c[k]))
				conntrack_remove(c[k]);
		}
	}
}

bool policy_sweep_is_done(void)
{
	return !sweeping;
}

void policy_set_sink(const struct policy_sink *s)
{
	sink = s;
}

void policy_upkeep(uint64_t now_ms, uint64_t wall_ms)
{
	if (before && now_ms >= confirm_at_ms)
		roll_back(wall_ms);
	/* A wall clock that was set back may make rules valid again. */
	if (wall_ms >= policy_current->next_change_ms || wall_ms < last_wall_ms) {
		if (check_times(policy_current, wall_ms, true))
			raise_generation(policy_current);
	}
	last_wall_ms = wall_ms;
	sweep();
}

void policy_live_init(void)
{
	static const struct policy_spec nobody;
	struct err e = {0};

	policy_edge_init();
	for (uint32_t i = 0; i < PORT_ID_MAX; i++)
		ports[i].role = POLICY_ROLE_GUEST;
	if (!policy_current && !policy_create(&policy_current, &nobody, &e))
		put_in_force(policy_current, 0);
}

/* ---- recording and replay ---- */

static void refill(struct rate_limiter *l)
{
	__atomic_store_n(&l->full_at_ns, 0, __ATOMIC_RELAXED);
}

uint64_t policy_restart(void)
{
	struct policy *p = policy_current;

	for (uint32_t i = 0; i < p->n_endpoints; i++) {
		struct policy_endpoint *ep = &p->endpoints[i];

		refill(&ep->in_bits);
		refill(&ep->out_bits);
		refill(&ep->in_pkts);
		refill(&ep->out_pkts);
		refill(&ep->broadcasts);
		refill(&ep->multicasts);
		refill(&ep->unknown);
		refill(&ep->new_conns);
	}
	for (uint32_t i = 0; i < p->n_rules; i++) {
		refill(&p->rules[i].bits);
		refill(&p->rules[i].pkts);
		refill(&p->rules[i].new_conns);
	}
	raise_generation(p);
	return generation;
}

void policy_replay_epoch(uint32_t edge, uint16_t epoch)
{
	policy_edge_epoch[edge] = epoch;
}

void policy_replay_generation(uint64_t g)
{
	generation = g - 1;
}
