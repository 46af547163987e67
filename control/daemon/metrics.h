/* SPDX-License-Identifier: BSD-3-Clause */
/* The metrics endpoint: GET /metrics by HTTP, in the text formats of Prometheus (0.0.4) and
 * OpenMetrics (1.0), as the client asks. Off unless sluiced's --metrics or
 * other_config:sluice-metrics gives an address: "unix:FILE" (relative to the run directory) or
 * "IP:PORT". Event loop thread; a request is answered when the datapath has answered, or without
 * its part when it is away. */
#pragma once
#include "datapath/base/util.h"

struct sluiced;
struct metrics;

struct metrics *metrics_create(struct sluiced *d);
void metrics_destroy(struct metrics *m); /* NULL is fine */
/* The option may have changed: opens, moves or closes the socket. */
void metrics_update(struct metrics *m);
/* Why the endpoint is not open although it should be; NULL: nothing is wrong. */
const char *metrics_error(const struct metrics *m);
