/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting DPDK: the main core only, no files left behind, hugepages when there are enough. */
#pragma once
#include "datapath/server/options.h"

struct eal_result {
	bool hugepages;
	uint64_t memory_bytes; /* what packets and drivers have */
	uint16_t main_core;
};
/* Main thread, once. With hugepages that turn out unusable the process starts itself again with
 * --no-huge (argv is for that). -errno with *e set. */
int eal_start(const struct options *o, char **argv, struct eal_result *out, struct err *e);
void eal_stop(void);
/* Free hugepages of any size, in MB. */
uint64_t eal_free_hugepages_mb(void);
