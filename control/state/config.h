/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration of a datapath as plain data: bridges, ports, static MAC entries, poll threads.
 * The same structs hold what is wanted (from the database) and what is there (from the datapath's
 * dumps), so that plan.c can compare the two field by field. No I/O, no clock; sluiced's main
 * thread.
 *
 * The fields that travel in api messages are rows of config_fields.def; adding one there makes it
 * encoded, decoded and compared. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/vec.h"

enum {
	CONFIG_VLAN_BITMAP_BYTES = 4096 / 8,
	CONFIG_TAG_NONE = 0xffff,
	CONFIG_OFPORT_MAX = 0xfeff,     /* highest number that OpenFlow 1.0 can say */
	CONFIG_OFPORT_LOCAL_DB = 65534, /* the local port as the database writes it */
};

/* The local port in the api: OpenFlow 1.5.1 §7.2.1.1. */
#define CONFIG_OFPORT_LOCAL 0xfffffffeu

/* Values of config_port.vlan_mode: those of ATTR_VLAN_MODE. */
enum config_vlan_mode {
	CONFIG_VLAN_TRUNK,
	CONFIG_VLAN_ACCESS,
	CONFIG_VLAN_NATIVE_TAGGED,
	CONFIG_VLAN_NATIVE_UNTAGGED,
	CONFIG_VLAN_DOT1Q_TUNNEL,
};

struct config_option {
	char *key, *value;
};

struct config_bridge {
	char *name;
	uint64_t datapath_id; /* 0: not known yet */
	uint8_t mac[6];
	uint8_t fail_secure;
	uint8_t open;
	uint8_t policed;
	uint8_t forward_bpdu;
	uint8_t vlan_limit;
	uint32_t mac_ageing_s;
	uint32_t mac_table_size;
	uint8_t *flood_vlans; /* bitmap or NULL */
};

struct config_port {
	char *name;
	char *bridge;
	char *type;
	uint32_t ofport;       /* 0: not assigned yet */
	uint32_t mtu;          /* 0: the type's default */
	uint16_t n_rxq, n_txq; /* 0: default */
	uint16_t n_rxq_desc, n_txq_desc;
	uint8_t mac[6]; /* all 0: the port's choice */
	uint8_t admin_up;
	uint8_t vlan_mode;
	uint16_t tag; /* CONFIG_TAG_NONE: none */
	uint16_t qinq_ethtype;
	uint8_t priority_tags;
	uint8_t is_protected;
	uint8_t role;
	uint32_t port_flags; /* OFPPC_* bits, set by OpenFlow port mods */
	uint32_t mac_limit;
	uint32_t rate_burst_ms;   /* 0: the default */
	uint64_t rate_kbps;       /* of what it sends; 0: no limit */
	uint64_t rate_pps;        /* likewise, packets */
	uint8_t *trunks, *cvlans; /* bitmap or NULL */
	char *rxq_affinity;
	uint32_t poll_weight; /* 1 to 100 */
	VEC(struct config_option) options; /* sorted by key once config_sort() ran */

	/* Not sent: what ofport_assign() works from. */
	uint32_t ofport_request; /* 0: none */
	uint32_t ofport_last;    /* what the database says it had; 0: none */
};

struct config_mac {
	char *bridge;
	char *port;
	uint16_t vlan;
	uint8_t mac[6];
};

/* How long a connection may be silent, by row of flow/ct_timeouts.def. */
enum {
#define CT_TIMEOUT(id, name, seconds) CONFIG_CT_##id,
#include "datapath/flow/ct_timeouts.def"
#undef CT_TIMEOUT
	CONFIG_CT_TIMEOUTS
};
struct config_zone {
	uint16_t zone;
	uint32_t timeouts_ms[CONFIG_CT_TIMEOUTS];
};

