/* SPDX-License-Identifier: BSD-3-Clause */
/* Conntrack zones of a configuration: those with timeouts of their own. */
#include <string.h>

#include "control/state/config.h"

/* The datapath's clock of a connection has 32 bits of milliseconds. */
enum { LONGEST_S = INT32_MAX / 1000 };

static const struct {
	const char *name;
	uint32_t seconds;
} rows[CONFIG_CT_TIMEOUTS] = {
#define CT_TIMEOUT(id, name, seconds) {name, seconds},
#include "datapath/flow/ct_timeouts.def"
#undef CT_TIMEOUT
};

struct config_zone *config_add_zone(struct config *c, uint16_t zone)
{
	struct config_zone z = {.zone = zone};

	VEC_FOR_EACH (it, &c->zones)
		if (it->zone == zone)
			return it;
	for (size_t i = 0; i < CONFIG_CT_TIMEOUTS; i++)
		z.timeouts_ms[i] = rows[i].seconds * 1000;
	vec_push(&c->zones, z);
	return &c->zones.at[c->zones.len - 1];
}

bool config_zone_set(struct config_zone *z, const char *name, uint32_t seconds)
{
	for (size_t i = 0; i < CONFIG_CT_TIMEOUTS; i++)
		if (rows[i].name[0] && !strcmp(rows[i].name, name)) {
			z->timeouts_ms[i] = SL_MIN(seconds, (uint32_t)LONGEST_S) * 1000;
			return true;
		}
	return false;
}

void config_add_zone_dump(struct config *c, struct attrs a)
{
	struct config_zone *z;
	uint64_t zone;
	size_t len;
	const void *timeouts = attrs_bytes(a, ATTR_CT_TIMEOUTS, &len);

	if (!timeouts || !attrs_get_u64(a, ATTR_CT_ZONE, &zone))
		return;
	z = config_add_zone(c, (uint16_t)zone);
	/* A datapath of another version may know more timeouts or fewer. */
	memcpy(z->timeouts_ms, timeouts, SL_MIN(len, sizeof z->timeouts_ms));
}
