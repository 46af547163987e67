/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet filter: a classic BPF program from a client (pcap_compile() for Ethernet), checked here,
 * then interpreted, where the masked compares made from it (bpf_quick.h) do not say it already.
 * Created and destroyed by the main thread, run by poll threads; an immutable filter may be run by
 * several at once. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/base/util.h"
#include "datapath/observe/bpf_quick.h"

struct err;

enum { BPF_FILTER_INSNS_MAX = 4096, BPF_FILTER_BURST_MAX = 64 };

struct bpf_insn_wire { /* as struct bpf_insn of pcap/bpf.h */
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct bpf_filter { /* constant */
	struct bpf_quick quick;
	size_t n; /* 0: every packet is kept */
	struct bpf_insn_wire insn[];
};

/* 0, or -EINVAL with what is wrong with which instruction. No bytes: every packet matches. */
int bpf_filter_create(const void *insns, size_t bytes, struct bpf_filter **out, struct err *e);
void bpf_filter_destroy(struct bpf_filter *f); /* NULL is nothing */
/* Only the checks: does every path end, within the program and its 16 words of memory? */
int bpf_filter_check(const struct bpf_insn_wire *p, size_t n, struct err *e);
/* Bit i: it keeps pkts[i]. What many packets cost at once is half of what they cost one by one. */
uint64_t bpf_filter_burst(const struct bpf_filter *f, struct rte_mbuf *const *pkts, unsigned n);
/* What the program says. */
bool bpf_filter_run(const struct bpf_filter *f, const struct rte_mbuf *m);

static inline bool bpf_filter_matches(const struct bpf_filter *f, const struct rte_mbuf *m)
{
	enum quick_answer a = bpf_quick(&f->quick, m);

	return SL_LIKELY(a != QUICK_ASK) ? a == QUICK_KEEP : bpf_filter_run(f, m);
}
