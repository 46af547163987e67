/* SPDX-License-Identifier: BSD-3-Clause */
/* An OpenFlow switch: one bridge, its controllers and its management sockets.
 *
 * sluiced makes one ofswitch per bridge. It speaks OpenFlow 1.0 to 1.5 with controllers and
 * ovs-ofctl, turns what they ask for into operations and dumps of the datapath's api, and fans the
 * datapath's events out to them. Nothing of the rules is decided here: the datapath holds the
 * tables; a request is answered after the datapath has answered.
 *
 * Thread: everything runs in the event loop given at creation; nothing here blocks. Callbacks are
 * called from that loop and may call back into any function but ofswitch_destroy(). */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/util.h"

struct event_base;
struct api_client;
struct err;
struct str;
struct ofswitch;

/* OFPPS_* bits of a port's state (OpenFlow 1.5.1 §7.2.1) and OFPPF_* features (§7.2.1.2) are those
 * of control/openflow/spec.h. */
struct ofswitch_port {
	uint32_t ofport; /* OpenFlow port number; OFP_PORT_LOCAL for the bridge's own port */
	const char *name;
	uint8_t mac[6];
	uint32_t config; /* OFPPC_*: port_down 1, no_recv 4, no_flood 16, no_fwd 32, no_packet_in 64
			  */
	uint32_t state;  /* OFPPS_*: link_down 1, blocked 2, live 4 */
	uint32_t curr, advertised, supported, peer; /* OFPPF_* */
	uint32_t curr_speed_kbps, max_speed_kbps;
};

struct ofswitch_queue {
	uint32_t ofport, queue_id;
	uint32_t min_rate_bps, max_rate_bps; /* 0: none */
};

typedef void (*ofswitch_port_fn)(const struct ofswitch_port *port, void *aux);
typedef void (*ofswitch_queue_fn)(const struct ofswitch_queue *queue, void *aux);

/* What the daemon knows and the switch asks for. Pointers passed to the per-port functions are
 * borrowed for the call. */
struct ofswitch_ops {
	void (*for_each_port)(void *aux, ofswitch_port_fn fn, void *fn_aux);
	/* OFPT_PORT_MOD: set the bits of `mask` in the port's config. 0; -ENODEV: no such port;
	 * -EADDRNOTAVAIL: mac is not that port's. The daemon answers by applying it and then
	 * calling ofswitch_port_changed(). */
	int (*port_mod)(void *aux, uint32_t ofport, const uint8_t mac[6], uint32_t config,
			uint32_t mask);
	void (*for_each_queue)(void *aux, ofswitch_queue_fn fn, void *fn_aux); /* may be NULL */
	/* A controller's status changed: read it with ofswitch_controller_status(). May be NULL. */
	void (*status_changed)(void *aux);
};

enum ofswitch_fail_mode { OFSWITCH_FAIL_STANDALONE, OFSWITCH_FAIL_SECURE };

/* One row of the Controller table. */
struct ofswitch_controller_config {
	const char *target; /* tcp:HOST[:PORT] ssl:… unix:FILE (active); ptcp:[PORT][:HOST] pssl:…
			       punix:FILE */
	bool primary;       /* false: service controller, which has no part in fail-mode */
	int inactivity_probe_ms;  /* 0: none; -1: default (5 s) */
	int max_backoff_ms;       /* -1: default (8 s) */
	int packet_in_rate_limit; /* packets/s; 0: none */
	int packet_in_burst_limit;
	bool no_async; /* enable_async_messages=false: nothing unasked until the controller sets it
			*/
};

struct ofswitch_tls {
	const char *private_key, *certificate, *ca_cert; /* NULL: no TLS */
};

/* One entry of Bridge.flow_tables. */
struct ofswitch_table_config {
	uint8_t id;
	bool evicts;          /* the least important rule goes when the table is full */
	uint32_t max_entries; /* 0: no limit */
	const char *name;     /* "": none */
};

struct ofswitch_config {
	uint64_t datapath_id;
	enum ofswitch_fail_mode fail_mode;
	uint32_t versions; /* bit (wire version) allowed: 0x02 = 1.0 … 0x40 = 1.5; 0: all from 1.0
			      to 1.5 */
	const struct ofswitch_controller_config *controllers;
	size_t n_controllers;
	struct ofswitch_tls tls;
	const struct ofswitch_table_config *tables;
	size_t n_tables;
	const char *dp_desc;     /* other_config:dp-desc; NULL: the bridge's name */
	const char *serial_desc; /* other_config:dp-sn; NULL: "None" */
};

