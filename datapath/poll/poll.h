/* SPDX-License-Identifier: BSD-3-Clause */
/* Poll threads: one pthread per core, each with its flow cache, its receive queues and its staging
 * of outputs. This header is what the server (main thread) uses; all calls are main thread only and
 * do not block longer than a burst unless they say so. */
#pragma once
#include "datapath/core/counters.h"
#include "datapath/core/version.h"
#include "datapath/observe/journal.h"
#include "datapath/port/port.h"

struct err;

enum poll_stage { /* the order in ATTR_STAGE_CYCLES; tools/ctl/cmd_show.c names the columns */
		  STAGE_RX,
		  STAGE_EXTRACT,
		  STAGE_CACHE,
		  STAGE_RESOLVE,
		  STAGE_EXEC,
		  STAGE_TX,
		  STAGE_IDLE,
		  STAGE_N
};
extern const char *const poll_stage_names[STAGE_N];

int poll_init(struct err *e); /* rings and tables; no thread yet */
void poll_stop(void);         /* stops all threads; blocks */

/* Starts and stops threads so that exactly these cores have one; queues are placed anew. n >= 1.
 * Blocks until stopped threads have ended (a burst each). */
int poll_set_cores(const uint16_t *cores, unsigned n, struct err *e);
unsigned poll_cores(uint16_t *cores, unsigned max);
void poll_set_sleep_max_us(uint32_t us); /* 0: never sleep */
uint32_t poll_sleep_max_us(void);
/* Transmit queues a port should offer: one per poll thread index in use, plus room to grow. */
uint16_t poll_n_txq(void);

/* A port that port_open() returned becomes visible as output and its queues are placed; `pin` is
 * "queue:core,…" or NULL. counters_port_create() was called. 0 or -errno. */
int poll_port_add(struct port *p, const char *pin, struct err *e);
int poll_port_pin(struct port *p, const char *pin, struct err *e);
/* Takes it out, with its cached flows. Two rcu_defer() generations later (use rcu_defer to
 * continue) no poll thread uses it: then port_close() on the device thread,
 * counters_port_destroy(). */
void poll_port_remove(struct port *p);
/* The port's n_rxq changed (PORT_EVENT_QUEUES). */
void poll_port_requeue(struct port *p);

/* What comes by the port waits for its turn at so many bits and packets per second (pace.h; 0: no
 * such rate), but for a burst (0: the default of rate_limiter.h). */
void poll_port_set_rate(uint32_t port_id, uint64_t bps, uint64_t pps, uint32_t burst_ms);

/* Poll time of each of the port's queues beside others of its thread that have packets too: twice
 * the weight, twice the cycles. What nobody else needs it gets anyway. */
enum { POLL_WEIGHT_DEFAULT = 10, POLL_WEIGHT_MAX = 100 };
void poll_port_set_weight(uint32_t port_id, unsigned weight);

/* ---- packets from the main thread ---- */
struct flow_regs;
struct poll_inject {
	uint32_t bridge_id;
	uint32_t of_in_port; /* OFP_PORT_* or a port number of the bridge */
	const void *packet;  /* copied */
	uint32_t packet_len;
	const void *actions; /* checked action list, copied */
	size_t actions_len;
	const struct flow_regs *regs; /* initial registers, copied; or NULL */
	/* Not 0: the packet goes on from this context (resolve/frozen.h), and of the above only
	 * packet, bridge_id and of_in_port count. */
	uint32_t frozen_id;
};
/* Runs an action list on a packet in a poll thread, or lets it go on. -ENOBUFS when the ring or the
 * pool is full. */
int poll_inject(const struct poll_inject *in);

/* ---- packets and news to the main thread ---- */
enum poll_upcall_kind { UPCALL_PACKET_IN, UPCALL_LIMIT, UPCALL_AUDIT };
struct poll_upcall {
	enum poll_upcall_kind kind;
	uint32_t bridge_id, of_in_port, port_id;
	uint8_t reason, table, pause;
	uint16_t controller_id, max_len, userdata_len;
	uint32_t meter_id;
	uint64_t cookie;
	uint32_t packet_len, orig_len;
	uint32_t frozen_id; /* pause: state to continue from */
	struct flow flow;   /* key and registers as the controller action saw them */
	/* userdata, then packet_len bytes of the packet; audit: the cached program (packet_len
	 * bytes), then the one that the tables give (orig_len) */
	uint8_t data[];
};
int poll_upcall_fd(void);                   /* eventfd: readable when upcalls wait */
struct poll_upcall *poll_upcall_next(void); /* NULL when none; free() it */

