/* SPDX-License-Identifier: BSD-3-Clause */
/* From a packet to its connection and its ct_state. The order of things, and which bits come out,
 * follow Open vSwitch's userspace tracker (tests/system/test_conntrack.py compares). */
#include "datapath/conntrack/conntrack.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "datapath/conntrack/conn_memory.h"
#include "datapath/conntrack/ct_alg.h"
#include "datapath/conntrack/ct_expect.h"
#include "datapath/conntrack/ct_fragment.h"
#include "datapath/conntrack/ct_shift.h"
#include "datapath/conntrack/tracker_tcp_inline.h"
#include "datapath/core/limits.h"
#include "datapath/core/rcu.h"
#include "datapath/core/thread.h"
#include "datapath/flow/action.h"

enum { RECENT_LOG = 13, RECENT = 1 << RECENT_LOG, RECENT_WAYS = 8 };

/* Nodes found lately, one line for those of one cheap hash: 15 more bits of it, and the 48 low bits
 * of an address. Tag 0: empty. */
struct recent {
	uint16_t tag[RECENT_WAYS];
	uint8_t node[RECENT_WAYS][6];
} SL_CACHE_ALIGNED;
_Static_assert(sizeof(struct recent) == SL_CACHE_LINE, "one line");

/* W: its thread  R: main, relaxed (the counters) */
struct ct_thread {
	struct recent recent[RECENT];
	uint32_t n_remembered;
	struct conntrack_stats stats;
};

static struct ct_thread *threads[THREADS_ALL];
static bool window_check = true;                         /* W: main  R: any */
static struct ct_timeouts *timeouts_of[CT_ZONE_MAX + 1]; /* W: main (release)  R: any, RCU */
static struct ct_timeouts *timeouts_default;             /* likewise; NULL: built in */

void (*conntrack_watch)(const struct ct_conn *c, int n);

#define COUNT(t, what)                                                                             \
	__atomic_store_n(&(t)->stats.what,                                                         \
			 __atomic_load_n(&(t)->stats.what, __ATOMIC_RELAXED) + 1,                  \
			 __ATOMIC_RELAXED)

void conntrack_thread_leave(void)
{
	conn_memory_leave();
}

int conntrack_thread_create(unsigned idx)
{
	struct ct_thread *t;

	if (threads[idx])
		return 0;
	t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED)
		return -ENOMEM;
	__atomic_store_n(&threads[idx], t, __ATOMIC_RELEASE);
	return 0;
}

static const struct ct_timeouts *timeouts(uint32_t context)
{
	struct ct_timeouts *t = NULL;

	if (context <= CT_ZONE_MAX)
		t = rcu_load(&timeouts_of[context]);
	if (!t)
		t = rcu_load(&timeouts_default);
	return t ? t : &ct_timeouts_default;
}

int conntrack_set_timeouts(int zone, const struct ct_timeouts *t)
{
	struct ct_timeouts **at = zone < 0 ? &timeouts_default : &timeouts_of[zone & CT_ZONE_MAX];
	struct ct_timeouts *old = *at, *new = NULL;

	if (t) {
		new = malloc(sizeof *new);
		if (!new)
			return -ENOMEM;
		*new = *t;
	}
	rcu_store(at, new);
	rcu_free_later(old);
	return 0;
}

const struct ct_timeouts *conntrack_timeouts(int zone)
{
	return zone < 0 ? timeouts_default : timeouts_of[zone & CT_ZONE_MAX];
}

void conntrack_set_window_check(bool on)
{
	__atomic_store_n(&window_check, on, __ATOMIC_RELAXED);
}

bool conntrack_window_check(void)
{
	return __atomic_load_n(&window_check, __ATOMIC_RELAXED);
}

/* ---- finding ---- */
static inline uint16_t tag_of(uint32_t mix)
{
	return (uint16_t)(mix >> 16 | 1);
}

/* The lowest of four 16-bit parts of w that is 0, as the top bit of that part; 0: none. */
static inline uint64_t zero_part(uint64_t w)
{
	const uint64_t ones = 0x0001000100010001ull;

	return (w - ones) & ~w & ones << 15;
}

