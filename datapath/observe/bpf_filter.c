/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of classic BPF, and its way to native code. Main thread; poll threads only run what came
 * out. Instruction set: McCanne and Jacobson, "The BSD Packet Filter" (1993), and bpf(4). */
#define ALLOW_EXPERIMENTAL_API /* rte_bpf_convert(), there since 21.11 */
#include "datapath/observe/bpf_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/bpf.h>
#include <rte_bpf.h>
#include <rte_malloc.h>

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
	struct bpf_filter *f = xzalloc(sizeof *f);
	struct bpf_insn_wire *p = xmalloc(bytes + 1);
	size_t n = bytes / sizeof *p;
	struct rte_bpf_prm *prm;
	struct rte_bpf_jit jit;
	int rc = 0;

	if (bytes)
		memcpy(p, insns, bytes);
	if (bytes % sizeof *p)
		rc = err_set(e, EINVAL, "filter: %zu bytes are no whole instructions", bytes);
	else if (n)
		rc = bpf_filter_check(p, n, e);
	/* One `ret #k` decides for every packet; "keep" is what no program at all is. */
	if (!rc && n && !(n == 1 && p->code == (BPF_RET | BPF_K) && p->k)) {
		struct bpf_program prog = {(u_int)n, (struct bpf_insn *)(void *)p};

		prm = rte_bpf_convert(&prog);
		f->bpf = prm ? rte_bpf_load(prm) : NULL;
		rte_free(prm);
		if (!f->bpf)
			rc = err_set(e, EINVAL, "filter: the BPF program was refused");
		else if (!rte_bpf_get_jit(f->bpf, &jit))
			f->native = jit.func;
	}
	free(p);
	if (rc) {
		free(f);
		return rc;
	}
	*out = f;
	return 0;
}

void bpf_filter_destroy(struct bpf_filter *f)
{
	if (!f)
		return;
	rte_bpf_destroy(f->bpf);
	free(f);
}

bool bpf_filter_matches_slowly(const struct bpf_filter *f, struct rte_mbuf *m)
{
	return !f->bpf || rte_bpf_exec(f->bpf, m);
}
