/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: look-ups, and changes under the version lock. */
#include "datapath/table/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/table/bridge.h"
#include "datapath/table/flow_mod.h"
#include "datapath/table/ptr_table.h"

struct group_table {
	struct ptr_table groups; /* several generations of an id may be in it */
	uint32_t n_live;
};

static uint64_t hash_id(uint32_t id)
{
	return hash_u64(id + 0x9e3779b97f4a7c15ull);
}

static uint64_t hash_group(const void *p)
{
	return hash_id(((const struct group *)p)->id);
}

struct group_table *group_table_create(void)
{
	struct group_table *t = xzalloc(sizeof *t);

	ptr_table_init(&t->groups, hash_group);
	return t;
}

/* ---- look-ups ---- */
const struct group *group_lookup(const struct bridge *b, uint32_t id, uint64_t version)
{
	struct ptr_iter it = ptr_iter_start(&b->groups->groups, hash_id(id));
	const struct group *g;

	while ((g = ptr_iter_next(&it)))
		if (g->id == id && g->added <= version &&
		    version < __atomic_load_n(&g->removed, __ATOMIC_RELAXED))
			return g;
	return NULL;
}

const struct group *group_next(const struct bridge *b, uint32_t id)
{
	struct ptr_iter it = ptr_iter_start(&b->groups->groups, hash_id(id));
	const struct group *g;

	while ((g = ptr_iter_next(&it)))
		if (g->id == id && g->removed == RULE_NOT_REMOVED)
			return g;
	return NULL;
}

const struct group *group_iter(const struct bridge *b, uint32_t *pos)
{
	const struct group *g;

	while ((g = ptr_table_next(&b->groups->groups, pos)))
		if (g->removed == RULE_NOT_REMOVED)
			return g;
	return NULL;
}

static bool is_live(const struct bridge *b, const struct group_bucket *bucket, uint64_t version,
		    unsigned depth)
{
	const struct bridge_port *p;
	const struct group *g;

	if (bucket->watch_port != OFP_PORT_ANY) {
		p = bridge_port_by_ofport(b, bucket->watch_port);
		if (p && bridge_port_is_live(p))
			return true;
		if (bucket->watch_group == 0xffffffff)
			return false;
	}
	if (bucket->watch_group == 0xffffffff)
		return true;
	g = depth ? group_lookup(b, bucket->watch_group, version) : NULL;
	for (uint32_t i = 0; g && i < g->n_buckets; i++)
		if (is_live(b, &g->bucket[i], version, depth - 1))
			return true;
	return false;
}

bool group_bucket_is_live(const struct bridge *b, const struct group_bucket *bucket,
			  uint64_t version)
{
	enum { WATCH_DEPTH = 8 };

	return is_live(b, bucket, version, WATCH_DEPTH);
}

uint32_t group_ref_count(const struct bridge *b, uint32_t id)
{
	struct rule_filter f;
	uint64_t cursor = 0;
	uint32_t n = 0;

	rule_filter_init(&f);
	f.out_group = id;
	while (rule_next(b, &f, &cursor))
		n++;
	return n;
}

/* ---- making and freeing ---- */
static void free_stats(struct credit_target *c)
{
	free(SL_CONTAINER_OF(c, struct group_stats, credit));
}

static struct group_stats *make_stats(void)
{
	struct group_stats *s = xzalloc(sizeof *s);

	credit_init(&s->credit, free_stats);
	return s;
}

static void free_group(void *p)
{
	struct group *g = p;

	for (uint32_t i = 0; i < g->n_buckets; i++) {
		free((void *)g->bucket[i].actions);
		credit_put(&g->bucket[i].stats->credit);
	}
	credit_put(&g->stats->credit);
	free((void *)g->fields);
	free((void *)g->blob);
	free(g);
}

void group_table_destroy(struct group_table *t)
{
	uint32_t pos = 0;
	struct group *g;

	if (!t)
		return;
	while ((g = ptr_table_next(&t->groups, &pos)))
		free_group(g);
	ptr_table_destroy(&t->groups);
	free(t);
}

