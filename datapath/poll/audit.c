/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache audit: one of so many hits is resolved again from the tables with side effects off, and
 * must say what the entry says. A difference may be a change that is just being made, so it is
 * looked at again some milliseconds later; when it lasts, the entry goes and the main thread tells.
 * Poll thread, but where main is said.
 *
 * Cost: a resolution takes about 3,000 cycles; one in 16,384 hits are 0.2 cycles per packet. */
#include <stdlib.h>
#include <string.h>

#include "datapath/poll/poll_priv.h"

enum { AGAIN_MS = 20, SWEEP_SLOTS = 8 /* entries looked at in a millisecond: 200 cycles */ };

uint32_t poll_audit_every = AUDIT_EVERY_DEFAULT;

static struct flow_key key_of_burst(struct burst *b, unsigned i, uint32_t in_port)
{
	struct flow_key keep = b->key[i], key;
	struct flow_offsets ofs = b->ofs[i];
	uint16_t lines = b->lines[i];

	flow_cache_extract(b, i, in_port, EXTRACT_FULL);
	key = b->key[i];
	/* What the lookup has found out stays as the run that follows expects it. */
	b->key[i] = keep;
	b->ofs[i] = ofs;
	b->lines[i] = lines;
	return key;
}

static void resolve_quietly(struct poll_thread *t, const struct flow_key *key)
{
	const struct resolve_request req = {
		.key = key,
		.version = t->version,
		.now_ms = t->exec->now_ms,
		.side_effects = false,
	};

	resolve(t->resolver, &req, &t->result);
}

/* Does the entry hold something else than the tables say of a packet with this key? */
static bool differs(struct poll_thread *t, const struct megaflow *mf, const struct flow_key *key)
{
	const struct program *prog = mf->info->prog;

	if (!flow_cache_entry_is_whole(t->cache, mf))
		return true;
	resolve_quietly(t, key);
	if (!t->result.cacheable || t->result.again)
		return false;
	return prog->n_words != t->result.prog.n_words ||
	       memcmp(prog->word, t->result.prog.word, prog->n_words * sizeof prog->word[0]) ||
	       !flow_cache_mask_covers(t->cache, mf, &t->result, (uint32_t)t->version);
}

static void tell(struct poll_thread *t, const struct megaflow *mf, const struct flow_key *key)
{
	const struct program *cached = mf->info->prog;

	resolve_quietly(t, key);
	const struct program *fresh = program_scratch(&t->result.prog);
	size_t n = sizeof *cached + cached->n_words * sizeof cached->word[0];
	size_t n_fresh = sizeof *fresh + fresh->n_words * sizeof fresh->word[0];
	struct poll_upcall *u =
		aligned_alloc(SL_CACHE_LINE, SL_ALIGN_UP(sizeof *u + n + n_fresh, SL_CACHE_LINE));

	if (!u)
		return; /* counted all the same */
	memset(u, 0, sizeof *u);
	u->kind = UPCALL_AUDIT;
	u->port_id = key->in_port;
	u->flow.key = *key;
	u->packet_len = (uint32_t)n;
	u->orig_len = (uint32_t)n_fresh;
	memcpy(u->data, cached, n);
	memcpy(u->data + n, fresh, n_fresh);
	if (!upcall_post(u))
		free(u);
}

static void suspect(struct poll_thread *t, const struct megaflow *mf, const struct flow_key *key)
{
	struct audit_suspect *s = &t->suspect[t->n_suspects];

	if (t->n_suspects == AUDIT_SUSPECTS)
		return; /* a later hit will show it again */
	t->n_suspects++;
	s->idx = (uint32_t)(mf - t->cache->flow);
	s->info = mf->info;
	s->key = *key;
	s->due_ms = t->now_ms + AGAIN_MS;
}

void audit_hits(struct poll_thread *t, struct burst *b, uint32_t in_port)
{
	uint32_t every = __atomic_load_n(&poll_audit_every, __ATOMIC_RELAXED);

	if (!every) {
		t->audit_in = AUDIT_LOOK_AGAIN;
		return;
	}
	for (; t->audit_in <= 0; t->audit_in += every) {
		/* The one at which the count ran out, in the order of the burst. */
		unsigned i = (unsigned)(b->n - 1 + t->audit_in) % b->n;

		if (!b->mf[i])
			continue;
		struct flow_key key = key_of_burst(b, i, in_port);
		counter_add(&t->audit_checked, 1);
		if (differs(t, b->mf[i], &key))
			suspect(t, b->mf[i], &key);
	}
}

