/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside the switch: the bridge, its connections, and how requests reach the datapath. Event loop
 * thread only. */
#pragma once
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "control/openflow/flow_msg.h"
#include "control/openflow/ofmsg.h"
#include "control/openflow/ofswitch.h"
#include "control/openflow/shadow.h"
#include "control/openflow/spec.h"
#include "datapath/api/client.h"
#include "datapath/base/err.h"
#include "datapath/base/list.h"
#include "datapath/base/vec.h"
#include "datapath/flow/tun_opt.h"

struct remote;
struct ofrequest;
struct table_states;

/* Bit of RULE_FLAGS: a rule that no controller sees or touches (table/rule.h). */
enum { OF_RULE_HIDDEN = 0x10000 };

/* ---- asynchronous message kinds and who wants which reasons (§7.3.9.5) ---- */
enum async_kind {
	ASYNC_PACKET_IN,
	ASYNC_PORT_STATUS,
	ASYNC_FLOW_REMOVED,
	ASYNC_ROLE_STATUS,
	ASYNC_TABLE_STATUS,
	ASYNC_REQUESTFORWARD,
	ASYNC_FLOW_STATS, /* triggers of 1.5: nobody can ask for them here */
	ASYNC_CONTROLLER_STATUS,
	ASYNC_N
};
struct async_config {
	uint32_t master[ASYNC_N], slave[ASYNC_N]; /* bit per reason; master also for equal */
};

/* Operations on their way to the datapath, with what is needed to answer for each. */
struct quoted_request {
	uint32_t xid;
	uint8_t *bytes; /* the whole message; owned */
	size_t n;
	size_t op_start, op_end; /* in transaction.data */
};
static inline struct quoted_request quote(const struct ofmsg *m)
{
	return (struct quoted_request){
		.xid = m->xid, .bytes = xmemdup(m->data, m->len), .n = m->len};
}
struct op_batch {
	struct msg transaction;
	VEC(struct quoted_request) requests;
	bool has_objects; /* groups or meters among them */
	bool has_tables;  /* table mods */
	bool unforeseen;  /* one whose effect on rules only the datapath knows */
};
void op_batch_init(struct op_batch *b);
void op_batch_free(struct op_batch *b);

struct bundle {
	struct list node;
	uint32_t id;
	uint16_t flags;
	bool closed;
	uint64_t touched_ms; /* last message; idle ones are discarded */
	struct op_batch batch;
	VEC(struct ofbuf) others; /* port mods and packet-outs, done after the operations */
};

struct flow_monitor {
	struct list node;
	uint32_t id;
	uint16_t flags; /* OFPFMF_* of 1.4 */
	struct flow_selection select;
	uint8_t dialect; /* enum monitor_dialect */
};

enum ofconn_kind { OFCONN_SERVICE, OFCONN_CONTROLLER, OFCONN_SNOOP };

struct ofconn {
	struct list node; /* in sw->conns */
	struct ofswitch *sw;
	struct remote *remote; /* whose connection it is; NULL for <bridge>.mgmt and .snoop */
	struct bufferevent *bev;
	enum ofconn_kind kind;
	char *peer; /* for logs */

	/* What is not encrypted is read and written without the bufferevent's own steps: output at
	 * the end of the loop's iteration, without epoll being asked whether it may (flush), input
	 * in one call for as much as there is (readable). NULL with TLS. */
	struct event *flush, *readable;

	/* Input not looked at yet: [in_at, in_len). */
	uint8_t *in;
	size_t in_at, in_len, in_cap;
	bool input_stopped;  /* INPUT_BYTES_MAX are there: not read until some are taken */
	bool more_in_socket; /* the last read filled its room */

	uint32_t id;     /* of this process; 24 bits, never 0 */
	uint8_t version; /* 0 until both hellos are there */
	bool closing;
	uint32_t next_xid;

