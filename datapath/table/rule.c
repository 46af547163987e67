/* SPDX-License-Identifier: BSD-3-Clause */
/* Making rules and asking what their actions contain. */
#include "datapath/table/rule.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/table/classifier.h"

static void free_stats(struct credit_target *c)
{
	free(SL_CONTAINER_OF(c, struct rule_stats, credit));
}

struct rule_stats *rule_stats_create(uint64_t now_ms)
{
	struct rule_stats *s = calloc(1, sizeof *s);

	if (s) {
		credit_init(&s->credit, free_stats);
		s->credit.used_ms = now_ms;
	}
	return s;
}

void rule_restore(struct rule *r, const struct rule_history *h)
{
	r->modified_ms = h->modified_ms;
	r->is_learnt = h->is_learnt;
	r->stats->credit.used_ms = h->used_ms;
	r->stats->credit.pkts = h->pkts;
	r->stats->credit.bytes = h->bytes;
}

const struct rule *rule_of_credit(const struct credit_target *c)
{
	if (c->free != free_stats)
		return NULL;
	return __atomic_load_n(&SL_CONTAINER_OF(c, struct rule_stats, credit)->rule,
			       __ATOMIC_ACQUIRE);
}

static uint16_t count_conjunctions(const struct rule_spec *spec)
{
	unsigned n = 0;

	ACTION_FOR_EACH(a, spec->actions, spec->actions_len)
	n += a->type == ACTION_CONJUNCTION;
	return (uint16_t)n;
}

static void fill_actions(struct rule *r, const struct rule_spec *spec)
{
	struct rule_conj *c = (struct rule_conj *)rule_conjs(r);

	if (spec->actions_len)
		memcpy((uint8_t *)rule_actions(r), spec->actions, spec->actions_len);
	if (spec->blob_len)
		memcpy((uint8_t *)rule_blob(r), spec->blob, spec->blob_len);
	ACTION_FOR_EACH(a, rule_actions(r), r->actions_len)
	{
		if (a->type == ACTION_CONJUNCTION) {
			const struct action_conjunction *ac = (const void *)a;

			*c++ = (struct rule_conj){
				.id = ac->id, .clause = ac->clause, .n_clauses = ac->n_clauses};
		} else if (a->type == ACTION_FIN_TIMEOUT) {
			const struct action_fin_timeout *f = (const void *)a;

			r->fin_idle_s = f->idle_s;
			r->fin_hard_s = f->hard_s;
		}
	}
}

struct rule *rule_create(const struct rule_spec *spec)
{
	uint16_t n_conj = count_conjunctions(spec);
	size_t size = sizeof(struct rule) + (spec->key->n + (size_t)n_conj) * 8 +
		      spec->actions_len + spec->blob_len;
	struct rule *r = malloc(size);

	if (!r)
		return NULL;
	memset(r, 0, sizeof *r);
	r->removed = RULE_NOT_REMOVED;
	r->n_words = spec->key->n;
	r->n_conj = n_conj;
	r->actions_len = spec->actions_len;
	r->blob_len = spec->blob_len;
	r->priority = spec->priority;
	r->table = spec->table;
	list_init(&r->cookie_node);
	memcpy(r->data, spec->key->value, spec->key->n * sizeof(uint64_t));
	fill_actions(r, spec);
	return r;
}

void rule_free(struct rule *r)
{
	if (r->stats) {
		if (__atomic_load_n(&r->stats->rule, __ATOMIC_RELAXED) == r)
			__atomic_store_n(&r->stats->rule, r->replaces, __ATOMIC_RELEASE);
		credit_put(&r->stats->credit);
	}
	free(r);
}

void rule_match(const struct rule *r, struct match *out)
{
	uint64_t *value = (uint64_t *)&out->value, *mask = (uint64_t *)&out->mask;

	match_init(out);
	for (unsigned i = 0; i < r->n_words; i++) {
		value[r->subtable->word[i]] = rule_values(r)[i];
		mask[r->subtable->word[i]] = r->subtable->mask[i];
	}
}

enum { LINE_WORDS = FLOW_LINE_BYTES / 8 };

static uint16_t lines_of(const struct rule *r)
{
	uint16_t lines = 0;

	for (unsigned i = 0; i < r->n_words; i++)
		lines |= (uint16_t)(1u << r->subtable->word[i] / LINE_WORDS);
	return lines;
}

static size_t size_with(unsigned n_lines)
{
	return sizeof(struct minimatch) + 2u * n_lines * FLOW_LINE_BYTES;
}

size_t rule_minimatch_size(const struct rule *r)
{
	return size_with((unsigned)__builtin_popcount(lines_of(r)));
}

void rule_minimatch_put(const struct rule *r, void *out)
{
	uint16_t lines = lines_of(r);
	unsigned n = (unsigned)__builtin_popcount(lines);
	const struct minimatch head = {.lines = lines, .n_lines = (uint16_t)n};
	uint8_t *data = (uint8_t *)out + sizeof head;

	memset(out, 0, size_with(n));
	memcpy(out, &head, sizeof head);
	for (unsigned i = 0; i < r->n_words; i++) {
		unsigned word = r->subtable->word[i], line = word / LINE_WORDS;
		unsigned at = (unsigned)__builtin_popcount(lines & ((1u << line) - 1));
		size_t in_line = word % LINE_WORDS * sizeof(uint64_t);

		memcpy(data + at * FLOW_LINE_BYTES + in_line, &rule_values(r)[i], 8);
		memcpy(data + (n + at) * FLOW_LINE_BYTES + in_line, &r->subtable->mask[i], 8);
	}
}

struct minimatch *rule_minimatch(const struct rule *r)
{
	struct minimatch *mm = aligned_alloc(SL_CACHE_LINE, rule_minimatch_size(r));

	if (!mm)
		abort();
	rule_minimatch_put(r, mm);
	return mm;
}

/* Is there an action for which fn says so, at any depth? */
static bool any_action(const uint8_t *list, size_t len,
		       bool (*fn)(const struct action *a, uint32_t arg), uint32_t arg)
{
	ACTION_FOR_EACH(a, list, len)
	{
		size_t n;
		const uint8_t *nested = action_nested(a, &n);

		if (fn(a, arg) || (nested && any_action(nested, n, fn, arg)))
			return true;
	}
	return false;
}

static bool is_output(const struct action *a, uint32_t port)
{
	switch (a->type) {
	case ACTION_OUTPUT:
		return ((const struct action_output *)a)->port == port;
	case ACTION_OUTPUT_TRUNC:
		return ((const struct action_output_trunc *)a)->port == port;
	case ACTION_ENQUEUE:
		return ((const struct action_enqueue *)a)->port == port;
	case ACTION_CONTROLLER:
		return port == OFP_PORT_CONTROLLER;
	}
	return false;
}

static bool is_group(const struct action *a, uint32_t id)
{
	return a->type == ACTION_GROUP && ((const struct action_group *)a)->group_id == id;
}

static bool is_meter(const struct action *a, uint32_t id)
{
	return a->type == ACTION_METER && ((const struct action_meter *)a)->meter_id == id;
}

bool rule_outputs_to(const struct rule *r, uint32_t port)
{
	return any_action(rule_actions(r), r->actions_len, is_output, port);
}

bool rule_uses_group(const struct rule *r, uint32_t group_id)
{
	return any_action(rule_actions(r), r->actions_len, is_group, group_id);
}

bool rule_uses_meter(const struct rule *r, uint32_t meter_id)
{
	return any_action(rule_actions(r), r->actions_len, is_meter, meter_id);
}
