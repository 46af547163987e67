/* SPDX-License-Identifier: BSD-3-Clause */
/* The flow key: what the datapath knows about one packet, in 64-byte lines.
 *
 * struct flow_key is what the flow cache matches on. Line 0 is all that an L2 or IPv4 packet needs;
 * a packet fills further lines only when it has something for them, and a mask names the lines it
 * reads, so that nobody pays for IPv6, tunnels or conntrack metadata that is not there.
 * struct flow adds the registers, which exist only while a packet is resolved (and in frozen
 * contexts): every field of the OpenFlow pipeline lives somewhere in struct flow, big-endian, at
 * the place that fields.def names.
 *
 * The layout is written by hand for the extractor's sake; tests/unit/flow checks it against
 * fields.def row by row. No code here; any thread. */
#pragma once
#include "datapath/base/util.h"

enum { FLOW_LINE_BYTES = 64 };

enum flow_line {
	FLOW_LINE_BASE,     /* ports, Ethernet, VLANs, IPv4/ARP, L4 ports, ct_state, tunnel id */
	FLOW_LINE_IPV6,     /* IPv6 addresses, ND target and link-layer addresses, ARP hardware
			       addresses */
	FLOW_LINE_TUNNEL,   /* outer addresses and flags */
	FLOW_LINE_CT,       /* ct_label and the original tuple */
	FLOW_LINE_EXTRA,    /* MPLS, rare ND parts */
	FLOW_LINE_TUN_OPT0, /* Geneve options, 4 lines */
	FLOW_LINE_TUN_OPT1,
	FLOW_LINE_TUN_OPT2,
	FLOW_LINE_TUN_OPT3,
	FLOW_KEY_LINES,                  /* 9: what a packet and a megaflow can have */
	FLOW_LINE_REGS = FLOW_KEY_LINES, /* reg0–15 */
	FLOW_LINE_META,                  /* metadata, OpenFlow in_port, … */
	FLOW_LINES,                      /* 11: what a rule can match */
};

/* ip_frag bits, as in ovs-fields(7): any fragment; not the first one. */
enum { FLOW_FRAG_ANY = 1, FLOW_FRAG_LATER = 2 };

/* ct_state bits, as in ovs-fields(7). */
enum {
	CT_STATE_NEW = 0x01,
	CT_STATE_EST = 0x02,
	CT_STATE_REL = 0x04,
	CT_STATE_RPL = 0x08,
	CT_STATE_INV = 0x10,
	CT_STATE_TRK = 0x20,
	CT_STATE_SNAT = 0x40,
	CT_STATE_DNAT = 0x80,
};

/* vlan_tci has the CFI bit set when the tag is there, so that 0 means "no tag" (the OpenFlow
 * OFPVID_PRESENT convention). The DEI bit of the wire is not kept. */
enum { VLAN_CFI = 0x1000, VLAN_VID_MASK = 0x0fff, VLAN_PCP_SHIFT = 13, VLAN_PCP_MASK = 0xe000 };

struct flow_vlan {
	be16_t tpid; /* 0x8100 or 0x88a8 (or other 802.1Q TPIDs); 0 when absent */
	be16_t tci;  /* pcp:3 present:1 vid:12 */
};

struct flow_key {
	/* line 0 */
	uint32_t in_port;   /* datapath port number (host order, not the OpenFlow number) */
	uint32_t recirc_id; /* frozen context; 0 for a packet fresh from its port (host order) */
	uint8_t eth_dst[6]; /* dst, src and type lie as in a packet without tags */
	uint8_t eth_src[6];
	be16_t eth_type;  /* innermost; values < 0x600 (LLC) become 0x05ff as in ovs-fields(7) */
	uint8_t ip_proto; /* IPv6: the last header reached; ARP: low byte of the opcode */
	uint8_t ip_tos;   /* DSCP and ECN, or IPv6 traffic class */
	struct flow_vlan vlan[2]; /* outer, inner */
	be32_t ip_src;            /* ARP: spa */
	be32_t ip_dst;            /* ARP: tpa */
	be16_t tp_src;            /* ICMP, ICMPv6, IGMP: type */
	be16_t tp_dst;            /* ICMP, ICMPv6, IGMP: code */
	be16_t tcp_flags;         /* 12 bits */
	uint8_t ip_ttl;           /* or hop limit */
	uint8_t ip_frag;          /* FLOW_FRAG_* */
	be16_t ct_zone;
	uint8_t ct_state;  /* CT_STATE_* */
	uint8_t ttl_class; /* min(ip_ttl, 15): what dec_ttl reads, so that TTLs do not split flows
			    */
	be32_t ct_mark;
	be64_t tun_id;

