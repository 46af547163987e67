/* SPDX-License-Identifier: BSD-3-Clause */
/* Tuple-space search. See classifier.h for who runs what. */
#include "datapath/table/classifier.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"
#include "datapath/table/txn.h"

/* ---- words and stages ---- */
/* 64-bit words of struct flow in the order in which a lookup hashes them. Line 0: word 0 ports and
 * context, 1–3 Ethernet, types and tags, 4 IPv4 or ARP addresses, 5 L4 ports, 6–7 connection and
 * tunnel id. */
#define LINE_WORDS(l)                                                                              \
	8 * (l), 8 * (l) + 1, 8 * (l) + 2, 8 * (l) + 3, 8 * (l) + 4, 8 * (l) + 5, 8 * (l) + 6,     \
		8 * (l) + 7
static const uint8_t word_order[CLS_WORDS] = {
	/* stage 0: metadata */
	LINE_WORDS(FLOW_LINE_META), LINE_WORDS(FLOW_LINE_REGS), 0, 6, 7,
	LINE_WORDS(FLOW_LINE_TUNNEL), LINE_WORDS(FLOW_LINE_CT), LINE_WORDS(FLOW_LINE_TUN_OPT0),
	LINE_WORDS(FLOW_LINE_TUN_OPT1), LINE_WORDS(FLOW_LINE_TUN_OPT2),
	LINE_WORDS(FLOW_LINE_TUN_OPT3),
	/* stage 1: Ethernet */
	1, 2, 3,
	/* stage 2: the rest */
	4, LINE_WORDS(FLOW_LINE_IPV6), LINE_WORDS(FLOW_LINE_EXTRA), 5};
enum { STAGE0_WORDS = 67, STAGE1_WORDS = 70 };

void cls_key_init(struct cls_key *k, const struct minimatch *mm)
{
	const uint64_t *value[FLOW_LINES] = {NULL}, *mask[FLOW_LINES];
	unsigned at = 0;

	for (unsigned line = 0; line < FLOW_LINES; line++) {
		if (!(mm->lines >> line & 1))
			continue;
		value[line] = (const uint64_t *)mm->data[at];
		mask[line] = (const uint64_t *)mm->data[mm->n_lines + at++];
	}
	k->n = 0;
	for (unsigned i = 0; i < CLS_WORDS; i++) {
		unsigned w = word_order[i], line = w / 8;

		if (!value[line] || !mask[line][w % 8])
			continue;
		k->word[k->n] = (uint8_t)w;
		k->mask[k->n] = mask[line][w % 8];
		k->value[k->n++] = value[line][w % 8] & mask[line][w % 8];
	}
}

static unsigned stage_of(uint8_t word)
{
	for (unsigned i = 0; i < CLS_WORDS; i++)
		if (word_order[i] == word)
			return i < STAGE0_WORDS ? 0 : i < STAGE1_WORDS ? 1 : 2;
	return 2;
}

/* ---- fields with tries ---- */
struct trie_field {
	uint16_t ofs;  /* bytes in struct flow */
	uint8_t width; /* bits */
};
static const struct trie_field trie_fields[CLS_TRIES] = {
	{offsetof(struct flow, key.ip_src), 32},    {offsetof(struct flow, key.ip_dst), 32},
	{offsetof(struct flow, key.ipv6_src), 128}, {offsetof(struct flow, key.ipv6_dst), 128},
	{offsetof(struct flow, key.tp_src), 16},    {offsetof(struct flow, key.tp_dst), 16},
};

static struct cls_prefix prefix_at(const void *p, unsigned width)
{
	struct cls_prefix v = {0, 0};

	if (width == 16) {
		v.hi = (uint64_t)load_be16(p) << 48;
	} else if (width == 32) {
		v.hi = (uint64_t)load_be32(p) << 32;
	} else {
		v.hi = load_be64(p);
		v.lo = load_be64((const uint8_t *)p + 8);
	}
	return v;
}

/* Length of the mask when it is a prefix of at least one bit; else 0. */
static unsigned prefix_len(const struct cls_prefix *m, unsigned width)
{
	unsigned n;

	if (m->hi != ~0ull) {
		n = m->hi ? (unsigned)__builtin_clzll(~m->hi) : 0;
		if (m->lo || (n < 64 && m->hi << n))
			return 0;
	} else {
		n = 64 + (m->lo != ~0ull ? (unsigned)__builtin_clzll(~m->lo) : 64);
		if (n < 128 && m->lo << (n - 64))
			return 0;
	}
	return SL_MIN(n, width);
}

