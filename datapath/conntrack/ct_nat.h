/* SPDX-License-Identifier: BSD-3-Clause */
/* Translations: which reply tuple a new connection gets, and what a packet of it is to look like.
 * Semantics of nat() in ovs-actions(7). Poll threads; no state. */
#pragma once
#include "datapath/conntrack/conn.h"

struct ct_nat {
	uint16_t flags; /* NAT_* of flow/action.h; neither SRC nor DST: existing ones only */
	uint8_t family; /* of the range; 0: no range: keep the address, move the port if taken */
	uint8_t pad;
	uint16_t port_min, port_max; /* 0: keep the port if it is free */
	uint8_t addr_min[16], addr_max[16];
};

/* One replacement in the payload of a packet, of a single segment of memory that has room. */
enum { CT_EDIT_BYTES = 64 };
struct ct_edit {
	uint16_t at;           /* from the start of the packet */
	uint8_t n_old, n_text; /* n_old 0: nothing */
	char text[CT_EDIT_BYTES];
};

/* What to write into a packet. */
struct ct_rewrite {
	bool any;
	uint8_t family, proto;
	bool related;                /* an ICMP error: the packet inside too */
	uint16_t inner_l3, inner_l4; /* as in struct ct_packet */
	/* As the packet shall be; an error: as the packet inside shall be after reversal. */
	struct ct_tuple to, from;
	bool shifted;            /* TCP: seq and ack as they shall be, SACK edges by `acked` */
	uint32_t seq, ack;       /* ack: only when the packet has one */
	struct conn_shift acked; /* of what the packet acknowledges */
	struct ct_edit edit;
};

enum { CT_NAT_ATTEMPTS = 256 }; /* tuples tried for one connection at most */

/* Walks through candidates for a reply tuple. */
struct ct_nat_search {
	const struct ct_nat *nat;
	struct ct_tuple orig;
	uint32_t hash, tried;
	uint64_t n_addrs, addr;           /* addresses in the range, the one in work */
	uint32_t port_min, n_ports, port; /* likewise */
	uint32_t tried_here, per_addr;    /* ports of this address */
	bool ports_matter, dst_port;
};
void ct_nat_begin(struct ct_nat_search *s, const struct ct_nat *nat, const struct ct_tuple *orig);
/* Next candidate; false: none left within CT_NAT_ATTEMPTS. */
bool ct_nat_next(struct ct_nat_search *s, struct ct_tuple *reply);

/* The translation of a packet of direction `dir`, and the bits it adds to ct_state. */
uint8_t ct_nat_state(const struct ct_conn *c, unsigned dir);
void ct_nat_rewrite(const struct ct_conn *c, unsigned dir, struct ct_rewrite *rw);