/* The way with that tag; RECENT_WAYS: none. */
static inline unsigned way_of(const struct recent *r, uint16_t tag)
{
	uint64_t w[2], all = tag * 0x0001000100010001ull, lo, hi;

	memcpy(w, r->tag, sizeof w);
	lo = zero_part(w[0] ^ all);
	hi = zero_part(w[1] ^ all);
	if (!(lo | hi))
		return RECENT_WAYS;
	return lo ? (unsigned)__builtin_ctzll(lo) / 16 : 4 + (unsigned)__builtin_ctzll(hi) / 16;
}

/* NULL: not among the recent ones. */
static inline struct conn_node *recent_node(const struct ct_thread *t, uint32_t mix)
{
	const struct recent *r = &t->recent[mix % RECENT];
	unsigned i = way_of(r, tag_of(mix));
	uint64_t v;

	if (i == RECENT_WAYS)
		return NULL;
	/* With the two bytes in front, which always are this line's. */
	memcpy(&v, (const uint8_t *)r + offsetof(struct recent, node) - 2 + i * sizeof r->node[0],
	       sizeof v);
	return (struct conn_node *)(uintptr_t)(v >> 16);
}

/* One way per tag. */
static void remember(struct ct_thread *t, uint32_t mix, const struct conn_node *n)
{
	struct recent *r = &t->recent[mix % RECENT];
	uint64_t address = (uintptr_t)n;
	unsigned at = way_of(r, tag_of(mix));

	for (unsigned i = 0; i < RECENT_WAYS && at == RECENT_WAYS; i++)
		at = r->tag[i] ? RECENT_WAYS : i;
	if (at == RECENT_WAYS)
		at = t->n_remembered++ % RECENT_WAYS;
	r->tag[at] = tag_of(mix);
	memcpy(r->node[at], &address, sizeof r->node[at]);
}

static inline bool is_it(const struct conn_node *n, const struct ct_tuple *k)
{
	/* In this order: what was live in this burst keeps its tuple until the burst's end. */
	return n && conn_node_is_live(n) && ct_tuple_equal(&n->tuple, k);
}

static inline struct conn_node *find_recent(struct ct_thread *t, const struct ct_tuple *k)
{
	uint32_t mix = ct_tuple_mix(k);
	struct conn_node *n = recent_node(t, mix);

	if (SL_LIKELY(is_it(n, k)))
		return n;
	n = conn_table_find(k);
	if (n)
		remember(t, mix, n);
	return n;
}

/* What conntrack_run() reads of a connection. */
static inline void prefetch_conn(struct conn_node *node, bool whole)
{
	const struct ct_conn *c = conn_of(node);

	__builtin_prefetch(node);
	__builtin_prefetch(&c->lock);
	if (!whole)
		return;
	__builtin_prefetch(&c->label);
	if (conn_node_dir(node) == CONN_REPLY)
		__builtin_prefetch(&c->node[CONN_ORIG]);
}

void conntrack_prefetch(unsigned thread_idx, struct conntrack_hint *h, unsigned n, bool whole)
{
	struct ct_thread *t = threads[thread_idx];
	uint32_t mix[CONNTRACK_BATCH];
	uint8_t todo[CONNTRACK_BATCH];
	unsigned n_todo = 0;

	if (SL_UNLIKELY(!t)) {
		for (unsigned i = 0; i < n; i++) {
			h[i].node = NULL;
			h[i].hashed = false;
		}
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		mix[i] = ct_tuple_mix(&h[i].tuple);
		__builtin_prefetch(&t->recent[mix[i] % RECENT]);
	}
	for (unsigned i = 0; i < n; i++) {
		h[i].node = recent_node(t, mix[i]);
		h[i].hashed = false;
		if (SL_LIKELY(h[i].node != NULL))
			prefetch_conn(h[i].node, whole);
		else
			todo[n_todo++] = (uint8_t)i;
	}
	for (unsigned j = 0; j < n_todo; j++) {
		struct conntrack_hint *q = &h[todo[j]];

		q->hash = ct_tuple_hash(&q->tuple);
		q->hashed = true;
		q->absence.known = false;
		conn_table_prefetch(q->hash);
	}
	for (unsigned j = 0; j < n_todo; j++)
		conn_table_prefetch_node(h[todo[j]].hash);
	for (unsigned j = 0; j < n_todo; j++) {
		struct conntrack_hint *q = &h[todo[j]];

		q->node = conn_table_look(&q->tuple, q->hash, &q->absence);
		if (q->node) {
			remember(t, mix[todo[j]], q->node);
			prefetch_conn(q->node, whole);
		}
	}
}

