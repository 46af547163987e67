/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes to a packet's bytes. The packet belongs to the caller alone (no shared buffers). Each
 * function keeps offsets, checksums and pending offloads true. False: the header is not there; the
 * packet is unchanged and to be dropped as packet_short. Poll thread. */
#pragma once
#include "datapath/exec/exec.h"

bool rewrite_parse(struct packet *p); /* fills ofs when missing */
/* Likewise, with the front that headers may lie in brought together first: for who reads further
 * than the last parse had to. */
void rewrite_parse_front(struct packet *p);
bool rewrite_set(struct packet *p, const struct prog_set *s);
bool rewrite_push_vlan(struct packet *p, be16_t tpid, be16_t tci);
bool rewrite_pop_vlan(struct packet *p);
bool rewrite_dec_ttl(struct packet *p);
bool rewrite_push_mpls(struct packet *p, be16_t ethertype, be32_t lse);
bool rewrite_pop_mpls(struct packet *p, be16_t ethertype);
bool rewrite_set_mpls(struct packet *p, be32_t lse, be32_t mask);