static struct minimatch *copy_match(const struct minimatch *m)
{
	struct minimatch *c;

	if (!m)
		return NULL;
	c = aligned_alloc(SL_CACHE_LINE, minimatch_size(m));
	if (!c)
		abort();
	memcpy(c, m, minimatch_size(m));
	return c;
}

static struct group *build(const struct group_mod *gm, const struct group_bucket_spec *buckets,
			   uint32_t n, const struct txn *t)
{
	struct group *g = xzalloc(sizeof *g + n * sizeof g->bucket[0]);

	g->added = t->version;
	g->removed = RULE_NOT_REMOVED;
	g->id = gm->id;
	g->type = gm->type;
	g->method = gm->method;
	g->param = gm->param;
	g->fields = copy_match(gm->fields);
	g->stats = make_stats();
	g->created_ms = t->now_ms;
	g->blob_len = gm->blob_len;
	g->blob = gm->blob_len ? xmemdup(gm->blob, gm->blob_len) : NULL;
	g->n_buckets = n;
	for (uint32_t i = 0; i < n; i++) {
		const struct group_bucket_spec *s = &buckets[i];

		g->bucket[i] = (struct group_bucket){.id = s->id == BUCKET_ALL ? i : s->id,
						     .weight = s->weight,
						     .watch_port = s->watch_port,
						     .watch_group = s->watch_group,
						     .actions_len = s->actions_len,
						     .stats = make_stats()};
		if (s->actions_len)
			g->bucket[i].actions = xmemdup(s->actions, s->actions_len);
	}
	return g;
}

/* ---- steps ---- */
struct group_step {
	struct group_table *table;
	struct group *g;
};

static struct group_step *make_step(struct group_table *table, struct group *g)
{
	struct group_step *s = xmalloc(sizeof *s);

	*s = (struct group_step){table, g};
	return s;
}

static void undo_add(void *p)
{
	struct group_step *s = p;

	ptr_table_remove(&s->table->groups, s->g, hash_group(s->g));
	s->table->n_live--;
	txn_later(free_group, s->g);
	free(s);
}

static void undo_remove(void *p)
{
	struct group_step *s = p;

	s->g->removed = RULE_NOT_REMOVED;
	s->table->n_live++;
	free(s);
}

/* A grace period after the removal; a bridge that goes as well is freed later. */
static void unlink_group(void *p)
{
	struct group_step *s = p;

	version_lock();
	ptr_table_remove(&s->table->groups, s->g, hash_group(s->g));
	txn_later(free_group, s->g);
	version_unlock();
	free(s);
}

static void done_remove(void *p)
{
	txn_later(unlink_group, p);
}

static void put_in(struct txn *t, struct bridge *b, struct group *g)
{
	ptr_table_insert(&b->groups->groups, g, hash_group(g));
	b->groups->n_live++;
	txn_step(t, NULL, free, undo_add, make_step(b->groups, g));
	txn_change(t, CHANGE_GROUP, b->id, g->id, NULL);
}

static void take_out(struct txn *t, struct bridge *b, const struct group *g)
{
	struct group *w = (struct group *)g;

	__atomic_store_n(&w->removed, t->version, __ATOMIC_RELAXED);
	b->groups->n_live--;
	txn_step(t, NULL, done_remove, undo_remove, make_step(b->groups, w));
	txn_change(t, CHANGE_GROUP, b->id, g->id, NULL);
}

/* ---- commands ---- */
static int refuse(const struct bridge *b, const struct group_mod *gm, uint32_t *ofp, uint32_t code,
		  struct err *e, int err, const char *why)
{
	if (ofp)
		*ofp = code;
	return err_set(e, err, "bridge %s: group %u: %s", b->name, gm->id, why);
}