static void spread(const struct cls_key *k, const uint64_t *words, uint64_t *flow)
{
	memset(flow, 0, CLS_WORDS * sizeof *flow);
	for (unsigned i = 0; i < k->n; i++)
		flow[k->word[i]] = words[i];
}

/* ---- hashing ---- */
static inline uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static inline uint64_t hash_end(uint64_t h)
{
	h *= 0xbf58476d1ce4e5b9ull;
	return h ^ h >> 32;
}

static uint64_t hash_values(const uint64_t *values, unsigned n)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < n; i++)
		h = mix(h, values[i]);
	return hash_end(h);
}

static uint64_t hash_rule(const void *p)
{
	const struct rule *r = p;

	return hash_values(rule_values(r), r->n_words);
}

/* A partial hash that occurs in a subtable, and how often. */
struct index_entry {
	uint64_t hash;
	uint32_t n;
};

static uint64_t hash_index(const void *p)
{
	return ((const struct index_entry *)p)->hash;
}

static struct index_entry *index_find(const struct ptr_table *t, uint64_t hash)
{
	struct ptr_iter it = ptr_iter_start(t, hash);
	struct index_entry *e;

	while ((e = ptr_iter_next(&it)) && e->hash != hash)
		;
	return e;
}

/* ---- subtables ---- */
void classifier_init(struct classifier *c)
{
	memset(c, 0, sizeof *c);
}

static void free_subtable(void *p)
{
	struct cls_subtable *s = p;

	ptr_table_destroy(&s->rules);
	for (unsigned i = 0; i < CLS_STAGES - 1; i++) {
		uint32_t pos = 0;
		struct index_entry *e;

		while ((e = ptr_table_next(&s->index[i], &pos)))
			free(e);
		ptr_table_destroy(&s->index[i]);
	}
	vec_free(&s->priorities);
	free(s);
}

void classifier_destroy(struct classifier *c)
{
	HMAP_FOR_EACH_SAFE (s, struct cls_subtable, node, &c->subtables) {
		hmap_remove(&c->subtables, &s->node);
		free_subtable(s);
	}
	hmap_destroy(&c->subtables);
	for (unsigned i = 0; i < CLS_TRIES; i++)
		cls_trie_destroy(&c->tries[i]);
	free(c->vec);
	c->vec = NULL;
}

static uint64_t hash_mask(const struct cls_key *k)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < k->n; i++)
		h = mix(mix(h, k->word[i]), k->mask[i]);
	return hash_end(h);
}

static struct cls_subtable *find_subtable(const struct classifier *c, const struct cls_key *k)
{
	HMAP_FOR_EACH_WITH_HASH (s, struct cls_subtable, node, hash_mask(k), &c->subtables)
		if (s->n_words == k->n && !memcmp(s->word, k->word, k->n) &&
		    !memcmp(s->mask, k->mask, k->n * sizeof k->mask[0]))
			return s;
	return NULL;
}

static struct cls_subtable *make_subtable(struct classifier *c, const struct cls_key *k)
{
	size_t masks = k->n * sizeof(uint64_t);
	struct cls_subtable *s = xzalloc(sizeof *s + masks + k->n);
	uint64_t full[CLS_WORDS], *mask = (uint64_t *)(s + 1);

	memcpy(mask, k->mask, masks);
	memcpy((uint8_t *)mask + masks, k->word, k->n);
	s->mask = mask;
	s->word = (const uint8_t *)mask + masks;
	s->n_words = k->n;
	ptr_table_init(&s->rules, hash_rule);
	for (unsigned i = 0; i < k->n; i++) {
		unsigned stage = stage_of(k->word[i]);

		for (unsigned j = stage; j < CLS_STAGES; j++)
			s->stage_end[j]++;
		s->last_stage = (uint8_t)stage;
	}
	for (unsigned i = 0; i < CLS_STAGES - 1; i++)
		ptr_table_init(&s->index[i], hash_index);
	spread(k, k->mask, full);
	for (unsigned i = 0; i < CLS_TRIES; i++) {
		const struct trie_field *f = &trie_fields[i];
		struct cls_prefix m = prefix_at((const uint8_t *)full + f->ofs, f->width);

		s->trie_len[i] = (uint8_t)prefix_len(&m, f->width);
		s->n_tries += s->trie_len[i] != 0;
	}
	hmap_insert(&c->subtables, &s->node, hash_mask(k));
	return s;
}