struct config {
	VEC(struct config_bridge *) bridges; /* sorted by name after config_sort() */
	VEC(struct config_port *) ports;     /* likewise */
	VEC(struct config_mac) macs;         /* sorted by bridge, vlan, mac */
	VEC(struct config_zone) zones;       /* with timeouts of their own; sorted by zone */
	VEC(uint16_t) cores;                 /* ascending; empty: the datapath's choice */
	bool has_sleep_max;
	uint32_t sleep_max_us;
	uint64_t generation;
};

/* ---- the field tables ---- */
enum config_kind {
	CONFIG_U8,
	CONFIG_U16,
	CONFIG_U32,
	CONFIG_U64,
	CONFIG_STR,
	CONFIG_MAC,
	CONFIG_BITMAP
};
struct config_field {
	const char *name;
	size_t offset;
	enum config_kind kind;
	enum api_attr attr;
	uint64_t def; /* value when the attribute is absent */
};
extern const struct config_field config_bridge_fields[];
extern const size_t config_bridge_n_fields;
extern const struct config_field config_port_fields[];
extern const size_t config_port_n_fields;

bool config_field_eq(const struct config_field *f, const void *a, const void *b);
/* The attribute; an absent string or bitmap is sent empty, which takes it back. */
void config_field_put(const struct config_field *f, const void *object, struct msg *m);
void config_field_get(const struct config_field *f, void *object, struct attrs a);
/* "tag=10"; for logs and --dry-run. */
void config_field_format(const struct config_field *f, const void *object, struct str *out);

/* ---- objects ---- */
void config_free(struct config *c); /* contents, not c itself */
/* Adds an object with the fields' defaults; name is copied. */
struct config_bridge *config_add_bridge(struct config *c, const char *name);
struct config_port *config_add_port(struct config *c, const char *name, const char *bridge);
void config_add_mac(struct config *c, const char *bridge, const char *port, uint16_t vlan,
		    const uint8_t mac[6]);
/* With the default timeouts; the one that is there, if it is. */
struct config_zone *config_add_zone(struct config *c, uint16_t zone);
/* false: no row of flow/ct_timeouts.def has this name. */
bool config_zone_set(struct config_zone *z, const char *name, uint32_t seconds);
void config_bridge_free(struct config_bridge *b);
void config_port_free(struct config_port *p);
void config_set_str(char **s, const char *value); /* replaces a copy */
void config_port_set_option(struct config_port *p, const char *key, const char *value);
const char *config_port_option(const struct config_port *p, const char *key);
/* Sorts everything; needed before config_find_* and plan_make(). */
void config_sort(struct config *c);
struct config_bridge *config_find_bridge(const struct config *c, const char *name);
struct config_port *config_find_port(const struct config *c, const char *name);
/* A deep copy, sorted as the source is. */
void config_copy(struct config *to, const struct config *from);
bool config_port_options_eq(const struct config_port *a, const struct config_port *b);
bool config_port_eq(const struct config_port *a, const struct config_port *b); /* what is sent */
struct config_port *config_port_copy(const struct config_port *p);
/* Takes a port out and frees it; false when it is not there. Keeps the order. */
bool config_remove_port(struct config *c, const char *name);

/* Decodes one OBJECT of a BRIDGES, PORTS or MACS dump. Returns the object added; NULL without a
 * name. */
struct config_bridge *config_add_bridge_dump(struct config *c, struct attrs a);
struct config_port *config_add_port_dump(struct config *c, struct attrs a);
/* Of a CT_INFO dump; zones without timeouts of their own are passed over. */
void config_add_zone_dump(struct config *c, struct attrs a);
/* Learnt entries are passed over. */
void config_add_mac_dump(struct config *c, struct attrs a);

static inline bool config_vlan_has(const uint8_t *bitmap, unsigned vlan)
{
	return bitmap && bitmap[vlan / 8] & 1u << (vlan % 8);
}
static inline void config_vlan_add(uint8_t *bitmap, unsigned vlan)
{
	bitmap[vlan / 8] |= (uint8_t)(1u << (vlan % 8));
}
