/* SPDX-License-Identifier: BSD-3-Clause */
/* Another packet of the same cache entry, for the tests of masks. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "datapath/base/util.h"
#include "datapath/flow/key.h"

/* Bits of k outside the mask are random, or those of `donor`. Stays what a parser could give: the
 * TTL class follows the TTL, and a present bit without a tag does not occur. rnd(n): 0 .. n-1. */
static inline struct flow_key flip_outside(const struct flow_key *k, const struct flow_key *mask,
					   const struct flow_key *donor,
					   uint32_t (*rnd)(uint32_t n))
{
	struct flow_key f = *k;
	uint8_t *p = (uint8_t *)&f;
	const uint8_t *m = (const uint8_t *)mask, *d = (const uint8_t *)donor;

	for (size_t i = 0; i < FLOW_LINE_BYTES * 2; i++) {
		uint8_t bits = rnd(2) ? d[i] : (uint8_t)(p[i] ^ (rnd(256) & rnd(256)));

		p[i] = (uint8_t)((p[i] & m[i]) | (bits & ~m[i]));
	}
	f.in_port = k->in_port;
	f.recirc_id = k->recirc_id;
	f.tun_id = k->tun_id;
	f.ct_mark = k->ct_mark;
	f.ct_zone = k->ct_zone;
	f.ct_state = k->ct_state;
	for (unsigned i = 0; i < 2; i++) {
		if (!(f.vlan[i].tci & cpu_to_be16(VLAN_CFI))) {
			/* No tag: only when the mask leaves the whole tag open. */
			if ((mask->vlan[i].tci & (be16_t)~cpu_to_be16(VLAN_CFI)) ||
			    mask->vlan[i].tpid)
				f.vlan[i] = k->vlan[i];
			else
				f.vlan[i] = (struct flow_vlan){0, 0};
		}
	}
	if (mask->ttl_class && !mask->ip_ttl) {
		if (k->ttl_class < 15)
			f.ip_ttl = k->ttl_class;
		else if (f.ip_ttl < 15)
			f.ip_ttl = (uint8_t)(f.ip_ttl + 100);
	}
	f.ttl_class = SL_MIN(f.ip_ttl, 15);
	return f;
}