struct conn_node *conntrack_lookup(unsigned thread_idx, const struct ct_tuple *k)
{
	struct ct_thread *t = threads[thread_idx];

	return SL_LIKELY(t != NULL) ? find_recent(t, k) : conn_table_find(k);
}

static void tell(const struct ct_conn *c, int n)
{
	if (conntrack_watch && c->node[CONN_ORIG].tuple.context > CT_ZONE_MAX)
		conntrack_watch(c, n);
}

void conntrack_remove(struct ct_conn *c)
{
	uint32_t context = c->node[CONN_ORIG].tuple.context, port_id = c->port_id;

	if (!conn_table_remove(c))
		return;
	ct_limits_answered(c);
	ct_limits_unbook(context, port_id);
	tell(c, -1);
}

/* Makes room for one of that context and port; called with what ct_limits_book() said. */
static void evict(struct ct_conn *victim, uint32_t context, uint32_t port_id)
{
	bool replaced = ct_limits_replaces(victim, context, port_id);
	uint32_t its_context = victim->node[CONN_ORIG].tuple.context, its_port = victim->port_id;

	if (!conn_table_remove(victim)) {
		if (replaced) /* somebody else removed it, and its booking */
			ct_limits_book_one(context, port_id);
		return;
	}
	if (!replaced)
		ct_limits_unbook(its_context, its_port);
	tell(victim, -1);
}

int conntrack_restore(const struct ct_tuple *orig, const struct ct_tuple *reply,
		      const struct ct_conn *c)
{
	struct ct_conn *victim, *made;
	int rc;

	if (ct_limits_book(orig->context, c->port_id, &victim) != DROP_NONE)
		return -ENOSPC;
	if (victim)
		evict(victim, orig->context, c->port_id);
	rc = conn_table_insert(orig, ct_tuple_hash(orig), reply, c, &made);
	if (rc) {
		ct_limits_unbook(orig->context, c->port_id);
		return rc;
	}
	if (c->half_open)
		ct_limits_add_half_open(made);
	tell(made, 1);
	return 0;
}

static inline bool is_hint_for(const struct conntrack_request *q, const struct ct_packet *p)
{
	return q->hint && ct_tuple_equal(&q->hint->tuple, &p->tuple);
}

/* The burst looked for it a moment ago. */
static inline struct conn_node *find_hinted(struct ct_thread *t, const struct conntrack_hint *h)
{
	if (SL_LIKELY(is_it(h->node, &h->tuple)))
		return h->node;
	if (!h->hashed)
		return find_recent(t, &h->tuple);
	if (!h->node && conn_table_is_absent(h->hash, &h->absence))
		return NULL;
	return conn_table_find_hashed(&h->tuple, h->hash);
}

/* NULL: none that is still alive. *dir is the packet's direction. */
static struct ct_conn *find(struct ct_thread *t, const struct conntrack_request *q,
			    const struct ct_packet *p, bool translated, unsigned *dir)
{
	struct conn_node *n;
	uint32_t now_ms = q->now_ms;
	struct ct_conn *c;

	/* A packet that was translated before is known by the tuple that would answer it. */
	if (SL_UNLIKELY(translated)) {
		struct ct_tuple k = ct_tuple_reverse(&p->tuple);

		n = find_recent(t, &k);
	} else if (is_hint_for(q, p)) {
		n = find_hinted(t, q->hint);
	} else {
		n = find_recent(t, &p->tuple);
	}
	if (!n)
		return NULL;
	c = conn_of(n);
	if (SL_UNLIKELY(conn_left_ms(c, now_ms) <= 0)) {
		conntrack_remove(c);
		COUNT(t, expired);
		return NULL;
	}
	*dir = conn_node_dir(n) ^ translated;
	return c;
}

/* ---- a new connection ---- */
/* As the connection that announced it is translated; only the port of who begins it may move. */
static int insert_announced(const struct ct_packet *p, const struct ct_expectation *e,
			    struct ct_conn *init, struct ct_conn **out)
{
	enum { TRIES = 64, PORT_MIN = 1024, N_PORTS = 65536 - PORT_MIN };
	struct ct_tuple reply = e->reply;
	uint64_t hash = ct_tuple_hash(&p->tuple);
	int rc = -EADDRINUSE;

