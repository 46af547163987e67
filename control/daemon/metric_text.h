/* SPDX-License-Identifier: BSD-3-Clause */
/* Samples of metrics.def's families, collected in any order and written in that of the table.
 *
 *	struct metric_set s = {0};
 *	metric_set_add(&s, METRIC_RX_PKTS, 7, "port", "p1", "bridge", "br0", NULL);
 *	metric_set_write(&s, true, &out);   metric_set_free(&s);
 * One thread. */
#pragma once
#include "datapath/base/str.h"

enum metric_id {
#define METRIC(id, ...) METRIC_##id,
#include "control/daemon/metrics.def"
#undef METRIC
	METRIC_N
};

struct metric_set {
	struct str samples[METRIC_N]; /* of a family: "{labels} value\n" after its name */
};

/* Names and values of labels in pairs, then NULL; values are escaped. */
void metric_set_add(struct metric_set *s, enum metric_id id, double value, ...)
	__attribute__((sentinel));
/* Families without samples are left out. */
void metric_set_write(const struct metric_set *s, bool openmetrics, struct str *out);
void metric_set_free(struct metric_set *s);