static int32_t max_priority(const struct cls_subtable *s)
{
	return s->priorities.len ? vec_last(&s->priorities).priority : -1;
}

/* Equal priorities in an order that no history changes: which of them are read is in masks. */
static bool comes_before(const struct cls_subtable *s, int32_t prio, const struct cls_entry *e)
{
	return prio > e->max_priority ||
	       (prio == e->max_priority && s->node.hash < e->subtable->node.hash);
}

/* A new vector with the subtable at its place by max_priority; without it when it is empty. */
static void place_subtable(struct classifier *c, struct cls_subtable *s)
{
	struct cls_vec *old = c->vec;
	uint32_t n_old = old ? old->n : 0, n = 0;
	struct cls_vec *v = xmalloc(sizeof *v + (n_old + 1) * sizeof v->at[0]);
	int32_t prio = max_priority(s);
	bool placed = prio < 0;

	for (uint32_t i = 0; i < n_old; i++) {
		if (old->at[i].subtable == s)
			continue;
		if (!placed && comes_before(s, prio, &old->at[i])) {
			v->at[n++] = (struct cls_entry){prio, s};
			placed = true;
		}
		v->at[n++] = old->at[i];
	}
	if (!placed)
		v->at[n++] = (struct cls_entry){prio, s};
	v->n = n;
	rcu_store(&c->vec, v);
	if (old)
		txn_later(free, old);
}

/* Index of the first entry not below the priority. */
static size_t priority_slot(const struct cls_subtable *s, uint16_t priority)
{
	size_t lo = 0, hi = s->priorities.len;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->priorities.at[mid].priority < priority)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void count_priority(struct classifier *c, struct cls_subtable *s, uint16_t priority)
{
	int32_t before = max_priority(s);
	size_t i = priority_slot(s, priority);

	if (i < s->priorities.len && s->priorities.at[i].priority == priority) {
		s->priorities.at[i].n++;
		return;
	}
	vec_reserve(&s->priorities, s->priorities.len + 1);
	memmove(&s->priorities.at[i + 1], &s->priorities.at[i],
		(s->priorities.len - i) * sizeof s->priorities.at[0]);
	s->priorities.at[i] = (struct cls_prio){priority, 1};
	s->priorities.len++;
	if (max_priority(s) != before)
		place_subtable(c, s);
}

static void uncount_priority(struct classifier *c, struct cls_subtable *s, uint16_t priority)
{
	int32_t before = max_priority(s);
	size_t i = priority_slot(s, priority);

	if (--s->priorities.at[i].n)
		return;
	vec_remove(&s->priorities, i);
	if (max_priority(s) != before)
		place_subtable(c, s);
}

/* ---- rules in subtables ---- */
static bool same_values(const struct rule *r, const uint64_t *values, unsigned n)
{
	return !memcmp(rule_values(r), values, n * sizeof *values);
}

static struct rule *chain_find(const struct cls_subtable *s, const uint64_t *values)
{
	struct ptr_iter it = ptr_iter_start(&s->rules, hash_values(values, s->n_words));
	struct rule *r;

	while ((r = ptr_iter_next(&it)) && !same_values(r, values, s->n_words))
		;
	return r;
}

static void index_values(struct cls_subtable *s, const uint64_t *values, bool add)
{
	for (unsigned stage = 0; stage < s->last_stage; stage++) {
		unsigned n = s->stage_end[stage];
		uint64_t h;
		struct index_entry *e;

		if (!n || (stage && n == s->stage_end[stage - 1]))
			continue;
		h = hash_values(values, n);
		e = index_find(&s->index[stage], h);
		if (add && e) {
			e->n++;
		} else if (add) {
			e = xmalloc(sizeof *e);
			*e = (struct index_entry){h, 1};
			ptr_table_insert(&s->index[stage], e, h);
		} else if (!--e->n) {
			ptr_table_remove(&s->index[stage], e, h);
			txn_later(free, e);
		}
	}
}

