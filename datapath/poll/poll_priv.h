/* SPDX-License-Identifier: BSD-3-Clause */
/* A poll thread's state, between the files of this folder. Fields say who writes. */
#pragma once
#include <pthread.h>
#include <string.h>

#include <rte_ring.h>

#include "datapath/cache/flow_cache.h"
#include "datapath/conntrack/conntrack.h"
#include "datapath/exec/exec.h"
#include "datapath/observe/observer.h"
#include "datapath/poll/poll.h"
#include "datapath/resolve/resolve.h"

enum {
	MISS_QUEUE_PKTS = 512,    /* per port and thread */
	MISS_BUDGET_TSC = 260000, /* cycles of resolving per burst before misses wait: 100 us */
	/* Deficit round robin: cycles a port of default weight earns per round, two or three
	 * bursts of a cheap one. It bounds how long a queue that has packets waits for each of the
	 * others.
	 */
	QUANTUM_TSC = 4000,
	QUANTUM_OF_WEIGHT_TSC = QUANTUM_TSC / POLL_WEIGHT_DEFAULT,
	/* What one burst can be charged, several times what the dearest costs, and what a queue can
	 * owe. The clock also runs while the kernel has taken the core away: 100 ms of that would
	 * be 75,000 rounds. */
	CHARGE_MAX_TSC = 16 * MISS_BUDGET_TSC,
	DEBT_MAX_TSC = 4 * CHARGE_MAX_TSC,
	/* What a miss costs others on top of its own time: the lines that it reads and writes push
	 * theirs out of the caches. docs/decisions/flow-cache.md has the figures. */
	MISS_SURCHARGE_PCT = 40,
	/* A look at a queue that gave nothing, and may have thrown something away, is work from so
	 * many cycles on. */
	LOOK_DEAR_TSC = 1000,
	SWEEP_EVERY_US = 1000,
	RCU_EVERY = 64,        /* iterations between quiescent reports */
	MEASURE_EVERY = 16,    /* iterations between those whose stages are timed; a power of 2 */
	FEW_QUEUES = 8,        /* so many are polled every time, silent or not */
	IDLE_QUEUE_US = 10000, /* a queue silent for so long is polled in rotation */
	EVENT_POLL_US = 20,    /* how often descriptors are asked while other queues are busy */
	SLEEP_AFTER_US = 200,  /* nothing at all for so long: sleep */
	COMMANDS_MAX = 64,
};

/* A port's part of a thread's time, of which its queues there earn equal parts: more queues are no
 * more time. Lives as long as the port. */
struct port_share {
	uint32_t quantum_tsc; /* earned per round  W: main (relaxed) */
	uint32_t n_busy;      /* queues with packets or debt in the last round; W: thread */
	uint32_t n_seen;      /* … in this one so far */
	uint64_t round;       /* iteration of n_seen */
};

struct rxq { /* one receive queue on one thread; owned by its thread while listed */
	struct port *port;
	struct port_share *share; /* W: main, while it is nobody's */
	uint16_t q;
	uint16_t pinned_core; /* 0xffff: none */
	bool ready;           /* poll_on_event: the descriptor said so */
	bool armed;
	bool active;          /* in its list's `active`; W: thread */
	bool fired;           /* its descriptor ended the last sleep */
	bool caught_up;       /* what waits of its port was served since it had packets */
	bool proven;          /* PORT_WAKE_INTERRUPT: an interrupt has brought packets */
	uint8_t silent;       /* … and how often in a row packets came without one */
	uint16_t wakes_empty; /* PORT_WAKE_DRIVER: how often in a row it woke us for nothing */
	int fd;               /* in epoll_fd; -1: none */
	int dead_fd;          /* not listened to any more; -1: none */
	uint64_t pkts_at_wake;
	int64_t deficit_tsc;
	uint64_t last_pkt_tsc;
	uint64_t cycles, pkts; /* W: thread  R: main, relaxed */
	uint64_t seen_cycles;  /* W: main */
	uint64_t window[10];   /* cycles of the last ten ticks  W: main */
};

struct rxq_list { /* immutable but for `active`; replaced by main, freed after a grace period */
	struct rxq **active; /* room for n: those that are polled every time; W: thread */
	unsigned n;
	uint64_t gen; /* never repeats: addresses do */
	struct rxq *at[];
};

struct miss_queue { /* packets of one port that wait for their resolution */
	uint32_t port_id;
	uint16_t head, n;
	bool listed;
	struct rte_mbuf *pkt[MISS_QUEUE_PKTS];
};

enum { PACED_MAX = 256 }; /* ports of a thread that wait for their rate at a time */
struct pace_queue;
enum poll_command_kind { COMMAND_FLUSH, COMMAND_FORGET_PORT, COMMAND_OBSERVE };
struct poll_command {
	enum poll_command_kind kind;
	uint32_t port_id;
};

