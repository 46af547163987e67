/* SPDX-License-Identifier: BSD-3-Clause */
/* A filter's program as a few masked compares, which decide most packets of most filters; the
 * program is interpreted for the others only. Made from the checked program by walking all its ways
 * to "keep". Built by the main thread, read by poll threads. */
#pragma once
#include <string.h>

#include <rte_mbuf.h>

#include "datapath/base/util.h"

struct bpf_insn_wire;

enum {
	QUICK_TERMS_MAX = 8, /* more cost as much as the program */
	QUICK_WINDOWS_MAX = 6,
	QUICK_PACKET_MIN = 16, /* shorter ones are the program's */
	QUICK_BYTES_MAX = 128, /* compares are about these first bytes */
};

struct quick_window { /* 8 bytes of the packet, as they lie there */
	uint64_t mask, value;
	uint16_t at;
	bool differs; /* the masked bytes must not be `value` */
};
struct quick_term {        /* one way to be kept */
	uint16_t need;     /* bytes that this way reads; all windows end within them */
	uint8_t n_windows; /* at least 1; window[0] is one that must be equal */
	bool exact;        /* what fits is kept; else the program decides */
	struct quick_window window[QUICK_WINDOWS_MAX];
};
struct quick_list {
	bool ask; /* nothing is known: always the program */
	unsigned n;
	struct quick_term term[QUICK_TERMS_MAX];
};
struct bpf_quick { /* constant */
	bool useful;
	/* Offset of the byte whose low half is the length of the IPv4 header that the program
	 * reads; 0: it reads none. */
	uint16_t ihl_at;
	uint16_t need_max;         /* no compare looks further */
	struct quick_list list[2]; /* by whether that header has 20 bytes; without one the first */
};

/* From a program that bpf_filter_check() let pass. */
void bpf_quick_create(const struct bpf_insn_wire *p, size_t n, struct bpf_quick *q);

static inline bool quick_window_fits(const struct quick_window *w, const uint8_t *data)
{
	uint64_t v;

	memcpy(&v, data + w->at, sizeof v);
	return (((v ^ w->value) & w->mask) == 0) != w->differs;
}

enum quick_answer { QUICK_DROP, QUICK_KEEP, QUICK_ASK /* the program */ };

static inline enum quick_answer bpf_quick(const struct bpf_quick *q, const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct quick_list *l = &q->list[0];
	uint32_t len = m->data_len;

	if (len < QUICK_PACKET_MIN || !q->useful)
		return QUICK_ASK;
	if (SL_UNLIKELY(len < q->need_max) && len != m->pkt_len)
		return QUICK_ASK; /* what is in further buffers is the program's */
	if (q->ihl_at) {
		if (len <= q->ihl_at)
			return QUICK_ASK;
		l = &q->list[(data[q->ihl_at] & 0xf) == 5];
	}
	if (l->ask)
		return QUICK_ASK;
	for (const struct quick_term *t = l->term; t < l->term + l->n; t++) {
		uint64_t v;
		unsigned i = 1;

		if (len < t->need)
			continue;
		memcpy(&v, data + t->window[0].at, sizeof v);
		if ((v ^ t->window[0].value) & t->window[0].mask)
			continue;
		while (i < t->n_windows && quick_window_fits(&t->window[i], data))
			i++;
		if (i == t->n_windows)
			return t->exact ? QUICK_KEEP : QUICK_ASK;
	}
	return QUICK_DROP;
}