	init->nat = e->nat;
	reply.dst_port = p->tuple.src_port;
	for (unsigned i = 0; i < TRIES && rc == -EADDRINUSE; i++) {
		if (i)
			reply.dst_port = cpu_to_be16((uint16_t)(PORT_MIN + (hash + i) % N_PORTS));
		if (!conn_table_find(&reply))
			rc = conn_table_insert(&p->tuple, hash, &reply, init, out);
	}
	return rc == -EADDRINUSE ? -EADDRNOTAVAIL : rc;
}

static int insert(const struct conntrack_request *q, const struct ct_packet *p,
		  const struct ct_expectation *announced, struct ct_conn *init,
		  struct ct_conn **out)
{
	const struct conntrack_hint *h = is_hint_for(q, p) && q->hint->hashed ? q->hint : NULL;
	uint64_t hash = h ? h->hash : ct_tuple_hash(&p->tuple);
	struct ct_nat_search s;
	struct ct_tuple reply;
	int rc;

	if (q->nat && announced && announced->reply.family)
		return insert_announced(p, announced, init, out);
	if (!q->nat || !(q->nat->flags & (NAT_SRC | NAT_DST)))
		return conn_table_insert_plain(&p->tuple, hash, h ? &h->absence : NULL, init, out);
	init->nat = q->nat->flags;
	ct_nat_begin(&s, q->nat, &p->tuple);
	while (ct_nat_next(&s, &reply)) {
		if (conn_table_find(&reply))
			continue;
		rc = conn_table_insert(&p->tuple, hash, &reply, init, out);
		if (rc != -EADDRINUSE)
			return rc;
	}
	return -EADDRNOTAVAIL;
}

/* All but its nodes, which insert() makes anew. */
static inline void clear(struct ct_conn *c)
{
	memset((uint8_t *)c + offsetof(struct ct_conn, lock), 0,
	       sizeof *c - offsetof(struct ct_conn, lock));
}

/* *out: the new connection, or NULL when somebody else has just made it. */
static enum drop_reason create(struct ct_thread *t, const struct conntrack_request *q,
			       const struct ct_packet *p, const struct ct_expectation *announced,
			       struct ct_conn **out)
{
	struct ct_conn init, *victim;
	enum drop_reason why = ct_limits_book(q->context, q->port_id, &victim);
	int rc;

	*out = NULL;
	if (victim) {
		evict(victim, q->context, q->port_id);
		COUNT(t, evicted);
	}
	if (why != DROP_NONE) {
		COUNT(t, refused);
		return why;
	}
	clear(&init);
	init.port_id = (uint16_t)q->port_id;
	init.alg = q->alg;
	init.mark = q->new_mark;
	memcpy(init.label, q->new_label, sizeof init.label);
	if (announced) {
		init.related = 1;
		init.mark = announced->mark;
		memcpy(init.label, announced->label, sizeof init.label);
	}
	tracker_begin(&init, p, timeouts(q->context), q->now_ms);
	rc = insert(q, p, announced, &init, out);
	if (!rc) {
		COUNT(t, created);
		ct_limits_add_half_open(*out);
		tell(*out, 1);
		return DROP_NONE;
	}
	ct_limits_unbook(q->context, q->port_id);
	if (rc == -EADDRNOTAVAIL) {
		COUNT(t, nat_exhausted);
		return DROP_CT_NAT_EXHAUSTED;
	}
	if (rc == -EADDRINUSE)
		return DROP_CT_TUPLE_TAKEN;
	return rc == -ENOMEM ? DROP_CT_NO_MEMORY : DROP_NONE;
}

/* ---- a packet of a known connection ---- */
/* The policy lets most packets pass without showing them to us, so that windows are not known
 * there. */
static bool checks_window(const struct conntrack_request *q)
{
	return q->context <= CT_ZONE_MAX && conntrack_window_check();
}

static enum tracker_verdict update(struct ct_conn *c, const struct conntrack_request *q,
				   const struct ct_packet *p, unsigned dir)
{
	enum tracker_verdict v;
	bool was_open = c->phase >= CONN_BIDIR;

	if (tracker_is_decisive(p) && q->sum_ok && !q->sum_ok(q->aux))
		return TRACKER_INVALID;
	/* Nothing to learn: no state to move, no window to keep. */
	if (was_open && p->tuple.proto != 6 && p->tuple.proto != 132) {
		v = TRACKER_OK;
	} else {
		rte_spinlock_lock(&c->lock);
		v = tracker_update(c, p, dir, checks_window(q), timeouts(q->context));
		spin_unlock(&c->lock);
	}
	if (v == TRACKER_OK || v == TRACKER_NEW)
		conn_touch(c, dir, q->now_ms);
	if (SL_UNLIKELY(!was_open && c->phase >= CONN_BIDIR))
		ct_limits_answered(c);
	return v;
}

