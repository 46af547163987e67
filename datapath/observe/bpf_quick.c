/* SPDX-License-Identifier: BSD-3-Clause */
/* Main thread. Each way through the program that ends in "keep" is a set of facts about the first
 * bytes of a packet: bits that must have a value, and values that some must not have. What cannot
 * be said so (comparisons by size, arithmetic, loads at computed places) is left out, and the way
 * is not exact any more: what fits it is the program's to decide. The one computed place that is
 * followed is behind the IPv4 header, under the assumption that it has 20 bytes.
 *
 * A load beyond the packet refuses it, so a way also needs all the bytes that it loads. */
#include "datapath/observe/bpf_quick.h"

#include <stdlib.h>

#include <pcap/bpf.h>

#include "datapath/base/vec.h"
#include "datapath/observe/bpf_filter.h"

enum {
	DIFFERS_MAX = 8,
	WAYS_MAX = 256,
	STEPS_MAX = 16384, /* instructions looked at, over all ways */
	INSNS_MAX = 512,   /* bounds the recursion */
	OFFSET_MAX = 1 << 21,
	IPV4_HEADER_BYTES = 20,
	VARIES_WEIGHT = 4,
};

struct place { /* where a register's value was loaded from */
	bool known;
	uint32_t at, size, mask; /* size in bytes; mask of the value in host order */
};
struct differs {
	struct place place;
	uint32_t value;
};
struct way {
	size_t pc;
	uint8_t mask[QUICK_BYTES_MAX], value[QUICK_BYTES_MAX]; /* value is 0 outside mask */
	struct differs differs[DIFFERS_MAX];
	unsigned n_differs;
	uint32_t need;
	bool exact; /* what fits is kept: no test on the way was left out */
	struct place a;
	bool x_known;
	uint32_t x;
};
struct walk {
	const struct bpf_insn_wire *p;
	bool plain_header; /* assume that the IPv4 header at ihl_at has no options */
	uint32_t ihl_at;
	unsigned steps;
	bool gave_up;
	VEC(struct way) ways;
};

/* ---- facts ---- */

/* Byte i of a place's mask or value, as it lies in the packet. */
static uint8_t byte_of(const struct place *p, uint32_t word, uint32_t i)
{
	return (uint8_t)(word >> 8 * (p->size - 1 - i));
}

static bool in_reach(const struct place *p)
{
	return p->known && p->at + p->size <= QUICK_BYTES_MAX;
}

static uint32_t word_mask(uint32_t size)
{
	return size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
}

/* 1: the facts say that the place's masked value is `value`; 0: that it is not; -1: neither. */
static int is_value(const struct way *w, const struct place *p, uint32_t value)
{
	bool all = true;

	if (!p->known)
		return -1;
	if (value & ~p->mask)
		return 0;
	if (!in_reach(p))
		return -1;
	for (uint32_t i = 0; i < p->size; i++) {
		uint8_t m = byte_of(p, p->mask, i), known = m & w->mask[p->at + i];

		if ((w->value[p->at + i] ^ byte_of(p, value, i)) & known)
			return 0;
		all &= known == m;
	}
	return all ? 1 : -1;
}

static void learn(struct way *w, const struct place *p, uint32_t value)
{
	w->exact &= in_reach(p);
	for (uint32_t i = 0; in_reach(p) && i < p->size; i++) {
		w->mask[p->at + i] |= byte_of(p, p->mask, i);
		w->value[p->at + i] |= byte_of(p, value & p->mask, i);
	}
}

static void learn_not(struct way *w, const struct place *p, uint32_t value)
{
	if (in_reach(p) && w->n_differs < DIFFERS_MAX)
		w->differs[w->n_differs++] = (struct differs){*p, value};
	else
		w->exact = false;
}

/* ---- the walk ---- */

static void load(struct way *w, const struct bpf_insn_wire *i)
{
	static const uint8_t sizes[] = {[BPF_W >> 3] = 4, [BPF_H >> 3] = 2, [BPF_B >> 3] = 1};
	uint64_t at = i->k;

	w->a.known = false;
	if (BPF_MODE(i->code) != BPF_ABS && BPF_MODE(i->code) != BPF_IND)
		return;
	if (BPF_MODE(i->code) == BPF_IND)
		at += w->x;
	if (at > OFFSET_MAX || (BPF_MODE(i->code) == BPF_IND && !w->x_known)) {
		w->exact = false; /* it may be beyond the packet */
		return;
	}
	w->a = (struct place){
		.known = true, .at = (uint32_t)at, .size = sizes[BPF_SIZE(i->code) >> 3]};
	w->a.mask = word_mask(w->a.size);
	w->need = SL_MAX(w->need, w->a.at + w->a.size);
}

