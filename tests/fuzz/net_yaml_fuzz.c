/* SPDX-License-Identifier: BSD-3-Clause */
/* Any text is either refused with one reason or gives values that are canonical: parsing them again
 * gives the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "control/state/net.h"
#include "datapath/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_object(const struct net_object *o)
{
	VEC_FOR_EACH (s, &o->settings) {
		struct str why = STR_INIT;
		char *again;
		if (!s->value || s->key->kind == NET_MAP)
			continue;
		again = net_canonical(s->key, s->value, &why);
		assert(again && !strcmp(again, s->value));
		free(again);
		str_free(&why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net n = {0};
	struct err e = {0};
	int rc = net_parse(&n, "f", (const char *)data, size, true, &e);
	assert(!rc == !e.code);
	assert(!rc || e.text[0]);
	if (!rc) {
		check_object(&n.poll);
		VEC_FOR_EACH (b, &n.bridges) {
			check_object(&b->o);
			VEC_FOR_EACH (p, &b->ports)
				check_object(p);
		}
	}
	net_free(&n);
	return 0;
}
