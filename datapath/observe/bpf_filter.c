/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of classic BPF (main thread), and its interpreter (poll threads). Instruction set: McCanne
 * and Jacobson, "The BSD Packet Filter" (1993), and bpf(4); what they leave open is as in libpcap.
 * Not DPDK's rte_bpf: its native code of 22.11 for `jset` with a small number is not valid, so that
 * `tcp[tcpflags] & tcp-syn != 0` ended the process (docs/decisions/observability.md). */
#include "datapath/observe/bpf_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/bpf.h>

#include "datapath/base/err.h"

_Static_assert(sizeof(struct bpf_insn_wire) == sizeof(struct bpf_insn), "the client's form");

enum { OFFSET_MAX = 1 << 20 }; /* of loads: beyond it are the extensions of Linux */

static bool load_ok(const struct bpf_insn_wire *i)
{
	switch (i->code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LDX | BPF_B | BPF_MSH:
		return i->k <= OFFSET_MAX;
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_W | BPF_IMM:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
		return true;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_W | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return i->k < BPF_MEMWORDS;
	}
	return false;
}

static bool alu_ok(const struct bpf_insn_wire *i)
{
	bool by_k = BPF_SRC(i->code) == BPF_K;

	switch (BPF_OP(i->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
		return true;
	case BPF_NEG:
		return by_k;
	case BPF_DIV:
	case BPF_MOD:
		return !by_k || i->k;
	case BPF_LSH:
	case BPF_RSH:
		return !by_k || i->k < 32;
	}
	return false;
}

static bool jump_ok(const struct bpf_insn_wire *i, size_t left)
{
	switch (BPF_OP(i->code)) {
	case BPF_JA:
		return i->k < left;
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE:
	case BPF_JSET:
		return i->jt < left && i->jf < left;
	}
	return false;
}

static bool insn_ok(const struct bpf_insn_wire *i, size_t left)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_LD:
	case BPF_LDX:
	case BPF_ST:
	case BPF_STX:
		return left && load_ok(i);
	case BPF_ALU:
		return left && alu_ok(i);
	case BPF_JMP:
		return jump_ok(i, left);
	case BPF_RET:
		return i->code == (BPF_RET | BPF_K) || i->code == (BPF_RET | BPF_A);
	case BPF_MISC:
		return left && (i->code == (BPF_MISC | BPF_TAX) || i->code == (BPF_MISC | BPF_TXA));
	}
	return false;
}

int bpf_filter_check(const struct bpf_insn_wire *p, size_t n, struct err *e)
{
	if (!n || n > BPF_FILTER_INSNS_MAX)
		return err_set(e, EINVAL, "filter: %zu instructions, not 1 to %d", n,
			       BPF_FILTER_INSNS_MAX);
	/* Jumps go forward only, so whatever stays inside ends at a return. */
	for (size_t i = 0; i < n; i++)
		if (!insn_ok(&p[i], n - 1 - i))
			return err_set(e, EINVAL,
				       "filter: instruction %zu (code 0x%x, k %u) is not valid "
				       "there",
				       i, p[i].code, p[i].k);
	return 0;
}

int bpf_filter_create(const void *insns, size_t bytes, struct bpf_filter **out, struct err *e)
{
	struct bpf_filter *f = xzalloc(sizeof *f + bytes);
	size_t n = bytes / sizeof f->insn[0];
	int rc = 0;

	if (bytes)
		memcpy(f->insn, insns, bytes);
	if (bytes % sizeof f->insn[0])
		rc = err_set(e, EINVAL, "filter: %zu bytes are no whole instructions", bytes);
	else if (n)
		rc = bpf_filter_check(f->insn, n, e);
	if (rc) {
		free(f);
		return rc;
	}
	f->n = n;
	if (n)
		bpf_quick_create(f->insn, n, &f->quick);
	*out = f;
	return 0;
}

void bpf_filter_destroy(struct bpf_filter *f)
{
	free(f);
}

/* ---- the interpreter ---- */

struct machine {
	const struct rte_mbuf *m;
	const uint8_t *data; /* of the first buffer */
	uint32_t len;
	uint32_t a, x;
	uint32_t mem[BPF_MEMWORDS];
};

static inline uint32_t number(const uint8_t *p, uint32_t size)
{
	return size == 4   ? (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
	       : size == 2 ? (uint32_t)p[0] << 8 | p[1]
			   : p[0];
}

/* Bytes of the packet in network order; false beyond its end. */
static inline bool fetch(const struct machine *k, uint64_t at, uint32_t size, uint32_t *out)
{
	uint8_t copy[4];
	const uint8_t *p;

	if (SL_LIKELY(at + size <= k->len)) {
		*out = number(k->data + at, size);
		return true;
	}
	if (at + size > k->m->pkt_len || !(p = rte_pktmbuf_read(k->m, (uint32_t)at, size, copy)))
		return false;
	*out = number(p, size);
	return true;
}

static inline bool load(struct machine *k, const struct bpf_insn_wire *i)
{
	uint32_t size = BPF_SIZE(i->code) == BPF_W ? 4 : BPF_SIZE(i->code) == BPF_H ? 2 : 1;

	switch (BPF_MODE(i->code)) {
	case BPF_ABS:
		return fetch(k, i->k, size, &k->a);
	case BPF_IND:
		return fetch(k, (uint64_t)i->k + k->x, size, &k->a);
	case BPF_LEN:
		k->a = k->m->pkt_len;
		return true;
	case BPF_MEM:
		k->a = k->mem[i->k];
		return true;
	}
	k->a = i->k;
	return true;
}

static inline bool load_x(struct machine *k, const struct bpf_insn_wire *i)
{
	switch (BPF_MODE(i->code)) {
	case BPF_MSH:
		if (!fetch(k, i->k, 1, &k->x))
			return false;
		k->x = (k->x & 0xf) << 2;
		return true;
	case BPF_LEN:
		k->x = k->m->pkt_len;
		return true;
	case BPF_MEM:
		k->x = k->mem[i->k];
		return true;
	}
	k->x = i->k;
	return true;
}

static inline bool compute(struct machine *k, const struct bpf_insn_wire *i)
{
	uint32_t by = BPF_SRC(i->code) == BPF_X ? k->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_ADD:
		k->a += by;
		break;
	case BPF_SUB:
		k->a -= by;
		break;
	case BPF_MUL:
		k->a *= by;
		break;
	case BPF_OR:
		k->a |= by;
		break;
	case BPF_AND:
		k->a &= by;
		break;
	case BPF_XOR:
		k->a ^= by;
		break;
	case BPF_NEG:
		k->a = 0u - k->a;
		break;
	case BPF_LSH:
		k->a = by < 32 ? k->a << by : 0;
		break;
	case BPF_RSH:
		k->a = by < 32 ? k->a >> by : 0;
		break;
	case BPF_DIV:
		if (!by)
			return false;
		k->a /= by;
		break;
	case BPF_MOD:
		if (!by)
			return false;
		k->a %= by;
		break;
	}
	return true;
}

