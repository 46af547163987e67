/* SPDX-License-Identifier: BSD-3-Clause */
/* Four passes over a bridge's ports, from the strongest claim to the weakest; a bitmap of the
 * bridge's numbers says what is taken. */
#include "control/state/ofport.h"

#include <stdlib.h>
#include <string.h>

uint32_t ofport_from_db(int64_t v)
{
	if (v == CONFIG_OFPORT_LOCAL_DB)
		return CONFIG_OFPORT_LOCAL;
	return v >= 1 && v <= CONFIG_OFPORT_MAX ? (uint32_t)v : 0;
}

int64_t ofport_to_db(uint32_t ofport)
{
	return ofport == CONFIG_OFPORT_LOCAL ? CONFIG_OFPORT_LOCAL_DB : (int64_t)ofport;
}

struct taken {
	uint8_t bits[(CONFIG_OFPORT_MAX + 8) / 8];
	uint32_t next; /* nothing below it is free */
};

static bool claim(struct taken *t, struct config_port *p, uint32_t n)
{
	if (!n || n > CONFIG_OFPORT_MAX || t->bits[n / 8] & 1u << (n % 8))
		return false;
	t->bits[n / 8] |= (uint8_t)(1u << (n % 8));
	p->ofport = n;
	return true;
}

static void claim_free(struct taken *t, struct config_port *p)
{
	while (t->next <= CONFIG_OFPORT_MAX && !claim(t, p, t->next))
		t->next++;
}

static bool on(const struct config_port *p, const char *bridge)
{
	return !p->ofport && !strcmp(p->bridge, bridge);
}

static void assign_bridge(struct config *desired, const struct config *actual, const char *bridge)
{
	struct taken *t = xzalloc(sizeof *t);
	t->next = 1;
	VEC_FOR_EACH (p, &desired->ports)
		if (on(*p, bridge) && !strcmp((*p)->name, bridge))
			(*p)->ofport = CONFIG_OFPORT_LOCAL;
	VEC_FOR_EACH (p, &desired->ports)
		if (on(*p, bridge))
			claim(t, *p, (*p)->ofport_request);
	VEC_FOR_EACH (p, &desired->ports) {
		const struct config_port *there;
		if (!on(*p, bridge))
			continue;
		there = config_find_port(actual, (*p)->name);
		if (there && !strcmp(there->bridge, bridge))
			claim(t, *p, there->ofport);
	}
	VEC_FOR_EACH (p, &desired->ports)
		if (on(*p, bridge))
			claim(t, *p, (*p)->ofport_last);
	VEC_FOR_EACH (p, &desired->ports)
		if (on(*p, bridge))
			claim_free(t, *p);
	free(t);
}

void ofport_assign(struct config *desired, const struct config *actual)
{
	VEC_FOR_EACH (b, &desired->bridges)
		assign_bridge(desired, actual, (*b)->name);
}