	/* what the controller has set */
	uint32_t role; /* OFPCR_* */
	struct async_config async;
	uint16_t short_id; /* 1.5: what it calls itself; OFPCID_UNDEFINED */
	uint16_t miss_send_len;
	uint16_t controller_id;
	bool invalid_ttl_to_controller;
	bool has_table_id; /* NXT_FLOW_MOD_TABLE_ID */
	bool nxm_flow_removed;
	uint8_t packet_in_format; /* NXPIF_* */

	/* Requests. While blocked, no further message of this connection is looked at. */
	struct op_batch batch; /* collected, not sent yet */
	bool blocked;
	unsigned in_flight; /* packet-outs and the like, which do not block */
	bool barrier_waits;
	uint32_t barrier_xid;
	struct list requests; /* struct ofrequest.node */

	struct list bundles;
	unsigned n_bundles;
	struct list monitors;
	bool monitors_paused;
	uint8_t origin_count; /* of messages with one transaction id, monitors_origin() */
	uint64_t abbreviated; /* origin of the last abbreviated update */
	uint64_t paused_at;   /* shadow_time() */

	struct ofbuf parts; /* of a multipart request whose last part has not come */
	uint32_t parts_xid;

	/* inactivity probe */
	struct event *timer;
	uint64_t last_heard_ms;
	bool probe_sent;

	/* packet-in rate limit: token bucket */
	int packet_in_rate, packet_in_burst;
	double tokens;
	uint64_t tokens_ms;
};

struct tlv_map {
	uint16_t class;
	uint8_t type, length;
	uint16_t index;
};

struct ofswitch {
	struct event_base *base;
	struct api_client *client; /* NULL: no datapath */
	uint64_t boot_id;          /* of the datapath that the shadow is of; 0: of none */
	char *bridge, *rundir, *dp_desc, *serial_desc;
	struct ofswitch_ops ops;
	void *ops_aux;
	uint64_t datapath_id;
	enum ofswitch_fail_mode fail_mode;
	uint32_t versions;
	char *tls_key, *tls_cert, *tls_ca;
	void *tls; /* SSL_CTX */

	struct evconnlistener *mgmt, *snoop;
	struct list conns;            /* struct ofconn.node */
	VEC(struct remote *) remotes; /* in the order of the configuration */
	struct list requests;         /* struct ofrequest.sw_node */

	bool has_generation;
	uint64_t generation_id; /* of roles */
	uint16_t frag_mode;     /* OFPC_FRAG_* */
	VEC(struct tlv_map) tlv;
	struct fail_open *fail_open;
	bool misses_told; /* the datapath sends up what no rule matches */
	struct event *misses_retry;
	struct event *reload;        /* not sure of some rules: read them all soon */
	struct event *refresh;       /* groups and meters changed: ask again soon */
	struct table_states *tables; /* table_state.c; NULL until configured */
	struct shadow *shadow;       /* what the datapath holds, for replay and monitors */
	struct event *ask;           /* whether all was told that is pending in the shadow */
	bool replaying;              /* the shadow is of a datapath that is no more */
};

/* ---- ofconn.c ---- */
struct ofconn *ofconn_create(struct ofswitch *sw, struct bufferevent *bev, enum ofconn_kind kind,
			     struct remote *remote, const char *peer);
void ofconn_destroy(struct ofconn *c);
void ofconn_send(struct ofconn *c, const struct ofbuf *b); /* whole messages */
void ofconn_send_free(struct ofconn *c, struct ofbuf *b);  /* and frees */
void ofconn_send_error(struct ofconn *c, const struct ofmsg *m, enum ofp_err err);
void ofconn_send_quoted_error(struct ofconn *c, const struct quoted_request *q, enum ofp_err err);
void ofconn_resume(struct ofconn *c); /* after unblocking: looks at what waits */
size_t ofconn_begin_reply(struct ofbuf *b, const struct ofmsg *m, uint8_t type);
size_t ofconn_begin_nx_reply(struct ofbuf *b, const struct ofmsg *m, uint32_t subtype);
uint32_t ofconn_xid(struct ofconn *c);
bool ofconn_wants(const struct ofconn *c, enum async_kind kind, unsigned reason);
static inline struct flow_mod_format ofconn_format(const struct ofconn *c, bool nxm)
{
	return (struct flow_mod_format){c->version, nxm, c->has_table_id};
}
/* Runs a message that a bundle kept. */
enum ofp_err ofconn_handle(struct ofconn *c, const struct ofmsg *m);

