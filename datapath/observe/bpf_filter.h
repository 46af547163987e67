/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet filter: a classic BPF program from a client (pcap_compile() for Ethernet), checked here
 * and then run as native code by DPDK's rte_bpf. Created and destroyed by the main thread, run by
 * poll threads; an immutable filter may be run by several at once. */
#pragma once
#include <rte_mbuf.h>

#include "datapath/base/util.h"

struct err;
struct rte_bpf;

enum { BPF_FILTER_INSNS_MAX = 4096 };

struct bpf_insn_wire { /* as struct bpf_insn of pcap/bpf.h */
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct bpf_filter { /* constant */
	uint64_t (*native)(void *mbuf);
	struct rte_bpf *bpf; /* NULL: the program keeps every packet */
};

/* 0, or -EINVAL with what is wrong with which instruction. No bytes: every packet matches. */
int bpf_filter_create(const void *insns, size_t bytes, struct bpf_filter **out, struct err *e);
void bpf_filter_destroy(struct bpf_filter *f); /* NULL is nothing */
/* Only the checks: does every path end, within the program and its 16 words of memory? */
int bpf_filter_check(const struct bpf_insn_wire *p, size_t n, struct err *e);
bool bpf_filter_matches_slowly(const struct bpf_filter *f, struct rte_mbuf *m);

static inline bool bpf_filter_matches(const struct bpf_filter *f, struct rte_mbuf *m)
{
	return SL_LIKELY(f->native != NULL) ? f->native(m) != 0 : bpf_filter_matches_slowly(f, m);
}
