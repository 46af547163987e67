/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of CPU cores as Linux writes them: "0-3,8". Pure, but cpu_list_text() has one buffer. */
#pragma once
#include "datapath/base/util.h"

enum { CPU_LIST_MAX = 1024 };
struct cpu_list {
	uint64_t bits[CPU_LIST_MAX / 64];
};

/* false: not such a text; "" is the empty set. */
bool cpu_list_parse(const char *text, struct cpu_list *out);
void cpu_list_add(struct cpu_list *l, unsigned core); /* too large: ignored */
bool cpu_list_has(const struct cpu_list *l, unsigned core);
bool cpu_list_is_empty(const struct cpu_list *l);
bool cpu_list_overlap(const struct cpu_list *a, const struct cpu_list *b);
struct cpu_list cpu_list_without(const struct cpu_list *a, const struct cpu_list *b);
const char *cpu_list_text(const struct cpu_list *l); /* until the next call */
