/* SPDX-License-Identifier: BSD-3-Clause */
/* One reading of everything that metrics.def names. Event loop thread. */
#pragma once
#include "control/daemon/metric_text.h"

struct sluiced;

/* Calls done exactly once, at once when the datapath is away, else when it has answered; the callee
 * may add to the set, which lives as long as the call. */
typedef void (*scrape_done_fn)(struct metric_set *s, void *aux);
void scrape_start(struct sluiced *d, scrape_done_fn done, void *aux);
