/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of one resolution, and what the files of this folder offer each other.
 *
 * Four flows describe the packet:
 *   cur   as the pipeline sees it now
 *   cst   bits of cur that are the same for every packet of the entry whatever its bits outside the
 *         mask: constants that an action wrote, registers, copies of fields that were read
 *   base  as the packet will be when the program has run up to here; base_cst likewise
 *   wc    the mask: bits of the original packet that the outcome depends on
 * Reading a bit of cur that is not in cst puts it into wc. Header writes are lazy: commit() emits
 * the ops that turn base into cur before an output needs them.
 *
 * Invariants: original bits that are neither in cst nor written by dec_ttl are the same in cur and
 * in the key of the request; base_cst bits were written by ops that are in the program. */
#pragma once
#include <string.h>

#include "datapath/flow/action.h"
#include "datapath/resolve/resolve.h"
#include "datapath/resolve/trace_sink.h"
#include "datapath/table/bridge.h"

struct group;
struct rule;

enum {
	RESUBMITS_MAX = 4096, /* resubmits, gotos and patch hops of one packet */
	NEST_MAX = 64,        /* nested backward resubmits */
	SCOPES_MAX = 48,      /* nested clones, buckets and patch hops: 4 kB of stack each */
	LISTS_MAX = 1000,     /* nested lists of any kind: bounds the C stack */
	PATCH_MAX = 16,       /* patch ports in a row */
	OUTPUTS_MAX = 2048,
	STACK_MAX_BYTES = 4096,
	ACTION_SET_MAX = 65536,
};

/* Tags that the pipeline pushed and popped relative to the packet. The visible two are in
 * vlan[0..1] of the flow; what a push moved out of sight waits in `hidden`. */
enum { VLAN_HIDDEN_MAX = 2 };
struct vlan_state {
	uint8_t n_pushed; /* of the tags now there, outermost ones that ops must push */
	uint8_t popped;   /* original tags removed */
	uint8_t n_hidden;
	uint8_t ttl_decs; /* dec_ttl since the TTL was last constant */
	struct flow_vlan hidden[VLAN_HIDDEN_MAX], hidden_cst[VLAN_HIDDEN_MAX];
};

struct packet_state { /* of cur */
	struct flow flow, cst;
	struct vlan_state v;
};
struct base_state {
	struct flow_key key, cst;
	struct vlan_state v;
};

/* Does what comes above a list belong to a continuation taken inside it? */
enum boundary {
	BOUNDARY_NONE,   /* it does */
	BOUNDARY_CLONE,  /* no, but for the action set, which a clone runs at its end */
	BOUNDARY_BUCKET, /* no */
};

/* One action list being run; on the C stack. */
struct frame {
	struct frame *up;
	const uint8_t *pos, *end; /* what is left after the current action */
	uint8_t table;
	uint8_t boundary; /* enum boundary */
	bool ended;       /* the list is left early */
};

struct resolver {
	unsigned thread_idx;
	const struct resolve_request *req;
	struct resolve_result *out;
	struct resolve_tracer *tracer;

	/* where we are */
	struct bridge *bridge;
	const struct bridge_config *config;
	const struct bridge_port *in; /* the packet is on this port of the bridge; NULL: none */
	uint8_t table;
	const struct rule *rule;
	struct frame *frame;
	int goto_table; /* -1: none */
	bool exit;      /* stop up to the nearest boundary */
	bool exit_all;  /* an exit action: out of clones too, only a bucket contains it */

	struct packet_state cur;
	struct flow wc, written;
	struct base_state base;
	bool dirty;        /* cur may differ from base */
	uint32_t base_seq; /* changes whenever base does, or an op that ends the program is put */

	/* budgets */
	unsigned n_resubmits, depth, n_scopes, n_lists, n_patch, n_outputs;
	unsigned n_effects;      /* ops that bring the packet anywhere */
	unsigned n_cts;          /* ct() so far */
	enum drop_reason failed; /* a limit was hit: the whole packet is dropped */
	enum drop_reason why;    /* first reason why something was not output */
	uint64_t why_cookie;
	uint32_t trunc_bytes; /* of the next output; 0: none */

