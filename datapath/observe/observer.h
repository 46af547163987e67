/* SPDX-License-Identifier: BSD-3-Clause */
/* Watching packets: captures and live traces.
 *
 * The main thread publishes a set of probes (who wants to see what); a poll thread that has one
 * marks each packet it receives and writes events about those that somebody wants into a ring of
 * its own; journal.h puts the events of a packet together again. Without a probe a poll thread pays
 * one branch per burst, per flush of a port and per drop, on a pointer beside what it reads anyway.
 *
 * A packet is known by its token: a number of its thread, kept in the packet buffer, inherited by
 * copies. A packet's story is complete at the end of the iteration in which it was last touched,
 * unless it waits in a queue. */
#pragma once
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "datapath/core/drop.h"
#include "datapath/core/limits.h"
#include "datapath/core/origin.h"
#include "datapath/core/thread.h"
#include "datapath/flow/key.h"
#include "datapath/observe/bpf_filter.h"
#include "datapath/observe/event_ring.h"

struct program;

enum { OBSERVE_IN = 1, OBSERVE_OUT = 2, OBSERVE_DROP = 4, OBSERVE_TRACE = 8 };
enum { PROBES_MAX = 8, SNAPLEN_MAX = 65535, OBSERVER_PASSING = 256 };

struct probe { /* constant once published */
	uint32_t id;
	uint8_t wants; /* OBSERVE_* */
	bool all_ports;
	uint8_t port[PORT_ID_MAX / 8]; /* bit per port, unless all_ports */
	struct bpf_filter *filter;
	uint32_t snaplen, sample; /* 1 of `sample` */
	uint64_t limit;           /* packets that one thread takes at most; 0: no limit */
};

struct probe_set {                       /* immutable; old ones freed after a grace period */
	struct probe *probe[PROBES_MAX]; /* NULL: free slot */
	uint8_t port_wants[PORT_ID_MAX]; /* OBSERVE_* of any probe, by port */
	uint8_t any_wants;
};

enum cache_level {
	LEVEL_NONE,
	LEVEL_FAST,
	LEVEL_MASK,
	LEVEL_MISS,
	LEVEL_UNCACHED,
	LEVEL_INJECTED,
	LEVEL_N
};
extern const char *const cache_level_names[LEVEL_N];

/* Lives in the packet buffer (a dynamic field), valid when the buffer has packet_mark_flag. Only
 * packets that somebody follows have it, and those that wait in a queue while somebody watches what
 * leaves. */
struct packet_mark {
	uint64_t rx_tsc;
	const struct packet_origin *origin; /* NULL: none; valid until the iteration ends */
	uint32_t token;                     /* 0: nobody follows this packet */
	uint8_t level, pad[3];
};

/* Of a packet on its way to a port whose leaving packets somebody watches: what a mark would say,
 * without a write to the packet's buffer. */
struct packet_cause {
	uint64_t rx_tsc;
	const struct packet_origin *origin;
	uint8_t level;
};

struct event_mark { /* the same by value */
	uint64_t rx_tsc;
	struct packet_origin origin;
	uint32_t token;
	uint8_t level, pad[3];
};

enum observe_event {
	EVENT_PAD,
	EVENT_RX,       /* struct event_rx, packet bytes */
	EVENT_LOOKUP,   /* struct event_lookup, then what its lengths say */
	EVENT_OUT,      /* struct event_out, packet bytes */
	EVENT_DROP,     /* struct event_drop, packet bytes */
	EVENT_HELD,     /* struct event_note: waits in a queue */
	EVENT_ABSORBED, /* struct event_note: a controller has it */
	EVENT_CT,       /* struct event_note: detail = state | zone << 16, wide = mark */
	EVENT_POLICY,   /* struct event_note: detail = reason | ground << 16 | egress << 24,
			   wide = slot; port_id: whose edge */
	EVENT_MARK,     /* struct event_note: end of an iteration */
};

struct event_common {
	struct event_head head;
	uint32_t token, port_id; /* port in question */
	uint64_t tsc;
};
struct event_rx {
	struct event_common c;
	uint32_t probes; /* bit per slot that wants it */
	uint32_t pkt_len, cap_len, pad;
	uint8_t bytes[];
};
struct event_lookup {
	struct event_common c;
	struct packet_origin origin;
	uint64_t version;
	uint32_t recirc_id, ct_mark;
	uint16_t ct_zone;
	uint8_t ct_state, level;
	uint16_t key_bytes, prog_words; /* traced packets: struct flow_key, struct program */
	uint8_t data[];
};
struct event_out {
	struct event_common c;
	struct event_mark mark; /* of the packet */
	uint32_t probes, from_port;
	uint32_t pkt_len, cap_len;
	uint8_t bytes[];
};
struct event_drop {
	struct event_common c;
	struct event_mark mark;
	uint32_t probes, from_port;
	uint32_t pkt_len, cap_len;
	uint16_t reason; /* enum drop_reason */
	uint8_t at_port; /* the output port did not take it */
	uint8_t pad;
	uint32_t policy_slot; /* of the policy rule that refused it, plus 1; 0: none did */
	uint8_t bytes[];
};
struct event_note {
	struct event_common c;
	uint64_t detail, wide;
};

