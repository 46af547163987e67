/* SPDX-License-Identifier: BSD-3-Clause */
/* What top, status and doctor look at: one reading of the datapath's dumps and of sluiced's status,
 * as copies. Counters are in `counts` under names such as "rx_packets p1" and "drop p1 tx_mtu".
 * Blocking, one thread; a missing daemon leaves its part empty. */
#pragma once
#include <jansson.h>

#include "tools/ctl/command.h"
#include "tools/ctl/sample.h"

enum { FACTS_STAGES_MAX = 16 };

struct fact_port {
	char *name, *bridge, *type, *state, *detail;
	char *device; /* options:dpdk-devargs; "" */
	uint32_t mtu, n_rxq;
	int numa; /* -1: not known */
	bool link_up, admin_up;
	uint64_t held;
};
struct fact_queue {
	char *port;
	unsigned queue, busy_permille;
	int pinned_core; /* -1: not pinned */
};
struct fact_thread {
	unsigned core, busy_permille, megaflows, masks;
	uint64_t pkts, sleeps, iterations;
	uint64_t stage_cycles[FACTS_STAGES_MAX];
	unsigned n_stages;
	VEC(struct fact_queue) queues;
};
struct fact_bridge {
	char *name;
	bool open, fail_secure, policed;
	unsigned n_macs, mac_table_size;
};
struct fact_drop {
	char *port, *reason;
	uint64_t count;
};
struct fact_grant { /* a rule of the policy that ends by itself */
	char *name;
	uint64_t valid_until_ms; /* wall clock */
};
struct facts {
	bool datapath; /* it answered */
	char datapath_error[ERR_TEXT_BYTES];
	char *program, *dpdk;
	unsigned pid, main_core;
	uint64_t uptime_ms, memory_bytes, buffers, buffers_in_use;
	bool hugepages;
	VEC(struct fact_port) ports;
	VEC(struct fact_thread) threads;
	VEC(struct fact_bridge) bridges;
	VEC(struct fact_drop) drops;
	VEC(struct fact_grant) grants;
	uint64_t ct_max, ct_count, ct_half_open;
	uint64_t audit_checked, audit_different;
	struct sample counts;
	json_t *sluiced; /* sluiced/status; NULL: away */
};
extern const char *const facts_stage_names[]; /* of stage_cycles, as enum poll_stage has them */
extern const size_t n_facts_stages;

/* Fills *f (zeroed); never fails as a whole. `client` NULL: the datapath is away. */
void facts_read(const struct command_call *c, struct api_client *client, bool with_sluiced,
		struct facts *f);
/* Connects without a message when that fails: the reason goes to *e. */
struct api_client *facts_connect(const struct command_call *c, struct err *e);
void facts_free(struct facts *f);
const struct fact_port *facts_port(const struct facts *f, const char *name); /* NULL: none */
/* "name port" as a key of counts; lives until the next call. */
const char *facts_key(const char *what, const char *object);
/* "buffers=10 x=y" → 10; 0 when absent. */
uint64_t facts_detail_number(const char *detail, const char *key);
