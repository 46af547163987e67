/* SPDX-License-Identifier: BSD-3-Clause */
/* What sluiced knows of each port at run time, beside its configuration: the status from the
 * datapath, why it could not be set, when to try again, the flags that OpenFlow set. Lives as long
 * as the port is wanted. Main thread; time is passed in. */
#pragma once
#include "control/state/config.h"
#include "datapath/base/hmap.h"

enum { PORT_RETRY_FIRST_MS = 500, PORT_RETRY_MAX_MS = 30000 };

struct port_status {
	bool known;   /* the datapath has the port */
	bool lost;    /* … but its device has gone: it must be made again */
	uint32_t id;  /* datapath port number */
	uint32_t mtu; /* 0: unknown */
	uint8_t mac[6];
	bool admin_up, link_up, full_duplex;
	uint64_t link_speed_bps; /* 0: unknown */
	uint32_t link_resets;
	uint32_t ifindex; /* 0: none */
	uint16_t n_rxq, n_txq;
	char state[32];
	char detail[256]; /* key=value pairs separated by spaces */
};

struct port_state {
	struct hmap_node node; /* by hash_string(name) */
	char *name;
	struct port_status status;
	char *error;                /* why the last attempt failed; NULL: it did not */
	char *peer_error;           /* a patch port without the other end; NULL: fine */
	struct config_port *failed; /* what was attempted */
	uint64_t retry_at_ms;       /* monotonic */
	uint32_t retry_delay_ms;
	uint32_t flags; /* OFPPC_* */
	bool dirty;     /* status must be read again */
	bool mentioned; /* mark for port_states_keep() */
};

struct port_states {
	struct hmap by_name;
};

struct port_state *port_states_find(const struct port_states *s, const char *name);
struct port_state *port_states_get(struct port_states *s, const char *name); /* makes one */
void port_states_free(struct port_states *s);
/* What is wrong with the port; NULL: nothing. */
const char *port_state_error(const struct port_state *p);
/* Forgets the ports that are not in `wanted`, and looks whether patch ports there have their peers.
 */
void port_states_keep(struct port_states *s, const struct config *wanted);

void port_state_fail(struct port_state *p, const struct config_port *attempted, const char *why,
		     uint64_t now_ms);
void port_state_succeed(struct port_state *p);
/* Does a failure forbid to try `wanted` now? Another configuration than the failed one is always
 * tried. */
bool port_state_holds_back(const struct port_state *p, const struct config_port *wanted,
			   uint64_t now_ms);
/* When the next retry is due; UINT64_MAX: never. */
uint64_t port_states_next_retry_ms(const struct port_states *s);
/* Of an OBJECT of a PORTS dump. */
void port_status_read(struct port_status *st, struct attrs object);