static void load_x(struct walk *k, struct way *w, const struct bpf_insn_wire *i)
{
	w->x_known = BPF_MODE(i->code) == BPF_IMM;
	w->x = i->k;
	if (BPF_MODE(i->code) != BPF_MSH)
		return;
	w->need = SL_MAX(w->need, i->k + 1);
	if (!k->ihl_at && i->k && i->k < QUICK_BYTES_MAX)
		k->ihl_at = i->k;
	w->x_known = k->plain_header && i->k == k->ihl_at;
	w->x = IPV4_HEADER_BYTES;
}

static void compute(struct way *w, const struct bpf_insn_wire *i)
{
	if (BPF_OP(i->code) == BPF_AND && BPF_SRC(i->code) == BPF_K)
		w->a.mask &= i->k;
	else
		w->a.known = false;
	/* Division by 0 refuses the packet. */
	w->exact &= BPF_SRC(i->code) == BPF_K;
}

static void follow(struct walk *k, struct way *w);

/* Goes on at both ends of a test of `place` against `value`, or at the one that can be. */
static void fork_on(struct walk *k, struct way *w, const struct place *place, uint32_t value,
		    size_t equal, size_t unequal)
{
	int known = is_value(w, place, value);

	if (known != 0) {
		struct way other = *w;

		other.pc = equal;
		if (known < 0)
			learn(&other, place, value);
		follow(k, &other);
	}
	if (known != 1) {
		w->pc = unequal;
		if (known < 0) /* else `value` may have bits that the mask has not */
			learn_not(w, place, value);
		follow(k, w);
	}
}

static void branch(struct walk *k, struct way *w, const struct bpf_insn_wire *i)
{
	size_t yes = w->pc + 1 + i->jt, no = w->pc + 1 + i->jf;
	struct place place = w->a, nowhere = {0};

	if (i->code == (BPF_JMP | BPF_JEQ | BPF_K)) {
		fork_on(k, w, &place, i->k, yes, no);
	} else if (i->code == (BPF_JMP | BPF_JSET | BPF_K) && place.known) {
		place.mask &= i->k;
		fork_on(k, w, &place, 0, no, yes);
	} else {
		fork_on(k, w, &nowhere, 0, yes, no);
	}
}

static void follow(struct walk *k, struct way *w)
{
	for (; !k->gave_up; w->pc++) {
		const struct bpf_insn_wire *i = &k->p[w->pc];

		k->gave_up |= ++k->steps > STEPS_MAX || k->ways.len >= WAYS_MAX;
		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			load(w, i);
			break;
		case BPF_LDX:
			load_x(k, w, i);
			break;
		case BPF_ALU:
			compute(w, i);
			break;
		case BPF_MISC:
			if (BPF_MISCOP(i->code) == BPF_TAX)
				w->x_known = false;
			else
				w->a.known = false;
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) != BPF_JA) {
				branch(k, w, i);
				return;
			}
			w->pc += i->k;
			break;
		case BPF_RET:
			w->exact &= i->code == (BPF_RET | BPF_K);
			if (i->code != (BPF_RET | BPF_K) || i->k)
				vec_push(&k->ways, *w);
			return;
		}
	}
}

/* ---- fewer ways ---- */

/* What most packets of a stream have in common (types, protocol, fragment bits) refuses few. */
static unsigned weight(const uint8_t *mask, uint32_t at, uint32_t end)
{
	unsigned sum = 0;

	for (uint32_t i = at; i < end; i++)
		sum += (unsigned)__builtin_popcount(mask[i]) *
		       (i >= 12 && i < 26 ? 1 : VARIES_WEIGHT);
	return sum;
}

static bool is_same(const struct differs *a, const struct differs *b)
{
	return a->place.at == b->place.at && a->place.size == b->place.size &&
	       a->place.mask == b->place.mask && a->value == b->value;
}

/* The facts that both have. */
static void join(struct way *to, const struct way *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < QUICK_BYTES_MAX; i++) {
		to->mask[i] &= w->mask[i] & (uint8_t) ~(to->value[i] ^ w->value[i]);
		to->value[i] &= to->mask[i];
	}
	for (unsigned i = 0; i < to->n_differs; i++)
		for (unsigned j = 0; j < w->n_differs; j++)
			if (is_same(&to->differs[i], &w->differs[j])) {
				to->differs[n++] = to->differs[i];
				break;
			}
	to->n_differs = n;
	to->need = SL_MIN(to->need, w->need);
	to->exact = false;
}

static unsigned loss(const struct way *a, const struct way *b)
{
	struct way both = *a;

	join(&both, b);
	return weight(a->mask, 0, QUICK_BYTES_MAX) + weight(b->mask, 0, QUICK_BYTES_MAX) -
	       2 * weight(both.mask, 0, QUICK_BYTES_MAX);
}

/* Neighbours have most in common: they part late. `host A and (port 1 or port 2 or …)` becomes
 * host A. */
