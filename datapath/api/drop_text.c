/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/api/drop_text.h"

#include <string.h>

#define FAMILY_RX     "rx"
#define FAMILY_SWITCH "switch"
#define FAMILY_POLICY "policy"
#define FAMILY_TX     "tx"

const struct drop_text drop_texts[] = {
#define DROP(id, family, name, help, remedy) {name, FAMILY_##family, help, remedy},
#include "datapath/core/drop_reasons.def"
#undef DROP
};
const size_t n_drop_texts = SL_ARRAY_SIZE(drop_texts);

const struct drop_text *drop_text_find(const char *name)
{
	static const struct drop_text unknown = {"", "", "", ""};
	for (size_t i = 0; i < n_drop_texts; i++)
		if (!strcmp(drop_texts[i].name, name))
			return &drop_texts[i];
	return &unknown;
}
