/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes to a packet's bytes. The packet belongs to the caller alone (no shared buffers). Each
 * function keeps offsets, checksums and pending offloads true. False: the header is not there; the
 * packet is unchanged and to be dropped as packet_short. Poll thread. */
#pragma once
#include <string.h>

#include "datapath/exec/exec.h"

bool rewrite_parse(struct packet *p); /* fills ofs when missing */
/* Likewise, with the front that headers may lie in brought together first: for who reads further
 * than the last parse had to. */
void rewrite_parse_front(struct packet *p);
/* A field of a header that is not there, or not sound, is not written; that is true, too. */
bool rewrite_set(struct packet *p, const struct prog_set *s);
bool rewrite_push_vlan(struct packet *p, be16_t tpid, be16_t tci);
bool rewrite_pop_vlan(struct packet *p);
bool rewrite_dec_ttl(struct packet *p);
bool rewrite_push_mpls(struct packet *p, be16_t ethertype, be32_t lse);
bool rewrite_pop_mpls(struct packet *p, be16_t ethertype);
bool rewrite_set_mpls(struct packet *p, be32_t lse, be32_t mask);

/* Folds the change of a sum (RFC 1624: not(old) + new of every word that has changed) into the
 * checksum at `field`. `partial`: it holds a pseudo header's sum and no checksum yet. */
static inline uint16_t rewrite_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}
static inline void rewrite_fix_sum(uint8_t *field, uint64_t change, bool partial, bool udp)
{
	uint16_t c;

	memcpy(&c, field, 2);
	if (partial) {
		c = rewrite_fold(c + change);
	} else {
		c = (uint16_t)~rewrite_fold((uint16_t)~c + change);
		if (udp && !c)
			c = 0xffff;
	}
	memcpy(field, &c, 2);
}
