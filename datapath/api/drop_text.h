/* SPDX-License-Identifier: BSD-3-Clause */
/* What the drop reasons of datapath/core/drop_reasons.def mean and what to do about them. Reasons
 * travel by name: those of a newer datapath are shown without text. Constant data; any thread. */
#pragma once
#include "datapath/base/util.h"

struct drop_text {
	const char *name, *family; /* "rx", "switch", "policy", "tx": at which end of the switch */
	const char *help;          /* one cause */
	const char *remedy;        /* one thing to do */
};
extern const struct drop_text drop_texts[];
extern const size_t n_drop_texts;

/* Never NULL: an unknown reason has empty texts. */
const struct drop_text *drop_text_find(const char *name);