/* How many instructions a jump leaves out. */
static inline uint32_t distance(const struct machine *k, const struct bpf_insn_wire *i)
{
	uint32_t with = BPF_SRC(i->code) == BPF_X ? k->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		return k->a == with ? i->jt : i->jf;
	case BPF_JGT:
		return k->a > with ? i->jt : i->jf;
	case BPF_JGE:
		return k->a >= with ? i->jt : i->jf;
	case BPF_JSET:
		return k->a & with ? i->jt : i->jf;
	}
	return i->k; /* BPF_JA */
}

bool bpf_filter_run(const struct bpf_filter *f, const struct rte_mbuf *m)
{
	struct machine k = {
		.m = m, .data = rte_pktmbuf_mtod(m, const uint8_t *), .len = m->data_len};

	if (!f->n)
		return true;
	for (const struct bpf_insn_wire *i = f->insn;; i++) {
		bool good = true;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			good = load(&k, i);
			break;
		case BPF_LDX:
			good = load_x(&k, i);
			break;
		case BPF_ST:
			k.mem[i->k] = k.a;
			break;
		case BPF_STX:
			k.mem[i->k] = k.x;
			break;
		case BPF_ALU:
			good = compute(&k, i);
			break;
		case BPF_JMP:
			i += distance(&k, i);
			break;
		case BPF_MISC:
			if (BPF_MISCOP(i->code) == BPF_TAX)
				k.x = k.a;
			else
				k.a = k.x;
			break;
		case BPF_RET:
			return BPF_RVAL(i->code) == BPF_A ? k.a : i->k;
		}
		if (!good)
			return false;
	}
}

/* ---- bursts ---- */

/* Those that fit the first window of one of the terms. */
static uint64_t fit_first(const struct quick_list *l, const uint8_t *const *data, unsigned n)
{
	uint64_t fit = 0;

	if (l->ask)
		return UINT64_MAX;
	for (const struct quick_term *t = l->term; t < l->term + l->n; t++) {
		const uint64_t mask = t->window[0].mask, value = t->window[0].value;
		const uint32_t at = t->window[0].at;

		for (unsigned i = 0; i < n; i++) {
			uint64_t v;

			memcpy(&v, data[i] + at, sizeof v);
			if (SL_UNLIKELY(!((v ^ value) & mask)))
				fit |= 1ull << i;
		}
	}
	return fit;
}

static uint64_t fit_by_header(const struct bpf_quick *q, const uint8_t *const *data, unsigned n)
{
	uint64_t plain = 0, all = n == 64 ? UINT64_MAX : (1ull << n) - 1, fit = 0;

	for (unsigned i = 0; i < n; i++)
		plain |= (uint64_t)((data[i][q->ihl_at] & 0xf) == 5) << i;
	if (plain)
		fit = fit_first(&q->list[1], data, n) & plain;
	if (plain != all)
		fit |= fit_first(&q->list[0], data, n) & ~plain;
	return fit;
}

uint64_t bpf_filter_burst(const struct bpf_filter *f, struct rte_mbuf *const *pkts, unsigned n)
{
	/* What is too short to be looked at anywhere is looked at by itself. */
	static const uint8_t nothing[QUICK_BYTES_MAX + sizeof(uint64_t)];
	const struct bpf_quick *q = &f->quick;
	const uint32_t need = SL_MAX((uint32_t)q->need_max, (uint32_t)QUICK_PACKET_MIN);
	const uint8_t *data[BPF_FILTER_BURST_MAX];
	uint64_t ask = 0, keep = 0;

	if (q->useful) {
		for (unsigned i = 0; i < n; i++) {
			data[i] = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
			if (SL_UNLIKELY(pkts[i]->data_len < need)) {
				ask |= 1ull << i;
				data[i] = nothing;
			}
		}
		ask |= q->ihl_at ? fit_by_header(q, data, n) : fit_first(&q->list[0], data, n);
	} else {
		ask = UINT64_MAX;
	}
	if (n < 64)
		ask &= (1ull << n) - 1;
	for (; ask; ask &= ask - 1) {
		unsigned i = (unsigned)__builtin_ctzll(ask);

		keep |= (uint64_t)bpf_filter_matches(f, pkts[i]) << i;
	}
	return keep;
}