enum {
	AUDIT_EVERY_DEFAULT = 16384, /* hits */
	AUDIT_LOOK_AGAIN = 16384,    /* hits after which a thread that audits none asks again */
	AUDIT_SUSPECTS = 8,
};
struct audit_suspect { /* an entry that said something else than the tables, once */
	uint32_t idx, due_ms;
	const struct mf_info *info; /* as it was: another one clears it */
	struct flow_key key;
};

enum { CT_LANE_SLOTS = 64 };

struct poll_thread {
	unsigned idx;
	uint16_t core;
	pthread_t pthread;
	bool stop; /* W: main */
	/* In use; NULL: nobody watches. As exec->observer.  W: thread  R: main, after a barrier */
	struct observer *observing;
	struct observer *observer; /* W: main, before the command; lives as long as the thread */
	struct journal *journal;   /* main only */
	bool failed;               /* W: thread, before started */
	bool started;
	int epoll_fd, wake_fd;
	struct flow_cache *cache;
	struct exec *exec;
	struct resolver *resolver;
	struct rxq_list *rxqs;   /* W: main (release)  R: thread (acquire) */
	struct rte_ring *inject; /* struct injected *; main → thread */
	struct rte_ring *commands;

	/* W: thread  R: main, relaxed */
	uint64_t iterations SL_CACHE_ALIGNED;
	uint64_t sleeps, sleep_us, pkts, cycles_busy, cycles_total;
	uint64_t stage_cycles[STAGE_N];
	uint64_t audit_checked, audit_different;
	bool asleep; /* W: thread (seq_cst)  R: main */
	bool called; /* poll_wake() since the thread last looked  W: main, thread (seq_cst) */

	/* thread only */
	struct burst burst;
	struct burst again[2]; /* keys of packets that came round, generations taking turns */
	struct conntrack_hint ct_hint[BURST_MAX];       /* of the burst whose programs run */
	struct conntrack_hint ct_hint_again[BURST_MAX]; /* of one that came round */
	struct megaflow *after_ct[CT_LANE_SLOTS];       /* ct_lane.c; NULL: none */
	struct resolve_result result;
	struct miss_queue *miss[PORT_ID_MAX];
	uint32_t miss_list[PORT_ID_MAX]; /* ports with packets waiting, round robin */
	unsigned n_miss_list;
	struct pace_queue *paced[PACED_MAX]; /* pace.h: ports with packets waiting for their rate */
	unsigned n_paced;
	/* By port: the queue whose turn was its last, of the list with this number: pays for what
	 * its port causes outside a turn. */
	struct rxq *payer[PORT_ID_MAX];
	uint64_t payer_gen;
	unsigned n_served;      /* queues that had packets in this iteration */
	bool contended;         /* several had, or one waits for its share */
	uint64_t surcharge_tsc; /* of the misses since the last charge */
	bool measure;
	uint64_t now_tsc, last_sweep_tsc, last_event_tsc, last_work_tsc;
	uint32_t now_ms;
	uint64_t version;
	unsigned rotate, n_active;
	uint64_t active_gen; /* list that l->active was chosen from */
	uint64_t event_gen;  /* list, and when, that has_event_queues was found out for */
	uint32_t event_ms;
	bool has_event_queues;
	bool events_seen;  /* a descriptor made a queue ready since */
	int64_t audit_in;  /* hits until the next audit */
	uint32_t audit_at; /* slot looked at last */
	unsigned n_suspects;
	struct audit_suspect suspect[AUDIT_SUSPECTS];
	uint64_t epoll_gen; /* list whose descriptors are in epoll_fd */

	/* W: main */
	uint64_t seen_busy, seen_total;
	uint32_t busy_permille;
};

extern struct poll_thread *poll_thread_at[POLL_THREADS_MAX]; /* W: main; NULL: not running */
extern uint32_t poll_sleep_us_shared;
extern uint64_t poll_tsc_hz;

static inline uint64_t tsc_of_us(uint64_t us)
{
	return us * poll_tsc_hz / 1000000;
}

/* poll.c, main: each thread runs it at its next iteration, before it looks at packets. */
void poll_command_all(enum poll_command_kind kind, uint32_t port_id);
int poll_start_thread(unsigned idx, uint16_t core, struct err *e); /* main; idx is free */
/* thread.c */
void *poll_thread_main(void *arg);
/* Work outside a queue's turn that its port has caused. */
void poll_charge(struct poll_thread *t, uint32_t port_id, uint64_t cycles);
/* … which was serving packets of the port's that waited. */
void poll_charge_waiting(struct poll_thread *t, uint32_t port_id, uint64_t cycles);
/* Others have work and this port has had its share: what waits of it has to go on waiting. A queue
 * that stays full ends every turn in debt; after each, what waits is served once, before the debt
 * is paid off and the queue has its next. */
