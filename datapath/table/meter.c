/* SPDX-License-Identifier: BSD-3-Clause */
/* Meters: running them, and changes under the version lock. */
#include "datapath/table/meter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"
#include "datapath/table/ptr_table.h"

struct meter_table {
	struct ptr_table meters; /* readers */
	struct ptr_table next;   /* the writers' view */
};

/* ---- running ---- */
/* The stamp says when the bucket would be empty of debt; a packet adds its cost and conforms while
 * the stamp is at most depth ahead of now. */
static bool exceeds(struct meter_band *band, uint64_t cost_ns, uint64_t now_ns)
{
	uint64_t stamp = __atomic_load_n(&band->full_at_ns, __ATOMIC_RELAXED), next;

	do {
		next = SL_MAX(stamp, now_ns) + cost_ns;
		if (next > now_ns + band->depth_ns)
			return true;
	} while (!__atomic_compare_exchange_n(&band->full_at_ns, &stamp, next, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return false;
}

const struct meter_band *meter_run(struct meter *m, uint32_t bytes, uint64_t now_ns)
{
	struct meter_band *hit = NULL;

	__atomic_add_fetch(&m->pkts, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&m->bytes, bytes, __ATOMIC_RELAXED);
	for (uint16_t i = 0; i < m->n_bands; i++) {
		struct meter_band *band = &m->band[i];
		uint64_t units = m->flags & METER_PKTPS ? 1 : bytes * 8ull;

		if (exceeds(band, units * band->cost_ps / 1000, now_ns) &&
		    (!hit || band->rate > hit->rate))
			hit = band;
	}
	if (hit) {
		__atomic_add_fetch(&hit->pkts, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&hit->bytes, bytes, __ATOMIC_RELAXED);
	}
	return hit;
}

uint8_t meter_remark_dscp(const struct meter_band *band, uint8_t dscp)
{
	unsigned class = dscp >> 3, precedence = dscp >> 1 & 3;

	if (class < 1 || class > 4 || !precedence || dscp & 1)
		return dscp;
	precedence = SL_MIN(precedence + band->prec_level, 3u);
	return (uint8_t)(class << 3 | precedence << 1);
}

/* ---- table ---- */
static uint64_t hash_id(uint32_t id)
{
	return hash_u64(id + 0x51ed270b9a3full);
}

static uint64_t hash_meter(const void *p)
{
	return hash_id(((const struct meter *)p)->id);
}

struct meter_table *meter_table_create(void)
{
	struct meter_table *t = xzalloc(sizeof *t);

	ptr_table_init(&t->meters, hash_meter);
	ptr_table_init(&t->next, hash_meter);
	return t;
}

static void put_meter(void *p)
{
	credit_put(&((struct meter *)p)->credit);
}

void meter_table_destroy(struct meter_table *t)
{
	uint32_t pos = 0;
	struct meter *m;

	if (!t)
		return;
	while ((m = ptr_table_next(&t->meters, &pos)))
		put_meter(m);
	ptr_table_destroy(&t->meters);
	ptr_table_destroy(&t->next);
	free(t);
}

static struct meter *lookup(const struct ptr_table *t, uint32_t id)
{
	struct ptr_iter it = ptr_iter_start(t, hash_id(id));
	struct meter *m;

	while ((m = ptr_iter_next(&it)) && m->id != id)
		;
	return m;
}

struct meter *meter_find(const struct bridge *b, uint32_t id)
{
	return lookup(&b->meters->meters, id);
}

struct meter *meter_next(const struct bridge *b, uint32_t id)
{
	return lookup(&b->meters->next, id);
}

struct meter *meter_iter(const struct bridge *b, uint32_t *pos)
{
	return ptr_table_next(&b->meters->meters, pos);
}

uint32_t meter_ref_count(const struct bridge *b, uint32_t id)
{
	struct rule_filter f;
	uint64_t cursor = 0;
	uint32_t n = 0;
	const struct rule *r;

	rule_filter_init(&f);
	while ((r = rule_next(b, &f, &cursor)))
		n += rule_uses_meter(r, id);
	return n;
}

/* ---- changes ---- */
static void free_meter(struct credit_target *c)
{
	struct meter *m = SL_CONTAINER_OF(c, struct meter, credit);

	free((void *)m->blob);
	free(m);
}

static void set_band(struct meter_band *band, const struct meter_band_spec *s, uint16_t flags)
{
	/* kbit/s or packets/s to picoseconds per bit or packet; without a burst, one second's worth
	 * may come at once. */
	uint64_t units_per_s = flags & METER_PKTPS ? s->rate : s->rate * 1000ull;
	uint64_t burst = flags & METER_BURST && s->burst ? s->burst : s->rate;

	if (!(flags & METER_PKTPS))
		burst *= 1000;
	*band = (struct meter_band){
		.type = s->type, .prec_level = s->prec_level, .rate = s->rate, .burst = s->burst};
	band->cost_ps = 1000000000000ull / units_per_s;
	band->depth_ns = (uint64_t)((double)burst * 1e9 / (double)units_per_s);
}

static struct meter *build(const struct meter_mod *mm, uint64_t now_ms)
{
	struct meter *m = xzalloc(sizeof *m);

	credit_init(&m->credit, free_meter);
	m->id = mm->id;
	m->flags = mm->flags;
	m->n_bands = mm->n_bands;
	m->created_ms = now_ms;
	m->blob_len = mm->blob_len;
	m->blob = mm->blob_len ? xmemdup(mm->blob, mm->blob_len) : NULL;
	for (uint16_t i = 0; i < mm->n_bands; i++)
		set_band(&m->band[i], &mm->band[i], mm->flags);
	return m;
}

struct meter_step {
	struct meter_table *table;
	struct meter *old, *new; /* either may be NULL */
};

static void swap(struct ptr_table *t, struct meter *old, struct meter *new)
{
	if (old)
		ptr_table_remove(t, old, hash_meter(old));
	if (new)
		ptr_table_insert(t, new, hash_meter(new));
}

static void publish(void *p)
{
	struct meter_step *s = p;

	if (s->old && s->new) { /* counts go on */
		s->new->pkts += s->old->pkts;
		s->new->bytes += s->old->bytes;
	}
	/* The new one first: a reader in between must find one. */
	if (s->new)
		ptr_table_insert(&s->table->meters, s->new, hash_meter(s->new));
	if (s->old) {
		ptr_table_remove(&s->table->meters, s->old, hash_meter(s->old));
		txn_later(put_meter, s->old);
	}
	free(s);
}

static void undo(void *p)
{
	struct meter_step *s = p;

	swap(&s->table->next, s->new, s->old);
	if (s->new)
		credit_put(&s->new->credit);
	free(s);
}

static void put_step(struct txn *t, struct bridge *b, struct meter *old, struct meter *new)
{
	struct meter_step *s = xmalloc(sizeof *s);

	*s = (struct meter_step){b->meters, old, new};
	swap(&b->meters->next, old, new);
	txn_step(t, publish, NULL, undo, s);
	txn_change(t, CHANGE_METER, b->id, (old ? old : new)->id, NULL);
}

static int refuse(const struct bridge *b, const struct meter_mod *mm, uint32_t *ofp, uint32_t code,
		  struct err *e, int err, const char *why)
{
	if (ofp)
		*ofp = code;
	return err_set(e, err, "bridge %s: meter %u: %s", b->name, mm->id, why);
}

static int check(const struct bridge *b, const struct meter_mod *mm, uint32_t *ofp, struct err *e)
{
	if (!mm->id || (mm->id > METER_ID_MAX && mm->id < 0xfffffffdu) || mm->id == 0xffffffff)
		return refuse(b, mm, ofp, MM_ERR_INVALID_METER, e, EINVAL, "impossible id");
	if (mm->n_bands > METER_BANDS_MAX)
		return refuse(b, mm, ofp, MM_ERR_OUT_OF_BANDS, e, ENOSPC, "too many bands");
	for (uint16_t i = 0; i < mm->n_bands; i++) {
		if (!mm->band[i].rate)
			return refuse(b, mm, ofp, MM_ERR_BAD_RATE, e, EINVAL, "a rate of 0");
		if (mm->band[i].type != METER_BAND_DROP &&
		    mm->band[i].type != METER_BAND_DSCP_REMARK)
			return refuse(b, mm, ofp, MM_ERR_BAD_BAND, e, EINVAL, "unknown band type");
	}
	return 0;
}

static void delete (struct txn *t, struct bridge *b, struct meter *m)
{
	flow_mod_delete_meter_users(t, b, m->id);
	put_step(t, b, m, NULL);
}

/* Seen first, deleted then: the table shrinks, and a walk would miss what has moved. */
static void delete_all(struct txn *t, struct bridge *b)
{
	VEC(struct meter *) all = {0};
	struct meter *m;
	uint32_t pos = 0;

	while ((m = ptr_table_next(&b->meters->next, &pos)))
		vec_push(&all, m);
	VEC_FOR_EACH (it, &all)
		delete (t, b, *it);
	vec_free(&all);
}

int meter_mod(struct txn *t, struct bridge *b, const struct meter_mod *mm, uint32_t *ofp,
	      struct err *e)
{
	struct meter *old = meter_next(b, mm->id);
	int r;

	if (ofp)
		*ofp = 0;
	switch (mm->command) {
	case METER_MOD_ADD:
		if (old)
			return refuse(b, mm, ofp, MM_ERR_METER_EXISTS, e, EEXIST, "exists");
		if (b->meters->next.live >= METERS_MAX)
			return refuse(b, mm, ofp, MM_ERR_OUT_OF_METERS, e, ENOSPC,
				      "too many meters");
		break;
	case METER_MOD_MODIFY:
		if (!old)
			return refuse(b, mm, ofp, MM_ERR_UNKNOWN_METER, e, ENOENT, "not found");
		break;
	case METER_MOD_DELETE:
		if (old)
			delete (t, b, old);
		if (mm->id == 0xffffffff)
			delete_all(t, b);
		return 0;
	default:
		return refuse(b, mm, ofp, MM_ERR_BAD_COMMAND, e, EINVAL, "unknown command");
	}
	r = check(b, mm, ofp, e);
	if (!r)
		put_step(t, b, old, build(mm, old ? old->created_ms : t->now_ms));
	return r;
}