/* Creates the switch and its sockets <rundir>/<bridge>.mgmt and .snoop (mode 0600). Strings are
 * copied. `client` may be NULL while there is no datapath. -errno with *e set. */
int ofswitch_create(struct ofswitch **out, struct event_base *base, struct api_client *client,
		    const char *bridge, const char *rundir, const struct ofswitch_ops *ops,
		    void *ops_aux, struct err *e);
void ofswitch_destroy(
	struct ofswitch *sw); /* closes everything, removes the sockets; NULL is fine */

/* Applies a configuration; connections of controllers that stay are kept. */
int ofswitch_configure(struct ofswitch *sw, const struct ofswitch_config *config, struct err *e);
/* The datapath came (or went: NULL). Requests in flight end with an error; rules are replayed by
 * ofswitch_replay(). `client` must outlive its use here. */
void ofswitch_set_client(struct ofswitch *sw, struct api_client *client);
/* The bridge was created in an empty datapath and not adopted: a standalone bridge without
 * controllers gets its priority=0 actions=NORMAL rule, a secure one nothing. `done` (may be NULL)
 * is called when the datapath has answered. */
void ofswitch_add_default_rules(struct ofswitch *sw,
				void (*done)(const struct err *error, void *aux), void *aux);
/* Puts all rules, groups, meters and the option mapping that this process has seen into
 * `transaction` as operations, for a datapath that has lost them. Returns how many operations were
 * added; 0 means that there was nothing, and the caller should use ofswitch_add_default_rules(). */
size_t ofswitch_replay(struct ofswitch *sw, struct msg *transaction);
/* The datapath has made the bridge, with what was replayed. */
void ofswitch_made(struct ofswitch *sw);

/* Every event of the api client goes to every switch; those of other bridges are ignored. Subscribe
 * to OFSWITCH_EVENTS. */
#define OFSWITCH_EVENTS                                                                            \
	(1u << API_EVENT_RULE_ADDED | 1u << API_EVENT_RULE_REMOVED | 1u << API_EVENT_PACKET_IN)
void ofswitch_event(struct ofswitch *sw, struct attrs event);

/* OFPT_PORT_STATUS to the controllers: 0 added, 1 deleted, 2 modified (OFPPR_*). */
void ofswitch_port_changed(struct ofswitch *sw, const struct ofswitch_port *port, uint8_t reason);

/* Controller table columns. */
struct ofswitch_status {
	const char *target; /* of the row */
	bool is_connected;
	const char *role;       /* "other" "master" "slave", or "" for passive targets */
	const char *state;      /* "VOID" "BACKOFF" "CONNECTING" "ACTIVE" "IDLE" */
	const char *last_error; /* "" when none */
	int sec_since_connect, sec_since_disconnect; /* -1: never */
};
/* i counts from 0 to n_controllers of the configuration; false past the end. */
bool ofswitch_controller_status(const struct ofswitch *sw, size_t i, struct ofswitch_status *out);
bool ofswitch_has_controller_connected(const struct ofswitch *sw);
const char *ofswitch_bridge(const struct ofswitch *sw);

/* For unixctl: drops and remakes all controller connections (bridge/reconnect). */
void ofswitch_reconnect(struct ofswitch *sw);
/* bridge/dump-flows: `done` gets the text, one rule a line as ovs-appctl prints it, or an error;
 * text is borrowed. */
void ofswitch_dump_flows(struct ofswitch *sw, bool with_hidden,
			 void (*done)(const char *text, const struct err *error, void *aux),
			 void *aux);
/* Changes in text, all or nothing: lines of "[flow|group|meter|tlv] [COMMAND] SPEC" in the syntax
 * of ovs-ofctl; `command` is that of lines without one; "restore" adds after removing all that is
 * there. The first makes operations of them, for a transaction of the caller's; the second sends
 * one. Errors say line and column. */
int ofswitch_put_text(struct ofswitch *sw, const char *text, const char *command,
		      struct msg *transaction, struct err *e);
void ofswitch_apply_text(struct ofswitch *sw, const char *text, const char *command,
			 void (*done)(const struct err *error, void *aux), void *aux);
