/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/drop.h"

const struct drop_info drop_infos[DROP_N] = {
#define DROP(id, family_, name_, help_, remedy_)                                                   \
	[DROP_##id] = {name_, help_, remedy_, DROP_FAMILY_##family_},
#include "datapath/core/drop_reasons.def"
#undef DROP
};