static int check(const struct bridge *b, const struct group_mod *gm, uint32_t *ofp, struct err *e)
{
	if (gm->id > GROUP_ID_MAX)
		return refuse(b, gm, ofp, GM_ERR_INVALID_GROUP, e, EINVAL, "impossible id");
	if (gm->type > GROUP_FAST_FAILOVER)
		return refuse(b, gm, ofp, GM_ERR_BAD_TYPE, e, EINVAL, "unknown type");
	if (gm->n_buckets > BUCKETS_MAX)
		return refuse(b, gm, ofp, GM_ERR_OUT_OF_BUCKETS, e, ENOSPC, "too many buckets");
	if (gm->type == GROUP_INDIRECT && gm->n_buckets != 1)
		return refuse(b, gm, ofp, GM_ERR_INVALID_GROUP, e, EINVAL,
			      "an indirect group has one bucket");
	for (uint32_t i = 0; i < gm->n_buckets; i++)
		for (uint32_t j = i + 1; j < gm->n_buckets; j++)
			if (gm->buckets[i].id == gm->buckets[j].id &&
			    gm->buckets[i].id != BUCKET_ALL)
				return refuse(b, gm, ofp, GM_ERR_BUCKET_EXISTS, e, EEXIST,
					      "two buckets have the same id");
	return 0;
}

static void delete (struct txn *t, struct bridge *b, const struct group *g)
{
	flow_mod_delete_group_users(t, b, g->id);
	take_out(t, b, g);
}

static void specs_of(const struct group *g, struct group_bucket_spec *out)
{
	for (uint32_t i = 0; i < g->n_buckets; i++) {
		const struct group_bucket *k = &g->bucket[i];

		out[i] = (struct group_bucket_spec){k->id,          k->weight,  k->watch_port,
						    k->watch_group, k->actions, k->actions_len};
	}
}

static uint32_t find_bucket(const struct group *g, uint32_t id)
{
	for (uint32_t i = 0; i < g->n_buckets; i++)
		if (g->bucket[i].id == id)
			return i;
	return UINT32_MAX;
}

/* The group with other buckets; type and selection stay. */
static void rebuild(struct txn *t, struct bridge *b, const struct group *old,
		    const struct group_mod *gm, const struct group_bucket_spec *buckets, uint32_t n)
{
	struct group_mod as = {.type = old->type,
			       .method = old->method,
			       .id = old->id,
			       .param = old->param,
			       .fields = old->fields,
			       .blob = gm->blob_len ? gm->blob : old->blob,
			       .blob_len = gm->blob_len ? gm->blob_len : old->blob_len};
	struct group *g = build(&as, buckets, n, t);

	g->created_ms = old->created_ms;
	take_out(t, b, old);
	put_in(t, b, g);
}

static int insert_buckets(struct txn *t, struct bridge *b, const struct group *old,
			  const struct group_mod *gm, uint32_t *ofp, struct err *e)
{
	uint32_t n = old->n_buckets + gm->n_buckets, at = 0;
	struct group_bucket_spec *have, *all;

	if (n > BUCKETS_MAX)
		return refuse(b, gm, ofp, GM_ERR_OUT_OF_BUCKETS, e, ENOSPC, "too many buckets");
	for (uint32_t i = 0; i < gm->n_buckets; i++)
		if (find_bucket(old, gm->buckets[i].id) != UINT32_MAX)
			return refuse(b, gm, ofp, GM_ERR_BUCKET_EXISTS, e, EEXIST,
				      "a bucket with that id exists");
	if (gm->command_bucket == BUCKET_LAST) {
		at = old->n_buckets;
	} else if (gm->command_bucket != BUCKET_FIRST) {
		at = find_bucket(old, gm->command_bucket);
		if (at == UINT32_MAX)
			return refuse(b, gm, ofp, GM_ERR_UNKNOWN_BUCKET, e, ENOENT,
				      "no such bucket to insert after");
		at++;
	}
	have = xcalloc(old->n_buckets + 1, sizeof *have);
	all = xcalloc(n + 1, sizeof *all);
	specs_of(old, have);
	memcpy(all, have, at * sizeof *all);
	memcpy(all + at, gm->buckets, gm->n_buckets * sizeof *all);
	memcpy(all + at + gm->n_buckets, have + at, (old->n_buckets - at) * sizeof *all);
	rebuild(t, b, old, gm, all, n);
	free(have);
	free(all);
	return 0;
}