/* ---- remote.c ---- */
int remote_create(struct ofswitch *sw, const struct ofswitch_controller_config *config,
		  struct remote **out, struct err *e);
void remote_destroy(struct remote *r);
bool remote_is(const struct remote *r, const struct ofswitch_controller_config *config);
void remote_configure(struct remote *r, const struct ofswitch_controller_config *config);
const struct ofswitch_controller_config *remote_config(const struct remote *r);
void remote_reconnect(struct remote *r);
void remote_on_connected(struct remote *r); /* versions are agreed */
void remote_on_closed(struct remote *r, struct ofconn *c, const char *why);
void remote_status(const struct remote *r, struct ofswitch_status *out);

/* ---- controller_status.c: what 1.5 controllers are told of each other ---- */
/* The connection is not told about itself; NULL: all of the target's are not. `reason`: OFPCSR_*.
 * Nothing is said of tools (r NULL). */
void controller_status_tell(struct ofswitch *sw, const struct remote *r, const struct ofconn *about,
			    bool up, uint8_t reason);

/* ---- request.c: questions to the datapath ---- */
struct ofrequest {
	struct list node;    /* in conn->requests */
	struct list sw_node; /* in sw->requests */
	struct ofswitch *sw; /* NULL: gone */
	struct ofconn *conn; /* NULL: gone; or nobody's */
	bool blocks;
	/* Once per message of the answer; the last with more == false. err: errno and text, and in
	 * ofp_error what the datapath said (0: nothing). Not called once conn or sw is gone (unless
	 * conn was NULL from the start), but release is. */
	void (*on_reply)(struct ofrequest *r, struct attrs a, bool more, const struct err *err);
	void (*release)(
		struct ofrequest *r); /* frees what the embedding struct holds; may be NULL */
	struct quoted_request quoted;
	struct ofmulti multi; /* for dumps */
	bool has_multi;
	bool ownerless;
};
/* `r` was allocated by the caller (embedded at the start of a malloc'ed struct) and is freed with
 * free() after the last reply. Takes `m`. False: there is no datapath; r is freed, the caller
 * answers. */
bool ofrequest_send(struct ofrequest *r, struct ofswitch *sw, struct ofconn *c,
		    const struct ofmsg *msg, struct msg *m, bool blocks);
void ofrequest_forget_conn(struct ofconn *c);
void ofrequest_forget_switch(struct ofswitch *sw);
enum ofp_err ofrequest_error(struct attrs a, const struct err *err);
/* A multipart dump: sends `m`, calls `entry` for each object of the answer, which appends to
 * r->multi. */
typedef void (*dump_entry_fn)(struct ofrequest *r, struct attrs object);
struct dump_request {
	struct ofrequest r;
	dump_entry_fn entry;
	void (*end)(struct ofrequest *r); /* before the last part is closed; may be NULL */
	enum ofp_err if_none;             /* the answer when there is no object; OK: an empty one */
	bool any;
};
/* `d` is malloc'ed, zeroed, possibly embedded at the start of something larger. */
enum ofp_err dump_start(struct dump_request *d, struct ofconn *c, const struct ofmsg *m,
			struct msg *api);

/* ---- the map of tunnel options (handle_nx.c) ---- */
/* Sends a transaction on behalf of m, which has no reply but an error. Takes *api. */
enum ofp_err ofconn_send_change(struct ofconn *c, const struct ofmsg *m, struct msg *api);
void tlv_map_put(const struct ofswitch *sw, struct msg *transaction);
/* NXTTMC_*; this side only. */
enum ofp_err tlv_map_change(struct ofswitch *sw, uint16_t command, const struct tlv_map *t);
/* Where the fields of the map lie in the key, entry by entry; and a map with such places (NULL:
 * anywhere) in place of what there is. `map`: n times struct tlv_map, unaligned. */