static void convict(struct poll_thread *t, struct megaflow *mf, const struct flow_key *key)
{
	counter_add(&t->audit_different, 1);
	tell(t, mf, key);
	flow_cache_remove_suspect(t->cache, mf);
}

/* An entry whose key is damaged is never hit: entries are also looked at in turn. */
void audit_sweep(struct poll_thread *t)
{
	struct flow_cache *c = t->cache;

	for (unsigned n = 0; n < SWEEP_SLOTS && poll_audit_every && c->flow_top > 1; n++) {
		struct flow_key key = {0};
		struct megaflow *mf;
		unsigned at = 0;

		if (++t->audit_at >= c->flow_top)
			t->audit_at = 1;
		mf = &c->flow[t->audit_at];
		if (!mf->info || flow_cache_entry_is_whole(c, mf))
			continue;
		for (unsigned rest = mf->info->mask_lines; rest; rest &= rest - 1, at++)
			memcpy((uint8_t *)&key + (unsigned)__builtin_ctz(rest) * FLOW_LINE_BYTES,
			       mf->info->lines[at], FLOW_LINE_BYTES);
		convict(t, mf, &key);
	}
}

void audit_suspects(struct poll_thread *t)
{
	for (unsigned k = 0; k < t->n_suspects;) {
		struct audit_suspect *s = &t->suspect[k];
		struct megaflow *mf = &t->cache->flow[s->idx];

		if ((int32_t)(t->now_ms - s->due_ms) < 0) {
			k++;
			continue;
		}
		if (mf->info == s->info && s->info &&
		    flow_cache_is_fresh(t->cache, mf, (uint32_t)t->version, t->now_ms) &&
		    differs(t, mf, &s->key)) {
			convict(t, mf, &s->key);
		}
		*s = t->suspect[--t->n_suspects];
	}
}

/* ---- main ---- */

void poll_audit_set(uint32_t every)
{
	__atomic_store_n(&poll_audit_every, every, __ATOMIC_RELAXED);
}

void poll_audit_counts(uint32_t *every, uint64_t *checked, uint64_t *different)
{
	*every = poll_audit_every;
	*checked = *different = 0;
	for (unsigned i = 0; i < POLL_THREADS_MAX; i++) {
		const struct poll_thread *t = poll_thread_at[i];

		if (!t)
			continue;
		*checked += __atomic_load_n(&t->audit_checked, __ATOMIC_RELAXED);
		*different += __atomic_load_n(&t->audit_different, __ATOMIC_RELAXED);
	}
}

static bool damage(struct flow_cache *c, struct megaflow *mf, enum audit_fault what, unsigned bit)
{
	uint8_t byte = (uint8_t)(1u << bit % 8), *mask;
	uint32_t in_port;

	memcpy(&in_port, mf->key, sizeof in_port);
	mask = c->port[in_port]->mask0[mf->mask_idx];
	switch (what) {
	case FAULT_PROGRAM: /* the operand of the last op: a port, or what is dropped for */
		mf->info->prog->word[mf->info->prog->n_words - 1].op.b ^= 1u << bit % 11;
		mf->info->prog->word[mf->info->prog->n_words - 1].op.a ^= 1u << bit % 4;
		break;
	case FAULT_OUT_PORT:
		if (!mf->out_port)
			return false;
		mf->out_port ^= 1u << bit % 11;
		break;
	case FAULT_MASK:
		mask[bit / 8 % FLOW_LINE_BYTES] ^= byte;
		break;
	case FAULT_KEY:
		mf->key[bit / 8 % FLOW_LINE_BYTES] ^= byte & mask[bit / 8 % FLOW_LINE_BYTES];
		break;
	case FAULT_N:
		return false;
	}
	return true;
}

bool poll_audit_fault(enum audit_fault what, unsigned bit)
{
	for (unsigned t = 0; t < POLL_THREADS_MAX; t++) {
		struct flow_cache *c = poll_thread_at[t] ? poll_thread_at[t]->cache : NULL;

		for (uint32_t i = 1; c && i < c->flow_top; i++)
			if (c->flow[i].flags & MF_LIVE && c->flow[i].info)
				return damage(c, &c->flow[i], what, bit);
	}
	return false;
}