/* ---- watching packets ---- */
/* From now on these probes watch (NULL: none). The caller frees an earlier set by rcu_defer() after
 * this has returned. -ENOMEM: nothing has changed. */
int poll_observe(const struct probe_set *set);
/* Reports to `sink` what is complete; `all`: everything. */
void poll_observe_sink(journal_sink *sink, void *aux);
void poll_observe_drain(uint64_t now_ms, bool all);
/* Packets that the probe in this slot saw, and that were lost, over all threads. */
void poll_observe_counts(unsigned slot, uint32_t probe_id, uint64_t *seen, uint64_t *lost);

/* ---- the cache audit ---- */
void poll_audit_set(uint32_t every); /* one of so many hits; 0: none */
/* Whether stages are timed; they are from the start. What it costs is measured by turning it off. */
void poll_account_set(bool on);
enum audit_fault { FAULT_PROGRAM, FAULT_OUT_PORT, FAULT_MASK, FAULT_KEY, FAULT_N };
/* For tests of the audit: flips a bit of the first cached entry. False: there is none. */
bool poll_audit_fault(enum audit_fault what, unsigned bit);
void poll_audit_counts(uint32_t *every, uint64_t *checked, uint64_t *different);

/* ---- recording and replaying (observe/record.h) ---- */
struct rec_in;
struct recording;
/* In main's slot: caches and clocks of all threads as if they had just begun. */
void poll_record_restart(void);
/* No packet-out is on its way to a thread. */
bool poll_record_is_idle(void);
/* In main's slot, at the beginning: THREAD and HELD events. */
void poll_record_threads(void);
void poll_record_held(void);
/* Replay; no thread runs. Makes the thread that THREAD tells of; the packet that HELD tells of
 * waits again. -EINVAL: what the event says cannot be. */
int poll_replay_thread(struct rec_in *in, struct err *e);
int poll_replay_held(struct rec_in *in, struct err *e);
/* One slot of a poll thread: begin, RX and SWEEP as they came, end. False: no such thread. */
bool poll_replay_begin(unsigned thread_idx);
int poll_replay_rx(struct rec_in *in, unsigned *n, struct err *e);
void poll_replay_sweep(void);
void poll_replay_end(void);

/* ---- looking ---- */
struct poll_rxq_info {
	uint32_t port_id;
	uint16_t queue, pinned_core; /* 0xffff: not pinned */
	uint32_t busy_permille;      /* of its thread's time, last 10 s */
	uint64_t cycles, pkts;
};
enum { POLL_INFO_RXQS = 256 };
struct poll_thread_info {
	uint16_t core, idx;
	uint32_t busy_permille; /* last 10 s */
	uint64_t iterations, sleeps, sleep_us, pkts, cycles_busy;
	uint64_t stage_cycles[STAGE_N];
	uint32_t megaflows, masks;
	unsigned n_rxq; /* may exceed POLL_INFO_RXQS: the rest is not listed */
	struct poll_rxq_info rxq[POLL_INFO_RXQS];
};
unsigned poll_thread_count(void);
bool poll_thread_info(unsigned i, struct poll_thread_info *out); /* i < poll_thread_count() */

/* Load averages; rebalances queues when that helps by 25 % or more, at most once a minute. Call
 * about every second. */
void poll_tick(uint64_t now_ms);

/* Megaflows of all threads; the entries are copies, valid during the call. */
struct poll_megaflow {
	unsigned thread;
	uint16_t core;
	uint32_t port_id;
	const struct minimatch *match;
	uint64_t pkts, bytes, used_ms, version;
	uint16_t tcp_flags, n_credits;
	struct credit_target *const *credits; /* rules and others that get its counts */
	const char *program;                  /* text */
};
void poll_megaflow_dump(void (*fn)(const struct poll_megaflow *mf, void *aux), void *aux);
/* Brings the credits (rules, buckets, MACs) up to date with everything forwarded before the call.
 */
void poll_credit_collect(void);
/* Every few milliseconds: memory that poll threads gave back or will need. */
void poll_upkeep(uint64_t now_ms);
void poll_cache_flush(void);
/* Packets held in miss queues and staging, attributed to their ingress port. */
uint64_t poll_held(uint32_t port_id);