	/* line 1 */
	uint8_t ipv6_src[16];
	uint8_t ipv6_dst[16];
	uint8_t nd_target[16];
	be32_t ipv6_label;  /* 20 bits */
	uint8_t arp_sha[6]; /* ND: source link-layer address option (sll) */
	uint8_t arp_tha[6]; /* ND: target link-layer address option (tll) */

	/* line 2 */
	be32_t tun_src, tun_dst;
	uint8_t tun_ipv6_src[16];
	uint8_t tun_ipv6_dst[16];
	be16_t tun_flags; /* bit 0: OAM */
	uint8_t tun_tos, tun_ttl;
	be16_t tun_gbp_id;
	uint8_t tun_gbp_flags;
	uint8_t tun_erspan_ver;
	be32_t tun_erspan_idx;
	uint8_t tun_erspan_dir, tun_erspan_hwid;
	uint8_t tun_gtpu_flags, tun_gtpu_msgtype;
	uint8_t tun_opt_present[8]; /* bit i (big-endian bit order): tun_metadata<i> is present */

	/* line 3 */
	uint8_t ct_label[16];
	uint8_t ct_ipv6_src[16], ct_ipv6_dst[16];
	be32_t ct_ip_src, ct_ip_dst;
	be16_t ct_tp_src, ct_tp_dst;
	uint8_t ct_ip_proto;
	uint8_t pad_ct[3];

	/* line 4 */
	be32_t mpls_lse[3]; /* outermost first; 0 when absent */
	be32_t nd_reserved;
	uint8_t nd_options_type;
	uint8_t mpls_depth; /* labels seen, up to 3 (internal) */
	uint8_t pad_extra[46];

	/* lines 5–8: option bytes where a TLV mapping of the bridge puts them */
	uint8_t tun_opt[256];
} SL_CACHE_ALIGNED;

/* Lives only while a packet is resolved. Everything big-endian, so that xreg0 is reg0:reg1 as
 * bytes. */
struct flow_regs {
	be32_t reg[16];
	be64_t metadata;
	be32_t in_port;       /* OpenFlow port number on the bridge in question */
	be32_t actset_output; /* OpenFlow port number; OFPP_UNSET when none */
	be32_t conj_id;
	be32_t pkt_mark;
	be32_t dp_hash;
	be32_t queue;       /* set_queue; 0xffffffff = none */
	be32_t packet_type; /* always 0: Ethernet */
	uint8_t pad[28];
} SL_CACHE_ALIGNED;

struct flow {
	union {
		struct {
			struct flow_key key;
			struct flow_regs regs;
		};
		uint8_t line[FLOW_LINES][FLOW_LINE_BYTES];
	};
} SL_CACHE_ALIGNED;

_Static_assert(offsetof(struct flow_key, ipv6_src) == 64, "line 1");
_Static_assert(offsetof(struct flow_key, tun_src) == 128, "line 2");
_Static_assert(offsetof(struct flow_key, ct_label) == 192, "line 3");
_Static_assert(offsetof(struct flow_key, mpls_lse) == 256, "line 4");
_Static_assert(offsetof(struct flow_key, tun_opt) == 320, "lines 5 to 8");
_Static_assert(sizeof(struct flow_key) == FLOW_KEY_LINES * FLOW_LINE_BYTES, "key lines");
_Static_assert(sizeof(struct flow) == FLOW_LINES * FLOW_LINE_BYTES, "all lines");
