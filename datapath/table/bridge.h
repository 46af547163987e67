/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridges and the ports on them, as forwarding sees them (the devices live in datapath/port).
 *
 * Readers (poll threads under RCU, and main) go through bridge_by_id(), bridge_port_by_id() and the
 * inline look-ups; everything they reach is immutable or says otherwise, and is freed a grace
 * period after it was replaced. Writers hold the version lock through a txn; their functions see
 * the transaction's own earlier steps, readers see all of a transaction or nothing of it. Numbers:
 * `port_id` is the datapath's port number (1 .. PORT_ID_MAX - 1, given by the server), `ofport` the
 * OpenFlow number on the bridge (given by sluiced; OFP_PORT_LOCAL for the bridge's own port). */
#pragma once
#include "datapath/base/err.h"
#include "datapath/base/hmap.h"
#include "datapath/core/rcu.h"
#include "datapath/table/txn.h"
#include "datapath/table/vlan.h"

struct flow_tables;
struct group_table;
struct mac_table;
struct meter_table;

enum { MAC_TABLE_SIZE_DEFAULT = 8192, MAC_TABLE_SIZE_MAX = 1 << 20, MAC_AGEING_S_DEFAULT = 300 };
enum { BRIDGE_TABLES_DEFAULT = 254 };

/* What rules see of IP fragments; numbers of OFPC_FRAG_* (OpenFlow 1.3.5 §7.3.2, ovs-ofctl(8),
 * set-frags). */
enum frag_mode { FRAG_NORMAL = 0, FRAG_DROP = 1, FRAG_NX_MATCH = 3 };

struct bridge_config {
	uint64_t datapath_id;
	uint8_t mac[6];       /* of the local port */
	bool fail_secure;     /* no default rule; resolve does not look at it */
	bool open;            /* configuration complete: forward; else DROP_BRIDGE_CLOSED */
	bool policed;         /* network policy applies */
	bool forward_bpdu;    /* forward 01:80:c2:00:00:0x in NORMAL */
	bool has_flood_vlans; /* flood_vlans means something */
	uint8_t vlan_limit;   /* tags that match fields see: 1 or 2 */
	uint8_t frag_mode;    /* enum frag_mode */
	uint8_t n_tables;     /* OpenFlow tables 0 .. n_tables - 1; 0: default */
	uint32_t mac_ageing_s;
	uint32_t mac_table_size;
	struct vlan_set flood_vlans; /* VLANs without learning: always flooded */
};

/* OFPPC_* bits of PORT_FLAGS (OpenFlow 1.0 §5.2.1, 1.5.1 §7.2.1). */
enum {
	PORT_FLAG_DOWN = 1,
	PORT_FLAG_NO_STP = 2,
	PORT_FLAG_NO_RECV = 4,
	PORT_FLAG_NO_RECV_STP = 8,
	PORT_FLAG_NO_FLOOD = 16,
	PORT_FLAG_NO_FWD = 32,
	PORT_FLAG_NO_PACKET_IN = 64,
};
enum bridge_port_role { PORT_ROLE_GUEST, PORT_ROLE_HOST, PORT_ROLE_UPLINK };

struct bridge_port_config {
	char name[PORT_NAME_BYTES];
	uint32_t port_id;
	uint32_t ofport;
	uint8_t vlan_mode;     /* enum vlan_mode */
	uint8_t priority_tags; /* enum vlan_priority_tags */
	bool has_trunks;       /* else every VLAN is allowed */
	bool has_cvlans;       /* dot1q-tunnel: else every customer VLAN */
	bool protected;        /* does not talk to other protected ports (NORMAL) */
	bool is_patch;
	uint8_t role;               /* enum bridge_port_role */
	uint8_t mac[6];             /* of the device; for OpenFlow's port description */
	uint16_t tag;               /* access or native VLAN, service tag; VLAN_NONE */
	uint16_t qinq_tpid;         /* 0x88a8 or 0x8100 (host order), for dot1q-tunnel */
	uint32_t flags;             /* PORT_FLAG_* */
	uint32_t mac_limit;         /* most learnt addresses; 0: the bridge's mac_table_size */
	char peer[PORT_NAME_BYTES]; /* patch: name of the other end */
	struct vlan_set trunks, cvlans;
};

/* A port on a bridge: immutable; a change replaces it. */
struct bridge_port {
	struct bridge_port_config c;
	struct bridge *bridge; /* lives longer than the port */
};

/* The ports of a bridge, by ofport: immutable, replaced on every change. */
struct bridge_ports {
	uint32_t n;
	const struct bridge_port *at[];
};

struct bridge {
	uint32_t id; /* 1 .. BRIDGE_ID_MAX - 1, constant */
	char name[PORT_NAME_BYTES];

	const struct bridge_config *config; /* W: commit (release)  R: any (acquire), RCU */
	const struct bridge_ports *ports;   /* W: commit (release)  R: any (acquire), RCU */
	uint8_t miss_upcalls;               /* bridge_miss_upcalls()  W: main  R: any (relaxed) */
	/* Constant pointers, freed with the bridge. */
	struct mac_table *macs;
	struct flow_tables *tables;
	struct group_table *groups;
	struct meter_table *meters;

	/* Writers' view, under the version lock. */
	struct hmap_node name_node;
	struct bridge_config *next_config;
	VEC(struct bridge_port *) next_ports; /* sorted by ofport */
	bool ports_dirty;                     /* the running txn changed next_ports */
};

/* ---- readers ---- */
extern struct bridge *bridge_array[BRIDGE_ID_MAX];         /* W: commit  R: RCU */
extern struct bridge_port *bridge_port_array[PORT_ID_MAX]; /* W: commit  R: RCU */
extern uint32_t bridge_patch_peer[PORT_ID_MAX]; /* port_id of a patch port's peer, 0: none
						   W: commit  R: any (relaxed) */
extern uint8_t bridge_port_down[PORT_ID_MAX];   /* link is down   W: main  R: any (relaxed) */

/* Most addresses learnt at a port, by the network policy; 0: no limit.  W, R: main */
extern uint32_t bridge_port_mac_limit[PORT_ID_MAX];

static inline struct bridge *bridge_by_id(uint32_t id)
{
	return id < BRIDGE_ID_MAX ? rcu_load(&bridge_array[id]) : NULL;
}
/* NULL: the port is on no bridge. */
static inline const struct bridge_port *bridge_port_by_id(uint32_t port_id)
{
	return port_id < PORT_ID_MAX ? rcu_load(&bridge_port_array[port_id]) : NULL;
}
const struct bridge_port *bridge_port_by_ofport(const struct bridge *b, uint32_t ofport);
/* Is the port's link up and the port not administratively down: what fast failover watches. */
static inline bool bridge_port_is_live(const struct bridge_port *p)
{
	return !(p->c.flags & PORT_FLAG_DOWN) &&
	       !__atomic_load_n(&bridge_port_down[p->c.port_id], __ATOMIC_RELAXED);
}
/* May frames of this VLAN leave or enter through the port, as far as VLANs decide? */
bool bridge_port_carries(const struct bridge_port *p, uint16_t vlan);

/* ---- writers, under a txn ---- */
void bridge_config_init(struct bridge_config *c); /* defaults */
void bridge_port_config_init(struct bridge_port_config *c);

/* Replay: the number that the next new bridge gets; 0: the lowest free one.  W, R: main */
extern uint32_t bridge_wanted_id;
/* Creates the bridge, or changes it (read next_config, alter, set). *out may be NULL. */
int bridge_set(struct txn *t, const char *name, const struct bridge_config *c, struct bridge **out,
	       struct err *e);
/* Removes it with its ports' membership, rules, groups, meters and MACs. */
int bridge_del(struct txn *t, const char *name, struct err *e);
struct bridge *bridge_find(const char *name); /* NULL: not there */
/* Puts a port on the bridge, or changes it there (same port_id). Moving a port between bridges is
 * bridge_port_del() then bridge_port_set(). */
int bridge_port_set(struct txn *t, struct bridge *b, const struct bridge_port_config *c,
		    struct err *e);
int bridge_port_del(struct txn *t, uint32_t port_id, struct err *e);
/* The writers' view of a port: what to copy and alter. NULL: on no bridge. */
const struct bridge_port *bridge_port_next(uint32_t port_id);
/* Calls fn for each bridge, by name order not guaranteed. */
void bridge_for_each(void (*fn)(struct bridge *b, void *aux), void *aux);

/* Main thread, no txn open: the device's link changed. Publishes a version when that matters. */
void bridge_port_link(uint32_t port_id, bool up);

/* Main thread, no txn open: do packets that no rule matches go to controllers, where a table has no
 * setting of its own (OpenFlow 1.0 §3.4)? Publishes a version when that changes. */
void bridge_miss_upcalls(struct bridge *b, bool on);

/* Called within the publish step of a port that comes, changes or goes (old, new: NULL when there
 * is none): before packets see the change. Set at start. */
extern void (*bridge_port_published)(const struct bridge_port *old, const struct bridge_port *new);

/* Tests and shutdown, no readers: removes everything. */
void bridge_destroy_all(void);