	/* OpenFlow state */
	struct action_buf action_set;
	uint8_t *stack; /* values of 8 or more bytes, each followed by its size */
	uint32_t stack_len;
	bool set_is_frozen;              /* the state frozen last includes the action set */
	struct frozen_state *freeze_buf; /* FROZEN_BYTES_MAX, made on first use */
	bool in_bucket, in_action_set;
	const struct rule *first_rule; /* the action set runs in its name */
	uint8_t first_table;
	bool rule_is_miss;   /* the rule is the table-miss entry: packet-ins say "no match" */
	uint32_t base_queue; /* what the program has set */

	/* network policy */
	bool policed_in;         /* the program begins with POLICY_IN */
	bool flooded;            /* a unicast to an unknown address */
	unsigned n_host_outputs; /* of n_effects */

	uint32_t copy_end_at; /* index of the COPY_END put last; UINT32_MAX: none */
	struct prog_builder prog;
};

/* ---- reading and writing fields ---- */
static inline void read_bytes(struct resolver *r, size_t ofs, size_t n)
{
	uint8_t *wc = (uint8_t *)&r->wc + ofs;
	const uint8_t *cst = (const uint8_t *)&r->cur.cst + ofs;

	for (size_t i = 0; i < n; i++)
		wc[i] |= (uint8_t)~cst[i];
}
/* The member of struct flow is read: every bit of it is recorded. */
#define READ(r, member)                                                                            \
	(read_bytes((r), offsetof(struct flow, member), sizeof((r)->cur.flow.member)),             \
	 (r)->cur.flow.member)
#define READ_ARRAY(r, member)                                                                      \
	(read_bytes((r), offsetof(struct flow, member), sizeof((r)->cur.flow.member)),             \
	 (const uint8_t *)(r)->cur.flow.member)
static inline void written_bytes(struct resolver *r, size_t ofs, size_t n)
{
	memset((uint8_t *)&r->written + ofs, 0xff, n);
	memset((uint8_t *)&r->cur.cst + ofs, 0xff, n);
	r->dirty = true;
}
/* The member now holds a constant. */
#define WROTE(r, member)                                                                           \
	written_bytes((r), offsetof(struct flow, member), sizeof((r)->cur.flow.member))

/* Some bits of a 16-bit big-endian member. */
be16_t resolve_read_be16(struct resolver *r, size_t ofs, be16_t bits);

static inline void trace_mask(struct resolver *r, bool by_next)
{
	if (r->tracer->mask)
		r->tracer->mask(r->tracer->aux, &r->wc, by_next);
}

/* ---- reasons ---- */
static inline void note_drop(struct resolver *r, enum drop_reason why)
{
	if (r->why == DROP_NONE)
		r->why = why;
	if (SL_UNLIKELY(r->tracer != NULL) && r->tracer->drop) {
		trace_mask(r, false);
		r->tracer->drop(r->tracer->aux, r->depth, why);
	}
}
static inline void fail(struct resolver *r, enum drop_reason why)
{
	if (r->failed == DROP_NONE)
		r->failed = why;
	note_drop(r, why);
}
static inline bool stopped(const struct resolver *r)
{
	return r->exit || r->failed != DROP_NONE;
}
#define TRACE(r, callback, ...)                                                                    \
	do {                                                                                       \
		if (SL_UNLIKELY((r)->tracer != NULL) && (r)->tracer->callback) {                   \
			trace_mask(r,                                                              \
				   (void *)(r)->tracer->callback == (void *)(r)->tracer->table);   \
			(r)->tracer->callback((r)->tracer->aux, (r)->depth, __VA_ARGS__);          \
		}                                                                                  \
	} while (0)