static void trie_values(struct classifier *c, const struct cls_subtable *s, const struct rule *r,
			bool add)
{
	uint64_t full[CLS_WORDS];

	if (!s->n_tries)
		return;
	memset(full, 0, sizeof full);
	for (unsigned i = 0; i < s->n_words; i++)
		full[s->word[i]] = rule_values(r)[i];
	for (unsigned i = 0; i < CLS_TRIES; i++) {
		const struct trie_field *f = &trie_fields[i];
		struct cls_prefix p;

		if (!s->trie_len[i])
			continue;
		p = prefix_at((const uint8_t *)full + f->ofs, f->width);
		if (add)
			cls_trie_add(&c->tries[i], &p, s->trie_len[i]);
		else
			cls_trie_remove(&c->tries[i], &p, s->trie_len[i]);
	}
}

static bool goes_before(const struct rule *a, const struct rule *b)
{
	return a->priority > b->priority || (a->priority == b->priority && a->added >= b->added);
}

void classifier_insert(struct classifier *c, struct rule *r, const struct cls_key *k)
{
	struct cls_subtable *s = find_subtable(c, k);
	struct rule *head, *at;

	if (!s)
		s = make_subtable(c, k);
	r->subtable = s;
	/* What rules subtables and stages out must know the rule before readers can need it. */
	trie_values(c, s, r, true);
	index_values(s, rule_values(r), true);
	head = chain_find(s, rule_values(r));
	if (!head) {
		r->next = NULL;
		ptr_table_insert(&s->rules, r, hash_rule(r));
	} else if (goes_before(r, head)) {
		r->next = head;
		ptr_table_replace(&s->rules, head, r, hash_rule(r));
	} else {
		for (at = head; at->next && !goes_before(r, at->next);)
			at = at->next;
		r->next = at->next;
		rcu_store(&at->next, r);
	}
	c->n_rules++;
	count_priority(c, s, r->priority);
}

void classifier_remove(struct classifier *c, struct rule *r)
{
	struct cls_subtable *s = r->subtable;
	struct rule *head = chain_find(s, rule_values(r)), *at;

	if (head == r && r->next) {
		ptr_table_replace(&s->rules, r, r->next, hash_rule(r));
	} else if (head == r) {
		ptr_table_remove(&s->rules, r, hash_rule(r));
	} else {
		for (at = head; at->next != r;)
			at = at->next;
		rcu_store(&at->next, r->next);
	}
	index_values(s, rule_values(r), false);
	trie_values(c, s, r, false);
	c->n_rules--;
	uncount_priority(c, s, r->priority);
	if (!s->priorities.len) {
		hmap_remove(&c->subtables, &s->node);
		txn_later(free_subtable, s);
	}
}

struct rule *classifier_find(const struct classifier *c, const struct cls_key *k, uint16_t priority)
{
	struct cls_subtable *s = find_subtable(c, k);
	struct rule *r = s ? chain_find(s, k->value) : NULL;

	while (r && !(r->priority == priority && rule_is_live(r)))
		r = r->next;
	return r;
}

/* ---- walking all rules ---- */
static bool overlaps(const struct rule *r, const uint64_t *mask, const uint64_t *value)
{
	const struct cls_subtable *s = r->subtable;

	for (unsigned i = 0; i < s->n_words; i++)
		if ((rule_values(r)[i] ^ value[s->word[i]]) & s->mask[i] & mask[s->word[i]])
			return false;
	return true;
}

struct rule *classifier_find_overlap(const struct classifier *c, const struct cls_key *k,
				     uint16_t priority)
{
	uint64_t mask[CLS_WORDS], value[CLS_WORDS];

	spread(k, k->mask, mask);
	spread(k, k->value, value);
	HMAP_FOR_EACH (s, struct cls_subtable, node, &c->subtables) {
		size_t slot = priority_slot(s, priority);
		uint32_t pos = 0;
		struct rule *head;

		if (slot == s->priorities.len || s->priorities.at[slot].priority != priority)
			continue;
		while ((head = ptr_table_next(&s->rules, &pos)))
			for (struct rule *r = head; r; r = r->next)
				if (r->priority == priority && rule_is_live(r) &&
				    overlaps(r, mask, value))
					return r;
	}
	return NULL;
}