struct observer { /* one per poll thread, exists while a probe does and until the thread ends */
	struct event_ring *ring;
	const struct probe_set *set;
	uint32_t last_token;
	bool dirty;    /* events since the last mark */
	bool live;     /* some packets of this iteration are marked … */
	bool followed; /* … and some of those have tokens */
	/* of the packets in work, for those that nobody follows */
	struct packet_cause cause;
	/* The burst that is being sent to a port, for what the port does not take. */
	struct rte_mbuf **sending;
	const struct packet_cause *sending_cause;
	unsigned n_sending;
	/* Origins of packets without a cache entry: they must live until the iteration ends. */
	struct packet_origin passing[OBSERVER_PASSING];
	unsigned n_passing;
	uint32_t policy_slot; /* as in struct event_drop: of the drop to come */
	/* per slot; start again when another probe takes it */
	uint32_t probe_id[PROBES_MAX], countdown[PROBES_MAX];
	uint64_t taken[PROBES_MAX];
	uint64_t seen[PROBES_MAX]; /* matched  W: thread  R: main, relaxed */
	uint64_t lost[PROBES_MAX]; /* matched and refused by the ring, likewise */
	uint64_t lost_events;      /* about packets that had been taken, likewise */
};

extern int packet_mark_offset; /* in a mbuf; set by observer_init() */
extern uint64_t packet_mark_flag;
static inline struct packet_mark *packet_mark_of(struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, packet_mark_offset, struct packet_mark *);
}
static inline bool packet_is_marked(const struct rte_mbuf *m)
{
	return m->ol_flags & packet_mark_flag;
}

/* ---- main ---- */
int observer_init(void); /* 0 or -errno; before packets exist */
struct observer *observer_create(void);
void observer_destroy(struct observer *o); /* NULL is nothing */

/* ---- poll thread that has an observer ---- */
void observer_use(struct observer *o, const struct probe_set *set); /* NULL: none any more */
void observer_clear_mark(struct rte_mbuf *m);
/* Marks what has to be of a burst fresh from its port, and tells who wants what of it. */
void observer_rx(struct observer *o, struct rte_mbuf **pkts, unsigned n, uint32_t port_id,
		 uint64_t tsc);
struct observed_lookup {
	enum cache_level level;
	const struct packet_origin *origin; /* as in a mark */
	const struct flow_key *key;
	const struct program *prog;
	uint64_t version;
	uint32_t recirc_id;
	uint8_t ct_state;
	uint16_t ct_zone;
	uint32_t ct_mark;
};
/* What the next packets in work are decided by. */
static inline void observer_running(struct observer *o, const struct packet_origin *origin,
				    enum cache_level level)
{
	o->cause.origin = origin;
	o->cause.level = (uint8_t)level;
}
/* A copy of it that lasts as long as a mark needs it. */
const struct packet_origin *observer_keep(struct observer *o, const struct packet_origin *origin);
/* Does somebody follow what arrives at this port? Its packets are seen one by one. */
static inline bool observer_follows(const struct observer *o, uint32_t port_id)
{
	return o->set->port_wants[port_id] & (OBSERVE_IN | OBSERVE_TRACE);
}
/* Does somebody watch what leaves by this port, or is lost there? Its packets come with causes. */
static inline bool observer_wants_out(const struct observer *o, uint32_t port_id)
{
	return o->set->port_wants[port_id] & (OBSERVE_OUT | OBSERVE_DROP);
}
void observer_lookup(struct observer *o, struct rte_mbuf *m, uint32_t port_id,
		     const struct observed_lookup *l);
/* Staged packets on their way to a port, as they are before the device's needs are met. */
void observer_out(struct observer *o, struct rte_mbuf **pkts, const struct packet_cause *cause,
		  unsigned n, uint32_t port_id);
/* at_port: port_id is the output, not the ingress port. */
void observer_drop(struct observer *o, struct rte_mbuf *m, uint32_t port_id, enum drop_reason why,
		   bool at_port);
void observer_note(struct observer *o, struct rte_mbuf *m, uint32_t port_id,
		   enum observe_event kind, uint64_t detail, uint64_t wide);
void observer_end_iteration(struct observer *o);
static inline void observer_copy_mark(struct rte_mbuf *to, struct rte_mbuf *from)
{
	if (packet_is_marked(from)) /* its flag was copied with the others */
		*packet_mark_of(to) = *packet_mark_of(from);
}