/* ---- what the packet carries away ---- */
static void write_mark(struct ct_conn *c, const struct conntrack_request *q)
{
	uint64_t v[2], m[2];

	rte_spinlock_lock(&c->lock);
	if (q->set_mark)
		__atomic_store_n(&c->mark, (c->mark & ~q->mark_mask) | (q->mark & q->mark_mask),
				 __ATOMIC_RELAXED);
	if (q->set_label) {
		memcpy(v, q->label, sizeof v);
		memcpy(m, q->label_mask, sizeof m);
		for (unsigned i = 0; i < 2; i++)
			__atomic_store_n(&c->label[i], (c->label[i] & ~m[i]) | (v[i] & m[i]),
					 __ATOMIC_RELAXED);
	}
	spin_unlock(&c->lock);
}

static void fill_meta(struct conntrack_meta *m, uint32_t context, const struct ct_conn *c,
		      const struct ct_tuple *packet)
{
	typedef uint64_t pair __attribute__((vector_size(16)));

	m->state |= CT_STATE_TRK;
	m->context = context;
	if (SL_LIKELY(c != NULL)) {
		m->mark = __atomic_load_n(&c->mark, __ATOMIC_RELAXED);
		/* In one store: it is read in one load. */
		pair label = {__atomic_load_n(&c->label[0], __ATOMIC_RELAXED),
			      __atomic_load_n(&c->label[1], __ATOMIC_RELAXED)};
		memcpy(m->label, &label, sizeof label);
		m->orig = &c->node[CONN_ORIG].tuple;
		return;
	}
	m->mark = 0;
	memset(m->label, 0, sizeof m->label);
	if (packet)
		m->own = *packet;
	else
		memset(&m->own, 0, sizeof m->own);
	m->orig = &m->own;
}

static void translate(const struct ct_conn *c, unsigned dir, const struct ct_packet *p,
		      struct conntrack_meta *m, struct ct_rewrite *rw)
{
	if (m->state & (CT_STATE_SNAT | CT_STATE_DNAT))
		return; /* already, by an earlier ct() */
	m->state |= ct_nat_state(c, dir);
	ct_nat_rewrite(c, dir, rw);
	rw->related = p->related;
	rw->inner_l3 = p->inner_l3;
	rw->inner_l4 = p->inner_l4;
}

static enum drop_reason begin(struct ct_thread *t, const struct conntrack_request *q,
			      const struct ct_packet *p, struct conntrack_meta *m,
			      struct ct_rewrite *rw, struct ct_expectation *e, struct ct_conn **out)
{
	enum drop_reason why;
	bool announced;

	if (!tracker_may_begin(p) || (q->sum_ok && !q->sum_ok(q->aux))) {
		m->state = CT_STATE_INV;
		COUNT(t, invalid);
		return DROP_NONE;
	}
	announced = ct_expect_find(&p->tuple, q->now_ms, q->commit, e);
	m->state = CT_STATE_NEW | (announced ? CT_STATE_REL : 0);
	if (!q->commit)
		return DROP_NONE;
	why = create(t, q, p, announced ? e : NULL, out);
	if (*out && q->nat)
		translate(*out, CONN_ORIG, p, m, rw);
	return why;
}

/* True: the connection stays; false: the packet begins another. */
static bool follow(struct ct_thread *t, struct ct_conn *c, const struct conntrack_request *q,
		   const struct ct_packet *p, unsigned dir, struct conntrack_meta *m)
{
	enum tracker_verdict v;

	if (p->related) {
		if (q->sum_ok && !q->sum_ok(q->aux)) {
			m->state = CT_STATE_INV;
			return true;
		}
		m->state |= CT_STATE_REL | (dir == CONN_REPLY ? CT_STATE_RPL : 0);
		return true;
	}
	v = update(c, q, p, dir);
	if (c->related)
		m->state |= CT_STATE_REL;
	switch (v) {
	case TRACKER_OK:
		m->state = (uint8_t)((m->state & ~CT_STATE_NEW) | CT_STATE_EST |
				     (dir == CONN_REPLY ? CT_STATE_RPL : 0));
		break;
	case TRACKER_NEW:
		m->state |= CT_STATE_NEW;
		break;
	case TRACKER_INVALID:
		m->state = CT_STATE_INV;
		COUNT(t, invalid);
		break;
	case TRACKER_REPLACE:
		conntrack_remove(c);
		return false;
	}
	return true;
}