static inline union prog_word *put_op(struct resolver *r, enum prog_op_code code, uint16_t a,
				      uint32_t b, uint8_t n_data)
{
	return prog_put(&r->out->prog, code, a, b, n_data);
}

void resolve_credit(struct resolver *r, struct credit_target *t);
/* The outcome depends on this object. */
static inline void depend(struct resolver *r, enum change_kind kind, uint32_t bridge_id, uint64_t b)
{
	r->out->deps |= version_dep(kind, bridge_id, b);
}
static inline void limit_age(struct resolver *r, uint32_t ms)
{
	if (!r->out->max_age_ms || r->out->max_age_ms > ms)
		r->out->max_age_ms = ms;
}

/* ---- commit.c ---- */
/* Emits the ops that make the packet look like cur. */
void resolve_commit(struct resolver *r);
/* Pushes or pops in cur. false: no tag to pop. */
void resolve_push_vlan(struct resolver *r, be16_t tpid, be16_t tci);
bool resolve_pop_vlan(struct resolver *r);
bool resolve_has_vlan(struct resolver *r); /* reads the present bit */

/* ---- scope.c ---- */
/* What a clone, bucket or patch hop must not leak. */
struct scope {
	struct packet_state cur;
	struct base_state base;
	bool dirty;
	uint32_t base_seq, prog_at;
};
bool resolve_scope_begin(struct resolver *r, struct scope *s); /* false: too deep, failed */
void resolve_scope_end(struct resolver *r, const struct scope *s);
/* A copy whose end is the last thing so far is not needed when nothing follows: unwraps it. */
void resolve_trim_copy(struct resolver *r);

/* ---- output.c ---- */
void resolve_output_port(struct resolver *r, const struct bridge_port *p);
/* To an OpenFlow port number, reserved ones included. */
void resolve_output(struct resolver *r, uint32_t ofport, uint16_t max_len);
void resolve_flood(struct resolver *r, bool all);
/* The walk goes on in this bridge as if the packet had come in by `in` (NULL: a controller). */
void resolve_enter_bridge(struct resolver *r, struct bridge *b, const struct bridge_port *in);
bool resolve_may_enter(struct resolver *r, const struct bridge_port *in);

/* ---- policy.c ---- */
/* Is this port an edge of the network policy? */
bool resolve_is_policed(struct resolver *r, const struct bridge_port *p);
/* What comes in by a port: puts the op of its edge, or finds that the frame is spoofed (false). */
bool resolve_policy_in(struct resolver *r, const struct bridge_port *in);
/* May the source address be learnt at the port? */
bool resolve_policy_may_learn(struct resolver *r, const struct bridge_port *in,
			      const uint8_t src[6]);
/* At the end: tells the edge what became of the packet. */
void resolve_policy_hints(struct resolver *r);

/* ---- normal.c ---- */
void resolve_normal(struct resolver *r);

/* ---- controller.c ---- */
struct controller_args {
	uint16_t max_len, controller_id;
	uint8_t reason; /* OFPR_* of OpenFlow 1.3: 0 no match, 1 action; OFPR_IMPLICIT_MISS */
	uint32_t meter_id;
	const uint8_t *userdata;
	uint16_t userdata_len;
	bool pause;
};
void resolve_controller(struct resolver *r, const struct controller_args *args);

/* ---- walk.c ---- */
/* Table 0 and the action set, of the current bridge. */
void resolve_pipeline(struct resolver *r);
/* The request's action list instead of a table. */
void resolve_take_regs(struct resolver *r, uint32_t of_in_port);
void resolve_packet_out(struct resolver *r);
/* A packet that comes back with a frozen context. */
void resolve_resume(struct resolver *r);
/* Looks up `table` of the current bridge and runs what it finds, and where that leads. */
void resolve_table(struct resolver *r, uint8_t table, bool in_resubmit);
/* … as a resubmit does: the look-up in `table` is that of a packet from in_port. */
void resolve_resubmit(struct resolver *r, uint8_t table, be32_t in_port);