static bool mask_covers(const struct cls_subtable *s, const uint64_t *mask)
{
	uint64_t have[CLS_WORDS];

	memset(have, 0, sizeof have);
	for (unsigned i = 0; i < s->n_words; i++)
		have[s->word[i]] = s->mask[i];
	for (unsigned i = 0; i < CLS_WORDS; i++)
		if (mask[i] & ~have[i])
			return false;
	return true;
}

void classifier_for_each_within(const struct classifier *c, const struct cls_key *k,
				void (*fn)(struct rule *r, void *aux), void *aux)
{
	uint64_t mask[CLS_WORDS], value[CLS_WORDS];

	spread(k, k->mask, mask);
	spread(k, k->value, value);
	HMAP_FOR_EACH (s, struct cls_subtable, node, &c->subtables) {
		uint32_t pos = 0;
		struct rule *head;

		if (!mask_covers(s, mask))
			continue;
		while ((head = ptr_table_next(&s->rules, &pos)))
			for (struct rule *r = head; r; r = r->next)
				if (rule_is_live(r) && overlaps(r, mask, value))
					fn(r, aux);
	}
}

/* ---- lookup ---- */
struct lookup {
	const struct classifier *c;
	uint64_t version;
	const uint64_t *flow, *cst;
	uint64_t *wc;
	uint8_t tries_done; /* bit per trie */
	struct cls_trie_result trie[CLS_TRIES];
};

static inline void unwildcard(struct lookup *l, const struct cls_subtable *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		l->wc[s->word[i]] |= s->mask[i] & ~l->cst[s->word[i]];
}

static void unwildcard_prefix(struct lookup *l, unsigned field, unsigned n_bits)
{
	uint8_t *wc = (uint8_t *)l->wc + trie_fields[field].ofs;
	const uint8_t *cst = (const uint8_t *)l->cst + trie_fields[field].ofs;

	for (; n_bits >= 8; n_bits -= 8)
		*wc++ |= (uint8_t) ~*cst++;
	if (n_bits)
		*wc |= (uint8_t)(0xff00 >> n_bits) & (uint8_t) ~*cst;
}

/* Can no rule of the subtable match, by the tries? */
static bool tries_exclude(struct lookup *l, const struct cls_subtable *s)
{
	for (unsigned i = 0; i < CLS_TRIES; i++) {
		struct cls_trie_result *t = &l->trie[i];
		unsigned len = s->trie_len[i];

		if (!len)
			continue;
		if (!(l->tries_done >> i & 1)) {
			const struct trie_field *f = &trie_fields[i];
			struct cls_prefix v =
				prefix_at((const uint8_t *)l->flow + f->ofs, f->width);

			cls_trie_lookup(&l->c->tries[i], &v, f->width, t);
			l->tries_done |= (uint8_t)(1u << i);
		}
		if (!(t->lens[len / 64] >> (len % 64) & 1)) {
			unwildcard_prefix(l, i, t->n_bits);
			return true;
		}
	}
	return false;
}

static const struct rule *find_visible(const struct rule *r, uint64_t version)
{
	while (r && !rule_is_visible(r, version))
		r = rcu_load(&r->next);
	return r;
}

static inline bool values_match(const struct lookup *l, const struct cls_subtable *s,
				const struct rule *r)
{
	for (unsigned i = 0; i < s->n_words; i++)
		if ((l->flow[s->word[i]] ^ rule_values(r)[i]) & s->mask[i])
			return false;
	return true;
}

static const struct rule *lookup_subtable(struct lookup *l, const struct cls_subtable *s)
{
	uint64_t h = 0;
	unsigned i = 0;
	struct ptr_iter it;
	const struct rule *r;

	for (unsigned stage = 0; stage <= s->last_stage; stage++) {
		unsigned end = s->stage_end[stage];

		if (stage == CLS_STAGES - 1 && s->n_tries && tries_exclude(l, s))
			return NULL;
		if (i == end)
			continue;
		for (; i < end; i++)
			h = mix(h, l->flow[s->word[i]] & s->mask[i]);
		if (stage < s->last_stage && !index_find(&s->index[stage], hash_end(h))) {
			unwildcard(l, s, end);
			return NULL;
		}
	}
	it = ptr_iter_start(&s->rules, hash_end(h));
	while ((r = ptr_iter_next(&it)) && !values_match(l, s, r))
		;
	unwildcard(l, s, s->n_words);
	return r ? find_visible(r, l->version) : NULL;
}