bool poll_is_in_debt(const struct poll_thread *t, uint32_t port_id);
void poll_thread_end(struct poll_thread *t);
void poll_run_commands(struct poll_thread *t);
void poll_every_ms(struct poll_thread *t);
void poll_process(struct poll_thread *t, uint32_t in_port, unsigned n); /* t->burst.pkt */
bool poll_finish_iteration(struct poll_thread *t);
/* miss.c: the packets of a burst that the cache did not know; consumes them. */
void miss_handle(struct poll_thread *t, struct port_cache *pc, struct burst *b,
		 const uint8_t *which, unsigned n);
void miss_serve_queues(struct poll_thread *t);
/* One packet whose whole key is b->key[i]: another look (a packet before this one may have
 * installed the entry), else resolve. Consumes it. */
void miss_settle(struct poll_thread *t, struct port_cache *pc, struct burst *b, unsigned i,
		 struct packet *p);
void miss_drop_all(struct poll_thread *t);
/* Puts it at the end of its port's queue. */
void miss_enqueue(struct poll_thread *t, uint32_t port_id, struct rte_mbuf *m);
uint64_t miss_held(const struct poll_thread *t, uint32_t port_id);
/* audit.c */
void audit_hits(struct poll_thread *t, struct burst *b, uint32_t in_port);
void audit_suspects(struct poll_thread *t);
void audit_sweep(struct poll_thread *t); /* once a millisecond */
/* upcall.c: takes u when true. */
bool upcall_post(struct poll_upcall *u);
/* watch.c */
void watch_thread_free(struct poll_thread *t); /* main; after the thread has ended */
void watch_thread_join(struct poll_thread *t); /* main; before it starts */
void watch_command(struct poll_thread *t);     /* thread: the set of probes has changed */
void watch_hits(struct poll_thread *t, struct burst *b, uint32_t in_port);
void watch_settled(struct poll_thread *t, struct packet *p, const struct flow_key *key,
		   enum cache_level level, const struct mf_info *info);
void watch_resolved(struct poll_thread *t, struct packet *p, const struct flow_key *key,
		    const struct resolve_result *r, const struct program *prog,
		    enum cache_level level);
/* hits.c: runs what the cache found; returns how many packets of the burst it did not know, their
 * numbers in missed. `from`: the packets as exec left them when they come round again, else NULL.
 */
unsigned hits_run(struct poll_thread *t, struct burst *b, uint32_t in_port, struct packet *from,
		  uint8_t *missed);
/* ct_lane.c: packets through the look-up before ct() and the one after
 * it at once. Takes packets [i, end) of a burst fresh from its port, whose megaflow's program is
 * exec_is_ct_recirc(), as far as it can, and returns the first that it leaves. c: begun. */
struct exec_ct;
unsigned ct_lane_run(struct poll_thread *t, struct burst *b, uint32_t in_port, struct exec_ct *c,
		     const struct conntrack_hint *const *hint, unsigned i, unsigned end);
/* A packet that ct() had seen was found to belong to mf. */
void ct_lane_learn(struct poll_thread *t, const struct packet_state *s, struct megaflow *mf);
/* hits.c */
void hits_rewrite(const struct megaflow *mf, struct rte_mbuf *m, const struct flow_offsets *ofs);
/* recirc.c: everything that exec put aside for another look-up. */
void recirc_run(struct poll_thread *t);
/* What the packet carries as its key has it. */
static inline void recirc_put_context(struct flow_key *k, const struct packet_state *s,
				      bool ct_line)
{
	k->in_port = s->in_port;
	k->recirc_id = s->recirc_id;
	k->ct_state = s->ct_state;
	k->ct_zone = cpu_to_be16(s->ct_zone);
	k->ct_mark = cpu_to_be32(s->ct_mark);
	if (!ct_line)
		return;
	memcpy(k->ct_label, s->ct_label, sizeof k->ct_label);
	memcpy(k->ct_ipv6_src, s->ct_tuple, sizeof s->ct_tuple);
}
/* inject.c */
void inject_run(struct poll_thread *t);
void inject_drop_all(struct poll_thread *t);
/* sleep.c */
void sleep_check_events(struct poll_thread *t, const struct rxq_list *l, int timeout_ms);
bool sleep_until_work(struct poll_thread *t, const struct rxq_list *l);
void poll_wake(struct poll_thread *t); /* main */
/* upcall.c */
int upcall_init(void);
bool upcall_packet_in(struct exec *x, const struct packet *p, uint8_t reason,
		      uint16_t controller_id, const struct prog_controller *c,
		      const uint8_t *userdata);