static void join_some(struct walk *k)
{
	while (k->ways.len > QUICK_TERMS_MAX) {
		unsigned best = UINT32_MAX;
		size_t at = 0;

		for (size_t i = 0; i + 1 < k->ways.len; i++) {
			unsigned l = loss(&k->ways.at[i], &k->ways.at[i + 1]);

			if (l < best) {
				best = l;
				at = i;
			}
		}
		join(&k->ways.at[at], &k->ways.at[at + 1]);
		vec_remove(&k->ways, at + 1);
	}
}

/* ---- from ways to terms ---- */

static struct quick_window window_at(uint32_t at, const uint8_t *mask, const uint8_t *value)
{
	struct quick_window w = {.at = (uint16_t)at};

	memcpy(&w.mask, mask + at, sizeof w.mask);
	memcpy(&w.value, value + at, sizeof w.value);
	return w;
}

static void add_equal(struct quick_term *t, const struct way *w, uint32_t bytes)
{
	uint8_t left[QUICK_BYTES_MAX];

	memcpy(left, w->mask, sizeof left);
	for (;;) {
		unsigned best = 0;
		uint32_t at = 0;

		for (uint32_t i = 0; i + 8 <= bytes; i++)
			if (weight(left, i, i + 8) > best) {
				best = weight(left, i, i + 8);
				at = i;
			}
		/* The first is there in any case: it may ask for nothing. */
		if (!best && t->n_windows)
			return;
		if (t->n_windows == QUICK_WINDOWS_MAX) {
			t->exact = false;
			return;
		}
		t->window[t->n_windows++] = window_at(at, w->mask, w->value);
		memset(left + at, 0, 8);
	}
}

static void add_differing(struct quick_term *t, const struct way *w, uint32_t bytes)
{
	for (unsigned i = 0; i < w->n_differs; i++) {
		const struct differs *d = &w->differs[i];
		uint32_t at = SL_MIN(d->place.at, bytes - 8);
		uint8_t mask[QUICK_BYTES_MAX] = {0}, value[QUICK_BYTES_MAX] = {0};

		if (!is_value(w, &d->place, d->value)) /* the equal ones say that already */
			continue;
		if (t->n_windows == QUICK_WINDOWS_MAX) {
			t->exact = false;
			return;
		}
		for (uint32_t b = 0; b < d->place.size; b++) {
			mask[d->place.at + b] = byte_of(&d->place, d->place.mask, b);
			value[d->place.at + b] = byte_of(&d->place, d->value, b);
		}
		t->window[t->n_windows] = window_at(at, mask, value);
		t->window[t->n_windows++].differs = true;
	}
}

static struct quick_term term_of(const struct way *w)
{
	struct quick_term t = {
		.need = (uint16_t)SL_MIN(w->need, (uint32_t)UINT16_MAX),
		.exact = w->exact && w->need <= UINT16_MAX,
	};
	/* Facts are about bytes that were loaded, so within these. */
	uint32_t bytes = SL_MIN(SL_MAX(w->need, 8u), (uint32_t)QUICK_BYTES_MAX);

	add_equal(&t, w, bytes);
	add_differing(&t, w, bytes);
	return t;
}

static bool asks_nothing(const struct quick_term *t)
{
	return t->n_windows == 1 && !t->window[0].mask && !t->exact;
}

static void make_list(struct walk *k, struct quick_list *l)
{
	struct way w = {.exact = true};

	follow(k, &w);
	l->ask = k->gave_up;
	if (!l->ask)
		join_some(k);
	VEC_FOR_EACH (it, &k->ways) {
		if (l->ask)
			break;
		l->term[l->n] = term_of(it);
		l->ask = asks_nothing(&l->term[l->n++]);
	}
	vec_free(&k->ways);
}

static uint16_t need_of(const struct quick_list *l)
{
	uint16_t need = 0;

	for (unsigned i = 0; i < l->n && !l->ask; i++)
		need = SL_MAX(need, l->term[i].need);
	return need;
}

void bpf_quick_create(const struct bpf_insn_wire *p, size_t n, struct bpf_quick *q)
{
	struct walk k = {.p = p};

	*q = (struct bpf_quick){0};
	if (n > INSNS_MAX)
		return;
	make_list(&k, &q->list[0]);
	q->ihl_at = (uint16_t)k.ihl_at;
	if (q->ihl_at) {
		struct walk plain = {.p = p, .plain_header = true, .ihl_at = k.ihl_at};

		make_list(&plain, &q->list[1]);
	}
	q->need_max = SL_MAX(need_of(&q->list[0]), need_of(&q->list[1]));
	q->need_max = SL_MAX(q->need_max, (uint16_t)(q->ihl_at + 1));
	q->useful = !q->list[0].ask || (q->ihl_at && !q->list[1].ask);
}
