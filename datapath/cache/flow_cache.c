/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything about the cache but the lookup itself (classify_impl.h) and the choice of masks
 * (port_masks.h): installs, expiry. Runs on the owning poll thread; what the main thread does is
 * flow_collect.c. */
#include "datapath/cache/flow_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "datapath/base/log.h"
#include "datapath/cache/classify.h"
#include "datapath/cache/hit_form.h"
#include "datapath/cache/lattice.h"
#include "datapath/cache/port_masks.h"
#include "datapath/core/pool.h"
#include "datapath/core/rcu.h"
#include "datapath/core/version.h"
#include "datapath/resolve/resolve.h"

enum {
	SIG_BUCKETS = 8192, /* 64 K signatures, 512 KB: half of an L2 cache */
	IDLE_MS = 10000,
	SWEEP_SLOTS = 64,
	INSTALLS_PER_S = 1000000, /* per port and thread; a port that needs more is under attack */
};

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_HUGEPAGE);
	return p;
}

static uint32_t round_up_pow2(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

int flow_cache_create(unsigned thread_idx, uint32_t flow_limit, struct flow_cache **out)
{
	struct flow_cache *c = map(sizeof *c);
	uint32_t heads = round_up_pow2(flow_limit);

	if (!c)
		return -ENOMEM;
	c->thread_idx = thread_idx;
	c->flow_limit = flow_limit;
	c->flow_top = 1;
	c->sig_mask = SIG_BUCKETS - 1;
	c->head_mask = heads - 1;
	c->sig = map(SIG_BUCKETS * sizeof *c->sig);
	c->head = map((size_t)heads * sizeof *c->head);
	c->flow = map(((size_t)flow_limit + 1) * sizeof *c->flow);
	if (!c->sig || !c->head || !c->flow || info_pool_create(&c->infos) ||
	    getrandom(c->key, sizeof c->key, 0) != sizeof c->key) {
		flow_cache_destroy(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

static void push_retired(struct flow_cache *c, struct mf_info *info)
{
	info->next_retired = __atomic_load_n(&c->retired, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&c->retired, &info->next_retired, info, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

static void retire(struct flow_cache *c, struct megaflow *mf)
{
	struct mf_info *info = mf->info;

	info->final_pkts = mf->pkts;
	info->final_bytes = mf->bytes;
	info->final_used_ms = mf->used_ms;
	info->final_tcp_flags = mf->tcp_flags;
	__atomic_store_n(&mf->info, NULL, __ATOMIC_RELEASE);
	push_retired(c, info);
}

/* ---- megaflow table ---- */

static void unlink_flow(struct flow_cache *c, struct port_cache *pc, struct megaflow *mf)
{
	const struct mf_mask *m = pc->mask[mf->mask_idx];
	struct flow_key key = {0};
	uint16_t lines = mf->info->mask_lines;
	unsigned at = 0;

	for (unsigned l = 0; l < FLOW_KEY_LINES; l++)
		if (lines & (1u << l))
			memcpy((uint8_t *)&key + l * FLOW_LINE_BYTES, mf->info->lines[at++],
			       FLOW_LINE_BYTES);
	uint64_t h = classify_hash_masked(c, m, &key);
	uint32_t idx = (uint32_t)(mf - c->flow), *p = &c->head[h & c->head_mask];

	while (*p && *p != idx)
		p = &c->flow[*p].next;
	if (*p)
		*p = mf->next;
}

/* The slot rests until the burst that may hold its index is over. */
static void remove_flow(struct flow_cache *c, struct megaflow *mf)
{
	struct port_cache *pc;
	uint32_t in_port;

	memcpy(&in_port, mf->key, sizeof in_port);
	pc = c->port[in_port];
	unlink_flow(c, pc, mf);
	pc->mask[mf->mask_idx]->n_flows--;
	pc->n_flows--;
	retire(c, mf);
	memset(mf->key, 0, sizeof mf->key); /* in_port 0: no packet matches it */
	mf->flags = 0;
	mf->stamp = 0;
	mf->next = c->freed;
	c->freed = (uint32_t)(mf - c->flow);
	c->n_flows--;
}

void flow_cache_recycle(struct flow_cache *c)
{
	while (c->freed) {
		struct megaflow *mf = &c->flow[c->freed];
		uint32_t idx = c->freed;

		c->freed = mf->next;
		mf->next = c->flow_free;
		c->flow_free = idx;
	}
}

static struct megaflow *alloc_flow(struct flow_cache *c)
{
	uint32_t idx = c->flow_free;

	if (idx) {
		c->flow_free = c->flow[idx].next;
		return &c->flow[idx];
	}
	if (c->flow_top <= c->flow_limit)
		return &c->flow[c->flow_top++];
	return NULL;
}

/* Full: somebody has to go. Entries of the port that holds the most, oldest first among a few. */
static void evict(struct flow_cache *c, uint32_t now_ms)
{
	struct megaflow *victim = NULL;
	uint32_t most = 0, victim_age = 0;

	for (unsigned i = 0; i < 32; i++) {
		struct megaflow *mf;
		uint32_t in_port;

		if (++c->sweep_at >= c->flow_top)
			c->sweep_at = 1;
		mf = &c->flow[c->sweep_at];
		if (!(mf->flags & MF_LIVE))
			continue;
		memcpy(&in_port, mf->key, sizeof in_port);
		uint32_t n = c->port[in_port]->n_flows, age = now_ms - mf->used_ms;
		if (n > most || (n == most && age >= victim_age)) {
			most = n;
			victim_age = age;
			victim = mf;
		}
	}
	if (victim) {
		remove_flow(c, victim);
		c->evicted++;
	}
}

void flow_cache_remove_of_mask(struct flow_cache *c, struct port_cache *pc, unsigned slot)
{
	for (uint32_t i = 1; pc->mask[slot]->n_flows && i < c->flow_top; i++) {
		struct megaflow *mf = &c->flow[i];

		if ((mf->flags & MF_LIVE) && mf->mask_idx == slot &&
		    !memcmp(mf->key, &pc->port_id, sizeof pc->port_id))
			remove_flow(c, mf);
	}
}

/* ---- ports ---- */

struct port_cache *flow_cache_port(struct flow_cache *c, uint32_t port_id)
{
	struct port_cache *pc = c->port[port_id];

	if (pc)
		return pc;
	if (posix_memalign((void **)&pc, SL_CACHE_LINE, sizeof *pc))
		return NULL;
	memset(pc, 0, sizeof *pc);
	pc->port_id = port_id;
	pc->join = MASKS_PER_PORT;
	pc->install_tokens = INSTALLS_PER_S;
	port_masks_renew(pc);
	return c->port[port_id] = pc;
}

void flow_cache_port_forget(struct flow_cache *c, uint32_t port_id)
{
	struct port_cache *pc = c->port[port_id];

	if (!pc)
		return;
	for (uint32_t i = 1; pc->n_flows && i < c->flow_top; i++)
		if ((c->flow[i].flags & MF_LIVE) &&
		    !memcmp(c->flow[i].key, &port_id, sizeof port_id))
			remove_flow(c, &c->flow[i]);
	port_masks_forget(pc);
	free(pc);
	c->port[port_id] = NULL;
}

void flow_cache_flush(struct flow_cache *c)
{
	for (uint32_t i = 1; i < c->flow_top; i++)
		if (c->flow[i].flags & MF_LIVE)
			remove_flow(c, &c->flow[i]);
}

void flow_cache_restart(struct flow_cache *c, const uint64_t key[4], uint32_t now_ms)
{
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		flow_cache_port_forget(c, p);
	c->freed = c->flow_free = 0;
	c->flow_top = 1;
	c->sweep_at = 0;
	c->rank_at_ms = now_ms;
	c->sig_inserts = c->evicted = 0;
	__atomic_store_n(&c->n_masks, 0, __ATOMIC_RELAXED);
	memset(c->sig, 0, (c->sig_mask + 1) * sizeof *c->sig);
	memmove(c->key, key, sizeof c->key);
}

static void free_pool(void *p)
{
	info_pool_destroy(p);
}

void flow_cache_destroy(struct flow_cache *c)
{
	if (!c)
		return;
	if (c->flow && c->head)
		for (uint32_t p = 0; p < PORT_ID_MAX; p++)
			flow_cache_port_forget(c, p);
	flow_cache_collect(c, 0);
	if (c->infos)
		rcu_defer_noted(free_pool, c->infos); /* behind the infos that are still to come back */
	if (c->sig)
		munmap(c->sig, (c->sig_mask + 1) * sizeof *c->sig);
	if (c->head)
		munmap(c->head, ((size_t)c->head_mask + 1) * sizeof *c->head);
	if (c->flow)
		munmap(c->flow, ((size_t)c->flow_limit + 1) * sizeof *c->flow);
	munmap(c, sizeof *c);
}

/* ---- install ---- */

static bool take_token(struct port_cache *pc, uint32_t now_ms)
{
	uint32_t since = now_ms - (uint32_t)pc->install_refill_ms;

	if (since) {
		uint64_t t = pc->install_tokens + (uint64_t)since * (INSTALLS_PER_S / 1000);

		pc->install_tokens = (uint32_t)SL_MIN(t, (uint64_t)INSTALLS_PER_S);
		pc->install_refill_ms = now_ms;
	}
	if (!pc->install_tokens) {
		pc->installs_refused++;
		return false;
	}
	pc->install_tokens--;
	return true;
}

static struct mf_info *new_info(struct flow_cache *c, size_t n_bytes)
{
	struct mf_info *info = info_pool_get(c->infos, n_bytes);

	if (info) {
		memset(&info->pool, 0, sizeof *info - offsetof(struct mf_info, pool));
		info->pool = c->infos;
	}
	return info;
}

static struct mf_info *make_info(struct flow_cache *c, const struct resolve_result *r,
				 const struct flow_key *key, const struct mf_mask *mask)
{
	uint16_t n_mask = (uint16_t)__builtin_popcount(mask->lines);
	uint16_t n_written = (uint16_t)__builtin_popcount(r->written_lines);
	size_t lines = sizeof(struct mf_info) + (2u * n_mask + n_written) * FLOW_LINE_BYTES;
	size_t targets = r->n_credits * sizeof(struct credit_target *);
	size_t prog = sizeof(struct program) + r->prog.n_words * sizeof(union prog_word);
	struct flat_rewrite flat;
	uint32_t out_port;
	bool is_flat = r->prog.n_words > 1 &&
		       flat_rewrite_compile(&flat, r->prog.word, r->prog.n_words, &out_port);
	struct mf_info *info = new_info(c, lines + targets + prog + (is_flat ? sizeof flat : 0));

	if (!info)
		return NULL;
	info->mask_lines = mask->lines;
	info->written_lines = r->written_lines;
	info->deps = r->deps;
	info->drop_cookie = r->drop_cookie;
	info->origin = r->origin;
	info->n_targets = r->n_credits;
	unsigned at = 0;
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++) {
		if (!(mask->lines & (1u << l)))
			continue;
		const uint8_t *k = (const uint8_t *)key + l * FLOW_LINE_BYTES;
		const uint8_t *m = mf_mask_line(mask, l);

		for (unsigned b = 0; b < FLOW_LINE_BYTES; b++)
			info->lines[at][b] = k[b] & m[b];
		memcpy(info->lines[n_mask + at], m, FLOW_LINE_BYTES);
		at++;
	}
	at = 2u * n_mask;
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++)
		if (r->written_lines & (1u << l))
			memcpy(info->lines[at++],
			       (const uint8_t *)&r->written + l * FLOW_LINE_BYTES, FLOW_LINE_BYTES);
	info->target = (struct credit_target **)((uint8_t *)info + lines);
	for (unsigned i = 0; i < r->n_credits; i++) {
		info->target[i] = r->credits[i];
		credit_get(r->credits[i]);
	}
	info->prog = (struct program *)((uint8_t *)info + lines + targets);
	program_fill(info->prog, &r->prog);
	if (is_flat) {
		info->flat = (struct flat_rewrite *)((uint8_t *)info + lines + targets + prog);
		memcpy(info->flat, &flat, flat_rewrite_bytes(&flat));
	}
	return info;
}

void flow_cache_credit_once(struct flow_cache *c, const struct resolve_result *r, uint32_t bytes,
			    uint32_t now_ms)
{
	struct mf_info *info;

	if (!r->n_credits)
		return;
	info = new_info(c, sizeof *info + r->n_credits * sizeof(struct credit_target *));
	if (!info)
		return;
	info->n_targets = r->n_credits;
	info->target = (struct credit_target **)info->lines;
	for (unsigned i = 0; i < r->n_credits; i++) {
		info->target[i] = r->credits[i];
		credit_get(r->credits[i]);
	}
	info->final_pkts = 1;
	info->final_bytes = bytes;
	info->final_used_ms = now_ms;
	push_retired(c, info);
}

struct megaflow *flow_cache_install(struct flow_cache *c, struct port_cache *pc,
				    const struct flow_key *key, uint16_t key_lines,
				    const struct resolve_result *r, struct megaflow *stale,
				    uint32_t version, uint32_t now_ms)
{
	struct flow_key mask, full = {0};
	uint16_t lines = r->mask_lines | (1u << FLOW_LINE_BASE);

	if (stale && !(stale->flags & MF_LIVE))
		stale = NULL; /* another packet of the burst has replaced or removed it */
	if (!r->cacheable || !take_token(pc, now_ms)) {
		if (stale)
			remove_flow(c, stale);
		return NULL;
	}
	memset(&mask, 0, sizeof mask);
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++) {
		if (lines & (1u << l))
			memcpy((uint8_t *)&mask + l * FLOW_LINE_BYTES,
			       (const uint8_t *)&r->mask + l * FLOW_LINE_BYTES, FLOW_LINE_BYTES);
		if (key_lines & (1u << l))
			memcpy((uint8_t *)&full + l * FLOW_LINE_BYTES,
			       (const uint8_t *)key + l * FLOW_LINE_BYTES, FLOW_LINE_BYTES);
	}
	lattice_round_up(&mask, lines, LATTICE_FINE);
	int slot = port_masks_choose(c, pc, &mask, lines);
	if (slot < 0)
		return NULL;
	struct mf_info *info = make_info(c, r, &full, pc->mask[slot]);
	if (!info)
		return NULL;
	if (stale && (stale->flags & MF_LIVE) &&
	    (stale->mask_idx != slot || memcmp(stale->key, info->lines[0], FLOW_LINE_BYTES) ||
	     info->mask_lines != stale->info->mask_lines ||
	     memcmp(info->lines, stale->info->lines,
		    (size_t)__builtin_popcount(info->mask_lines) * FLOW_LINE_BYTES))) {
		remove_flow(c, stale); /* it now depends on other bits */
		stale = NULL;
	}
	struct megaflow *mf = stale && (stale->flags & MF_LIVE) ? stale : NULL;
	if (mf) {
		retire(c, mf);
		c->resolved_again++;
	} else {
		mf = alloc_flow(c);
		if (!mf) {
			evict(c, now_ms);
			mf_info_put_targets(info);
			info_pool_put(c->infos, info);
			return NULL; /* the slot is free from the next burst on */
		}
		uint64_t h = classify_hash_masked(c, pc->mask[slot], &full);
		memcpy(mf->key, info->lines[0], FLOW_LINE_BYTES);
		mf->mask_idx = (uint8_t)slot;
		mf->next = c->head[h & c->head_mask];
		c->head[h & c->head_mask] = (uint32_t)(mf - c->flow);
		pc->mask[slot]->n_flows++;
		pc->n_flows++;
		c->n_flows++;
	}
	mf->pkts = mf->bytes = 0;
	mf->tcp_flags = 0;
	mf->flags =
		MF_LIVE | (info->mask_lines & ~1u ? MF_HAS_EXT : 0) | (r->max_age_ms ? MF_AGED : 0);
	mf->version = version;
	mf->stamp = r->max_age_ms ? 0 : version;
	mf->expires_ms = now_ms + r->max_age_ms;
	mf->used_ms = now_ms;
	info->installed_ms = now_ms;
	info->installed_version = version;
	hit_form_choose(mf, info, pc->mask0[slot]);
	__atomic_store_n(&mf->info, info, __ATOMIC_RELEASE);
	return mf;
}

/* ---- the slow side of the lookup ---- */

/* As one store of 16 bytes, for the hash that loads as many (extract.c, put16). */
static inline void put_context(struct flow_key *key, uint32_t in_port)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	uint64_t rest;

	memcpy(&rest, key->eth_dst, sizeof rest);
	pair v = {in_port, rest}; /* recirc_id 0 */
	memcpy(key, &v, sizeof v);
}

void flow_cache_extract(struct burst *b, unsigned i, uint32_t in_port, enum extract_depth depth)
{
	struct rte_mbuf *m = b->pkt[i];
	struct flow_key *key = &b->key[i];
	uint16_t lines;

	/* A guest may send its headers in 1-byte segments. */
	if (SL_UNLIKELY(m->nb_segs > 1 && m->data_len < 256))
		pool_linearise(m, SL_MIN(m->pkt_len, 256u));
	lines = flow_extract_depth(depth, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
				   m->pkt_len, key, &b->ofs[i]);
	for (unsigned l = 1; depth == EXTRACT_FULL && l < FLOW_KEY_LINES; l++)
		if (!(lines & (1u << l)))
			memset((uint8_t *)key + l * FLOW_LINE_BYTES, 0, FLOW_LINE_BYTES);
	put_context(key, in_port);
	b->lines[i] = lines;
}

void flow_extract_l2_tagged(const uint8_t *data, uint32_t len, uint32_t in_port, uint8_t *out)
{
	struct flow_key key;

	flow_extract_l2(data, len, &key);
	key.in_port = in_port;
	key.recirc_id = 0;
	key.ip_proto = key.ip_tos = 0;
	memcpy(out, &key, 32);
}

static const uint8_t *info_written(const struct mf_info *info)
{
	return info->lines[2 * __builtin_popcount(info->mask_lines)];
}

bool megaflow_ext_matches(const struct megaflow *mf, const struct flow_key *key)
{
	const struct mf_info *info = mf->info;
	unsigned n = (unsigned)__builtin_popcount(info->mask_lines), at = 1;

	for (unsigned rest = info->mask_lines & ~1u; rest; rest &= rest - 1, at++) {
		const uint64_t *k =
			(const uint64_t *)((const uint8_t *)key +
					   (unsigned)__builtin_ctz(rest) * FLOW_LINE_BYTES);
		const uint64_t *v = (const uint64_t *)info->lines[at];
		const uint64_t *m = (const uint64_t *)info->lines[n + at];
		uint64_t differ = 0;

		for (unsigned w = 0; w < FLOW_LINE_BYTES / 8; w++)
			differ |= (k[w] ^ v[w]) & m[w];
		if (differ)
			return false;
	}
	return true;
}

bool megaflow_matches(const struct megaflow *mf, const struct mf_mask *m,
		      const struct flow_key *key, uint16_t lines)
{
	const uint8_t *k = (const uint8_t *)key;

	for (unsigned i = 0; i < FLOW_LINE_BYTES; i++)
		if ((k[i] ^ mf->key[i]) & m->line0[i])
			return false;
	return !(mf->flags & MF_HAS_EXT) || megaflow_ext_matches(mf, key);
}

static bool consult_log(struct flow_cache *c, struct megaflow *mf, uint32_t version)
{
	struct flow_key key = {0}, mask = {0}, written = {0};
	const struct mf_info *info = mf->info;
	unsigned n = (unsigned)__builtin_popcount(info->mask_lines), at = 0;

	for (unsigned rest = info->mask_lines; rest; rest &= rest - 1, at++) {
		unsigned o = (unsigned)__builtin_ctz(rest) * FLOW_LINE_BYTES;

		memcpy((uint8_t *)&key + o, info->lines[at], FLOW_LINE_BYTES);
		memcpy((uint8_t *)&mask + o, info->lines[n + at], FLOW_LINE_BYTES);
	}
	at = 0;
	for (unsigned rest = info->written_lines; rest; rest &= rest - 1, at++)
		memcpy((uint8_t *)&written + (unsigned)__builtin_ctz(rest) * FLOW_LINE_BYTES,
		       info_written(info) + at * FLOW_LINE_BYTES, FLOW_LINE_BYTES);
	struct version_subject s = {.deps = info->deps,
				    .key = &key,
				    .mask = &mask,
				    .written = &written,
				    .lines = info->mask_lines};
	/* Versions are 64-bit; entries keep 32 and expire long before those wrap. */
	uint64_t now = version_now();
	uint64_t v = now - (uint32_t)((uint32_t)now - version);
	if (version_affects(&s, v - (uint32_t)(version - mf->version), v))
		return false;
	mf->version = version;
	if (!(mf->flags & MF_AGED))
		mf->stamp = version;
	c->restamped++;
	return true;
}

bool flow_cache_is_fresh(struct flow_cache *c, struct megaflow *mf, uint32_t version,
			 uint32_t now_ms)
{
	if ((mf->flags & MF_AGED) && (int32_t)(now_ms - mf->expires_ms) >= 0)
		return false;
	return mf->version == version || consult_log(c, mf, version);
}

void flow_cache_remember(struct flow_cache *c, uint64_t hash, uint32_t idx)
{
	struct sig_bucket *b = &c->sig[hash & c->sig_mask];
	uint16_t sig = sig_of(hash);
	unsigned way = CACHE_SIG_WAYS;

	for (unsigned i = 0; i < CACHE_SIG_WAYS; i++) {
		if (b->sig[i] == sig) {
			way = i; /* a newer owner of the signature */
			break;
		}
		if (!b->sig[i] && way == CACHE_SIG_WAYS)
			way = i;
	}
	if (way == CACHE_SIG_WAYS)
		way = (unsigned)(c->sig_inserts % CACHE_SIG_WAYS);
	c->sig_inserts++;
	b->sig[way] = sig;
	b->idx[way] = idx;
}

/* ---- time ---- */

static void rank_masks(struct flow_cache *c)
{
	uint32_t n_masks = 0;

	for (uint32_t p = 1; p < PORT_ID_MAX; p++) {
		struct port_cache *pc = c->port[p];

		if (!pc)
			continue;
		port_masks_rank(pc);
		n_masks += pc->n_masks;
	}
	__atomic_store_n(&c->n_masks, n_masks, __ATOMIC_RELAXED);
}

/* ---- audit ---- */

bool flow_cache_entry_is_whole(const struct flow_cache *c, const struct megaflow *mf)
{
	const struct mf_info *info = mf->info;
	unsigned n = (unsigned)__builtin_popcount(info->mask_lines);
	const struct port_cache *pc;
	uint32_t in_port;

	memcpy(&in_port, info->lines[0], sizeof in_port);
	pc = in_port < PORT_ID_MAX ? c->port[in_port] : NULL;
	if (!pc || mf->mask_idx >= MASKS_PER_PORT || !pc->mask[mf->mask_idx])
		return false;
	const uint8_t *mask0 = pc->mask0[mf->mask_idx];
	if (memcmp(mf->key, info->lines[0], FLOW_LINE_BYTES) ||
	    memcmp(mask0, info->lines[n], FLOW_LINE_BYTES) ||
	    memcmp(mask0, pc->mask[mf->mask_idx]->line0, FLOW_LINE_BYTES))
		return false;
	return hit_form_is_right(mf, mask0);
}

bool flow_cache_mask_covers(const struct flow_cache *c, const struct megaflow *mf,
			    const struct resolve_result *r, uint32_t version)
{
	const struct mf_info *info = mf->info;
	unsigned n = (unsigned)__builtin_popcount(info->mask_lines), at = n;

	if (info->installed_version != version)
		return true; /* what was read then may be another set of bits */
	for (unsigned l = 0; l < FLOW_KEY_LINES; l++) {
		const uint8_t *need = (const uint8_t *)&r->mask + l * FLOW_LINE_BYTES;
		bool has = info->mask_lines >> l & 1;

		for (unsigned i = 0; i < FLOW_LINE_BYTES; i++)
			if (need[i] & ~(has ? info->lines[at][i] : 0))
				return false;
		at += has;
	}
	return true;
}

/* The chain is found by key and mask, and one of them may be what is damaged. */
void flow_cache_remove_suspect(struct flow_cache *c, struct megaflow *mf)
{
	uint32_t idx = (uint32_t)(mf - c->flow), in_port;
	struct port_cache *pc;

	for (uint32_t h = 0; h <= c->head_mask; h++)
		for (uint32_t *p = &c->head[h]; *p; p = &c->flow[*p].next)
			if (*p == idx) {
				*p = mf->next;
				goto unlinked;
			}
unlinked:
	memcpy(&in_port, mf->info->lines[0], sizeof in_port);
	pc = c->port[in_port];
	memcpy(mf->key, mf->info->lines[0], sizeof mf->key);
	if (pc->mask[mf->mask_idx])
		memcpy(pc->mask0[mf->mask_idx], pc->mask[mf->mask_idx]->line0, FLOW_LINE_BYTES);
	remove_flow(c, mf);
}

void flow_cache_sweep(struct flow_cache *c, uint32_t now_ms)
{
	for (unsigned i = 0; i < SWEEP_SLOTS && c->flow_top > 1; i++) {
		if (++c->sweep_at >= c->flow_top)
			c->sweep_at = 1;
		struct megaflow *mf = &c->flow[c->sweep_at];
		if ((mf->flags & MF_LIVE) && (int32_t)(now_ms - mf->used_ms) > IDLE_MS)
			remove_flow(c, mf);
	}
	if (now_ms - c->rank_at_ms >= 1000) {
		c->rank_at_ms = now_ms;
		rank_masks(c);
	}
}

void flow_cache_check_invariants(const struct flow_cache *c)
{
	uint32_t live = 0;

	for (uint32_t i = 1; i < c->flow_top; i++) {
		const struct megaflow *mf = &c->flow[i];
		uint32_t in_port;

		if (!(mf->flags & MF_LIVE))
			continue;
		live++;
		memcpy(&in_port, mf->key, sizeof in_port);
		const struct port_cache *pc = c->port[in_port];
		if (!pc || !pc->mask[mf->mask_idx] || !mf->info)
			abort();
		for (unsigned b = 0; b < FLOW_LINE_BYTES; b++)
			if (mf->key[b] & ~pc->mask0[mf->mask_idx][b])
				abort();
	}
	if (live != c->n_flows)
		abort();
	for (uint32_t p = 0; p < PORT_ID_MAX; p++)
		if (c->port[p] &&
		    (c->port[p]->n_masks > MASKS_PER_PORT ||
		     memcmp(c->port[p]->relevant.line0, "\0\0\0\0", 4) == 0) &&
		    c->port[p]->n_masks)
			abort();
}