/* ---- conjunctions ---- */
struct soft { /* a rule with conjunction clauses that matched */
	const struct rule *r;
};

static const struct rule *search(struct lookup *l, struct soft *soft, unsigned *n_soft)
{
	const struct cls_vec *v = rcu_load(&l->c->vec);
	const struct rule *best = NULL;

	for (uint32_t i = 0; v && i < v->n; i++) {
		const struct rule *r;

		if (best && best->priority >= v->at[i].max_priority)
			break;
		if (i + 1 < v->n)
			__builtin_prefetch(v->at[i + 1].subtable);
		r = lookup_subtable(l, v->at[i].subtable);
		while (r && r->n_conj) {
			if (soft && *n_soft < CLS_CONJ_MAX)
				soft[(*n_soft)++].r = r;
			if (soft)
				break;
			r = find_visible(rcu_load(&r->next), l->version);
		}
		if (r && !r->n_conj && (!best || r->priority > best->priority))
			best = r;
	}
	return best;
}

/* Do the rules soft[0..n) of one priority hold every clause of conjunction `c`? */
static bool is_complete(const struct soft *soft, unsigned n, const struct rule_conj *c)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < soft[i].r->n_conj; j++) {
			const struct rule_conj *o = &rule_conjs(soft[i].r)[j];

			if (o->id == c->id && o->n_clauses == c->n_clauses)
				seen |= 1ull << (o->clause & 63);
		}
	return seen == (c->n_clauses >= 64 ? ~0ull : (1ull << c->n_clauses) - 1);
}

static int by_priority(const void *a, const void *b)
{
	const struct soft *x = a, *y = b;

	return (int)y->r->priority - (int)x->r->priority;
}

/* The rule that a complete conjunction among soft[0..n) leads to. */
static const struct rule *try_conjunctions(struct lookup *l, struct flow *flow,
					   const struct soft *soft, unsigned n, uint32_t *conj_id)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < soft[i].r->n_conj; j++) {
			const struct rule_conj *c = &rule_conjs(soft[i].r)[j];
			be32_t saved = flow->regs.conj_id;
			const struct rule *r;

			if (!is_complete(soft, n, c))
				continue;
			flow->regs.conj_id = cpu_to_be32(c->id);
			r = search(l, NULL, NULL);
			flow->regs.conj_id = saved;
			if (r) {
				*conj_id = c->id;
				return r;
			}
		}
	return NULL;
}

/* Soft matches of the highest priority first; when none of that priority leads anywhere, those are
 * replaced by the next rules of their chains (ovs-actions(7), conjunction). */
static const struct rule *resolve_soft(struct lookup *l, struct flow *flow, struct soft *soft,
				       unsigned n, const struct rule *hard, uint32_t *conj_id)
{
	while (n) {
		uint16_t prio;
		unsigned same = 0, kept = 0;
		const struct rule *r;

		qsort(soft, n, sizeof *soft, by_priority);
		prio = soft[0].r->priority;
		if (hard && hard->priority >= prio)
			return hard;
		while (same < n && soft[same].r->priority == prio)
			same++;
		r = try_conjunctions(l, flow, soft, same, conj_id);
		if (r)
			return r;
		for (unsigned i = 0; i < n; i++) {
			r = soft[i].r;
			if (i < same) {
				r = find_visible(rcu_load(&r->next), l->version);
				if (r && !r->n_conj) {
					if (!hard || r->priority > hard->priority)
						hard = r;
					r = NULL;
				}
			}
			if (r)
				soft[kept++].r = r;
		}
		n = kept;
	}
	return hard;
}

const struct rule *classifier_lookup(const struct classifier *c, uint64_t version,
				     struct flow *flow, struct flow *wc, const struct flow *cst,
				     uint32_t *conj_id)
{
	struct lookup l = {.c = c,
			   .version = version,
			   .flow = (const uint64_t *)flow,
			   .cst = (const uint64_t *)cst,
			   .wc = (uint64_t *)wc};
	struct soft soft[CLS_CONJ_MAX];
	unsigned n_soft = 0;
	const struct rule *best = search(&l, soft, &n_soft);

	*conj_id = 0;
	if (SL_UNLIKELY(n_soft))
		best = resolve_soft(&l, flow, soft, n_soft, best, conj_id);
	return best;
}
