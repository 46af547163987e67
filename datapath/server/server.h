/* SPDX-License-Identifier: BSD-3-Clause */
/* What this process is: constant after start but for the generation. Main thread. */
#pragma once
#include "datapath/base/util.h"

struct server_state {
	const char *rundir;
	uint64_t boot_id, started_ms; /* clock_mono_ms() */
	uint64_t memory_bytes;        /* EAL memory */
	bool hugepages;
	uint16_t main_core;
	uint64_t generation; /* the last GENERATION_SET; 0: none */
};
extern struct server_state server;
