/* SPDX-License-Identifier: BSD-3-Clause */
/* Why packets are dropped. One row of drop_reasons.def per place that drops. */
#pragma once
#include "datapath/base/util.h"

enum drop_reason {
#define DROP(id, ...) DROP_##id,
#include "datapath/core/drop_reasons.def"
#undef DROP
	DROP_N
};

enum drop_family { DROP_FAMILY_RX, DROP_FAMILY_SWITCH, DROP_FAMILY_POLICY, DROP_FAMILY_TX };

struct drop_info {
	const char *name;   /* snake_case, shown by the CLI and in metrics */
	const char *help;   /* one cause */
	const char *remedy; /* one thing to do */
	enum drop_family family;
};
extern const struct drop_info drop_infos[DROP_N];
