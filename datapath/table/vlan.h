/* SPDX-License-Identifier: BSD-3-Clause */
/* VLAN modes of a bridge port and sets of VLANs (IEEE 802.1Q; ovs-vswitchd.conf.db(5), Port table).
 * No state; any thread. */
#pragma once
#include <string.h>

#include "datapath/base/util.h"

enum vlan_mode {
	VLAN_MODE_TRUNK,           /* tagged frames of the allowed VLANs; untagged is VLAN 0 */
	VLAN_MODE_ACCESS,          /* untagged frames of one VLAN */
	VLAN_MODE_NATIVE_TAGGED,   /* trunk; untagged frames that arrive are of VLAN `tag` */
	VLAN_MODE_NATIVE_UNTAGGED, /* the same, and VLAN `tag` leaves untagged */
	VLAN_MODE_DOT1Q_TUNNEL,    /* service tag `tag` around whatever the customer sends */
	VLAN_MODE_N
};

enum vlan_priority_tags { VLAN_PRIORITY_NEVER, VLAN_PRIORITY_IF_NONZERO, VLAN_PRIORITY_ALWAYS };

enum { VLAN_N = 4096, VLAN_NONE = 0xffff /* no tag configured */ };

struct vlan_set {
	uint64_t bits[VLAN_N / 64];
};

static inline bool vlan_set_has(const struct vlan_set *s, uint16_t vid)
{
	return s->bits[(vid & 0xfff) / 64] >> (vid % 64) & 1;
}
static inline void vlan_set_add(struct vlan_set *s, uint16_t vid)
{
	s->bits[(vid & 0xfff) / 64] |= (uint64_t)1 << (vid % 64);
}
static inline void vlan_set_fill(struct vlan_set *s)
{
	memset(s, 0xff, sizeof *s);
}