enum drop_reason conntrack_run(const struct conntrack_request *q, struct conntrack_meta *m,
			       struct ct_rewrite *rw)
{
	struct ct_thread *t = threads[q->thread_idx];
	struct ct_packet p;
	struct ct_expectation e; /* valid when until_ms is set */
	struct ct_conn *c;
	enum drop_reason why = DROP_NONE;
	unsigned dir = CONN_ORIG;
	bool translated;

	rw->any = rw->shifted = false;
	rw->edit.n_old = 0;
	e.until_ms = 0;
	if (SL_UNLIKELY(!t)) {
		if (conntrack_thread_create(q->thread_idx))
			return DROP_CT_NO_MEMORY;
		t = threads[q->thread_idx];
	}
	if (m->state && m->context != q->context)
		m->state = 0;
	translated = m->state & (CT_STATE_SNAT | CT_STATE_DNAT);
	if (SL_UNLIKELY(!ct_packet_parse(&p, q->data, q->len, q->pkt_len, q->ofs, q->context) ||
			(p.tracked_by_id && q->context > CT_ZONE_MAX &&
			 !ct_fragment_track(&p, q->now_ms)))) {
		m->state = CT_STATE_INV;
		COUNT(t, invalid);
		fill_meta(m, q->context, NULL, NULL);
		return DROP_NONE;
	}
	if (SL_UNLIKELY(p.tracked_by_id && q->context <= CT_ZONE_MAX))
		return CONNTRACK_FRAGMENT;
	c = find(t, q, &p, translated, &dir);
	if (c && q->force && dir == CONN_REPLY) {
		conntrack_remove(c);
		c = NULL;
	}
	if (c && SL_UNLIKELY(c->alg == CT_ALG_FTP) && !p.related)
		ct_shift_packet(c, &p, dir, translated, rw);
	if (c && follow(t, c, q, &p, dir, m)) {
		if (q->nat)
			translate(c, dir, &p, m, rw);
		rw->any |= rw->shifted &= q->nat != NULL;
	} else {
		c = NULL;
		dir = CONN_ORIG;
		rw->shifted = false;
		why = begin(t, q, &p, m, rw, &e, &c);
	}
	if (why != DROP_NONE)
		return why;
	if (c && (q->set_mark || q->set_label))
		write_mark(c, q);
	/* What was translated before was read before. */
	if (c && SL_UNLIKELY(c->alg) && !p.related && !translated && !(m->state & CT_STATE_INV) &&
	    !ct_alg_packet(c, &p, dir,
			   &(struct ct_alg_ask){q->data, q->len, q->now_ms, q->nat, q->may_edit},
			   rw))
		return DROP_CT_ALG_AGAIN;
	fill_meta(m, q->context, c, &p.tuple);
	if (SL_UNLIKELY(!c && e.until_ms)) { /* not committed yet, but already announced */
		m->mark = e.mark;
		memcpy(m->label, e.label, sizeof m->label);
	}
	return DROP_NONE;
}

/* ---- the short way ---- */
struct steady { /* what is the burst's */
	uint32_t now_ms, established_ms;
	bool check_window;
};

/* Not translated, helped or announced by another, and answered. */
static inline bool is_plain(const struct ct_conn *c)
{
	return c->phase == CONN_BIDIR && !(c->nat & (NAT_SRC | NAT_DST)) && !c->alg && !c->related;
}

/* Mostly its own direction has been seen within the second, and nothing is written. */
static inline bool keep_alive(struct ct_conn *c, unsigned dir, uint32_t now_ms)
{
	uint32_t ago = now_ms - __atomic_load_n(&c->side[dir].seen_ms, __ATOMIC_RELAXED);

	if (SL_LIKELY(ago < 1000 && ago < __atomic_load_n(&c->timeout_ms, __ATOMIC_RELAXED)))
		return true;
	if (conn_left_ms(c, now_ms) <= 0)
		return false;
	conn_touch(c, dir, now_ms);
	return true;
}