void tlv_map_places(const struct ofswitch *sw, uint8_t places[TUN_OPT_FIELDS]);
void tlv_map_restore(struct ofswitch *sw, const void *map, const uint8_t *places, size_t n);
/* From the bridge's OBJECT in a dump of bridges. */
void tlv_map_adopt(struct ofswitch *sw, struct attrs bridge);

/* The map of options and fragment handling that the datapath has, once it answers (events.c). */
void bridge_state_load(struct ofswitch *sw);

/* ---- fragment handling (handle_switch.c) ---- */
void frag_mode_put(const struct ofswitch *sw, struct msg *transaction);

/* ---- table_state.c: settings of tables, vacancy events ---- */
void table_states_configure(struct ofswitch *sw, const struct ofswitch_table_config *tables,
			    size_t n);
void table_states_load(struct ofswitch *sw);                        /* asks the datapath */
void table_states_rule_changed(struct ofswitch *sw, uint8_t table); /* the shadow knows already */
size_t table_states_replay(struct ofswitch *sw, struct msg *transaction);
void table_states_destroy(struct table_states *ts);

/* ---- fail_open.c: a standalone bridge without its controllers ---- */
void fail_open_start(struct ofswitch *sw);
void fail_open_stop(struct ofswitch *sw);
void fail_open_saw(struct ofswitch *sw, struct attrs rule); /* a rule that is adopted */
void fail_open_run(struct ofswitch *sw); /* a connection came, or the configuration changed */

/* ---- misses.c: packets without a rule, for controllers of OpenFlow 1.0 to 1.2 ---- */
void misses_start(struct ofswitch *sw);
void misses_stop(struct ofswitch *sw);
void misses_run(struct ofswitch *sw); /* a connection came, went, or asked for something else */

/* ---- batches of operations (op_batch.c) ---- */
/* Adds the message's operation to the connection's batch. */
enum ofp_err op_batch_add(struct op_batch *b, struct ofconn *c, const struct ofmsg *m);
/* Sends the batch if there is something in it; blocks the connection until it is answered. */
void op_batch_flush(struct ofconn *c);
typedef void (*batch_done_fn)(struct ofconn *c, const struct quoted_request *about,
			      enum ofp_err err, void *aux);
/* Commits a bundle: `done` gets OFPERR_OK or what failed. Takes the batch. */
void op_batch_commit(struct ofconn *c, const struct ofmsg *m, struct op_batch *batch,
		     batch_done_fn done, void *aux);
bool ofmsg_is_op(const struct ofmsg *m);

/* ---- monitor.c, events.c, bundles ---- */
struct rule_change {
	struct flow_stats *fs; /* after it; what was removed */
	uint16_t event;        /* OFPFME_* of 1.4 */
	uint64_t origin;       /* of the operation that caused it; 0: nobody's here */
	/* Actions before it: who watches a port is told that a rule no longer sends there. */
	const void *old_actions;
	size_t old_len;
};
void monitors_rule_event(struct ofswitch *sw, const struct rule_change *change);
bool monitors_are_there(const struct ofswitch *sw);
/* ORIGIN of an operation of the connection's message; 0: nobody needs it. */
uint64_t monitors_origin(struct ofconn *c, uint32_t xid);
void monitors_caught_up(struct ofconn *c); /* all that was put out is out */
void packet_in_event(struct ofswitch *sw, struct attrs a);
void monitors_free(struct ofconn *c);
void bundles_free(struct ofconn *c);
/* Fills the shadow from the datapath: when it (re)appears, and groups and meters after a change. */
void shadow_load(struct ofswitch *sw);
void shadow_refresh_soon(struct ofswitch *sw);
/* A transaction was committed: its operations if only the datapath knows their effect, and what it
 * answered. */
void shadow_answered(struct ofswitch *sw, struct attrs transaction, struct attrs answer);
/* Our own transaction was committed. */
void shadow_apply(struct ofswitch *sw, struct shadow_plan *plan, uint64_t version);
/* A rule as it is in an api message; false when it is not complete. */
bool rule_from_attrs(struct attrs a, struct flow_stats *out);