static int remove_buckets(struct txn *t, struct bridge *b, const struct group *old,
			  const struct group_mod *gm, uint32_t *ofp, struct err *e)
{
	uint32_t n = old->n_buckets, at = 0;
	struct group_bucket_spec *all;

	if (gm->command_bucket != BUCKET_ALL && gm->command_bucket != BUCKET_FIRST &&
	    gm->command_bucket != BUCKET_LAST) {
		at = find_bucket(old, gm->command_bucket);
		if (at == UINT32_MAX)
			return refuse(b, gm, ofp, GM_ERR_UNKNOWN_BUCKET, e, ENOENT,
				      "no such bucket");
	} else if (gm->command_bucket == BUCKET_LAST && n) {
		at = n - 1;
	}
	all = xcalloc(n + 1, sizeof *all);
	specs_of(old, all);
	if (gm->command_bucket == BUCKET_ALL) {
		n = 0;
	} else if (n) {
		memmove(all + at, all + at + 1, (n - at - 1) * sizeof *all);
		n--;
	}
	rebuild(t, b, old, gm, all, n);
	free(all);
	return 0;
}

static int add_or_modify(struct txn *t, struct bridge *b, const struct group *old,
			 const struct group_mod *gm, uint32_t *ofp, struct err *e)
{
	struct group *g;

	if (!old && b->groups->n_live >= GROUPS_MAX)
		return refuse(b, gm, ofp, GM_ERR_OUT_OF_GROUPS, e, ENOSPC, "too many groups");
	g = build(gm, gm->buckets, gm->n_buckets, t);
	if (old) {
		g->created_ms = old->created_ms;
		take_out(t, b, old);
	}
	put_in(t, b, g);
	return 0;
}

static void delete_all(struct txn *t, struct bridge *b)
{
	uint32_t pos = 0;
	const struct group *g;

	while ((g = group_iter(b, &pos)))
		delete (t, b, g);
}

int group_mod(struct txn *t, struct bridge *b, const struct group_mod *gm, uint32_t *ofp,
	      struct err *e)
{
	const struct group *old;
	int r;

	if (ofp)
		*ofp = 0;
	if (gm->command == GROUP_MOD_DELETE && gm->id == GROUP_ID_ALL) {
		delete_all(t, b);
		return 0;
	}
	old = group_next(b, gm->id);
	if (gm->command == GROUP_MOD_DELETE) {
		if (old)
			delete (t, b, old);
		return 0;
	}
	if (gm->command != GROUP_MOD_ADD && gm->command != GROUP_MOD_ADD_OR_MODIFY && !old)
		return refuse(b, gm, ofp, GM_ERR_UNKNOWN_GROUP, e, ENOENT, "not found");
	switch (gm->command) {
	case GROUP_MOD_ADD:
		if (old)
			return refuse(b, gm, ofp, GM_ERR_GROUP_EXISTS, e, EEXIST, "exists");
		r = check(b, gm, ofp, e);
		return r ? r : add_or_modify(t, b, NULL, gm, ofp, e);
	case GROUP_MOD_MODIFY:
	case GROUP_MOD_ADD_OR_MODIFY:
		r = check(b, gm, ofp, e);
		return r ? r : add_or_modify(t, b, old, gm, ofp, e);
	case GROUP_MOD_INSERT_BUCKET:
		return insert_buckets(t, b, old, gm, ofp, e);
	case GROUP_MOD_REMOVE_BUCKET:
		return remove_buckets(t, b, old, gm, ofp, e);
	}
	return refuse(b, gm, ofp, GM_ERR_BAD_COMMAND, e, EINVAL, "unknown command");
}