static inline bool follow_tcp(const struct steady *s, struct ct_conn *c, unsigned dir,
			      const struct rte_mbuf *m, const struct flow_offsets *ofs)
{
	const uint8_t *tcp = rte_pktmbuf_mtod_offset(m, const uint8_t *, ofs->l4);
	uint32_t header, behind;

	if (SL_UNLIKELY(m->data_len < ofs->l4 + 20u))
		return false;
	header = (tcp[12] >> 4) * 4u;
	behind = ofs->l4 + header;
	if (SL_UNLIKELY(header < 20 || m->data_len < behind))
		return false;
	behind += ofs->tail_pad;
	return tracker_tcp_follow(c, tcp, m->pkt_len > behind ? m->pkt_len - behind : 0, dir,
				  s->check_window, s->established_ms);
}

unsigned conntrack_steady(const struct conntrack_request *q, struct rte_mbuf *const *pkt,
			  const struct flow_offsets *ofs, const struct conntrack_hint *const *hint,
			  unsigned n, struct conntrack_seen *out)
{
	const struct steady s = {
		.now_ms = q->now_ms,
		.established_ms = timeouts(q->context)->ms[CT_TIMEOUT_TCP_ESTABLISHED],
		.check_window = checks_window(q),
	};
	unsigned i;

	for (i = 0; i < n && hint[i]; i++) {
		struct conn_node *node = hint[i]->node;
		struct ct_conn *c;
		unsigned dir;

		if (SL_UNLIKELY(!is_it(node, &hint[i]->tuple)))
			break;
		c = conn_of(node);
		dir = conn_node_dir(node);
		if (SL_UNLIKELY(!is_plain(c)))
			break;
		if (node->tuple.proto == 6
			    ? !follow_tcp(&s, c, dir, pkt[i], &ofs[i])
			    : node->tuple.proto != 17 || pkt[i]->data_len < ofs[i].l4 + 8u)
			break;
		if (SL_UNLIKELY(!keep_alive(c, dir, s.now_ms)))
			break;
		out[i] = (struct conntrack_seen){c, CT_STATE_TRK | CT_STATE_EST |
							    (dir == CONN_REPLY ? CT_STATE_RPL : 0)};
	}
	return i;
}

static bool opens(const struct rte_mbuf *m, const struct flow_offsets *ofs)
{
	const uint8_t *l4 = rte_pktmbuf_mtod_offset(m, const uint8_t *, ofs->l4);

	if (ofs->ip_proto == 17)
		return m->data_len >= ofs->l4 + 8u;
	return ofs->ip_proto == 6 && m->data_len >= ofs->l4 + 20u && l4[12] >> 4 >= 5 &&
	       m->data_len >= ofs->l4 + (l4[12] >> 4) * 4u && (l4[13] & 0x3f) == TCP_SYN;
}

bool conntrack_is_new(const struct conntrack_request *q, struct rte_mbuf *m,
		      const struct flow_offsets *ofs, const struct conntrack_hint *h,
		      struct conntrack_meta *meta)
{
	if (q->commit || !h->hashed || h->node || !conn_table_is_absent(h->hash, &h->absence) ||
	    !opens(m, ofs) || ct_expect_count() || (q->sum_ok && !q->sum_ok(m)))
		return false;
	meta->state = CT_STATE_NEW;
	fill_meta(meta, q->context, NULL, NULL);
	meta->orig = &h->tuple;
	return true;
}

void conntrack_steady_meta(const struct ct_conn *c, uint32_t context, uint8_t state,
			   struct conntrack_meta *m)
{
	m->state = state;
	fill_meta(m, context, c, NULL);
}

void conntrack_stats(struct conntrack_stats *out)
{
	memset(out, 0, sizeof *out);
	for (unsigned i = 0; i < THREADS_ALL; i++) {
		const struct ct_thread *t = __atomic_load_n(&threads[i], __ATOMIC_ACQUIRE);
		const uint64_t *from = t ? (const uint64_t *)&t->stats : NULL;
		uint64_t *to = (uint64_t *)out;

		for (unsigned k = 0; from && k < sizeof *out / 8; k++)
			to[k] += __atomic_load_n(&from[k], __ATOMIC_RELAXED);
	}
}
