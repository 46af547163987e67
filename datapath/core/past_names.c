/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/past_names.h"

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "datapath/base/util.h"
#include "datapath/core/limits.h"

struct past_name {
	char *name; /* NULL: none yet */
	uint64_t since_tsc;
};
enum { NOW, BEFORE, SPELLS };

static struct past_name ports[PORT_ID_MAX][SPELLS], bridges[BRIDGE_ID_MAX][SPELLS];

static struct past_name *names_of(enum past_kind kind, uint32_t id)
{
	switch (kind) {
	case PAST_PORT:
		return id < PORT_ID_MAX ? ports[id] : NULL;
	case PAST_BRIDGE:
		return id < BRIDGE_ID_MAX ? bridges[id] : NULL;
	case PAST_KINDS:
		break;
	}
	return NULL;
}

void past_name_set(enum past_kind kind, uint32_t id, const char *name)
{
	struct past_name *n = names_of(kind, id);

	if (!n || (n[NOW].name && !strcmp(n[NOW].name, name)))
		return;
	free(n[BEFORE].name);
	n[BEFORE] = n[NOW];
	n[NOW] = (struct past_name){xstrdup(name), rte_rdtsc()};
}

const char *past_name_at(enum past_kind kind, uint32_t id, uint64_t tsc)
{
	const struct past_name *n = names_of(kind, id);

	for (unsigned i = 0; n && i < SPELLS; i++)
		if (n[i].name && n[i].since_tsc <= tsc)
			return n[i].name;
	return "";
}
