/* SPDX-License-Identifier: BSD-3-Clause */
/* The commonest use of the tracker by the packet: a program that is ct(table=N) and nothing else.
 * What belongs to the op is prepared once, and packets are tracked where they will wait for their
 * next look-up, without being copied there. Poll thread. */
#pragma once
#include "datapath/conntrack/conntrack.h"
#include "datapath/exec/exec.h"

struct exec_ct {
	struct conntrack_request q;
	struct ct_nat nat;
	uint32_t recirc_id;
};

/* The op's nat() as the tracker takes it. */
void exec_ct_nat(const struct prog_ct *c, struct ct_nat *nat);
bool exec_is_ct_recirc(const struct program *prog);
void exec_ct_begin(struct exec *x, const struct program *prog, struct exec_ct *c);
/* Where to put the next packet; NULL: no room, exec_run() says what becomes of it. */
struct packet *exec_ct_next(struct exec *x);
/* p: what exec_ct_next() gave, filled in. */
void exec_ct_one(struct exec *x, struct exec_ct *c, struct packet *p);

/* The same for a fresh packet that stays with the caller: true: it is tracked and goes on in
 * c->recirc_id; false: it was taken (dropped, or a fragment, whose datagram may go round). */
bool exec_ct_ask(struct exec *x, struct exec_ct *c, struct packet *p);

/* ct(commit) without a translation, then one output: the port; 0: the program is another. */
uint32_t exec_ct_commit_port(const struct program *prog);
/* The ct() of such a program, begun in c, for a packet that conntrack_is_new() (its checksum has
 * been looked at). DROP_NONE: it is to be sent. */
enum drop_reason exec_ct_commit(struct exec_ct *c, struct rte_mbuf *m,
				const struct flow_offsets *ofs, uint32_t in_port,
				const struct conntrack_hint *hint, struct conntrack_meta *meta);

/* Is the op one that conntrack_steady() may answer? */
bool exec_ct_is_plain(const struct program *prog);
/* Instead of exec_ct_one() for a packet that conntrack_steady() has answered. */
void exec_ct_tracked(struct exec *x, const struct exec_ct *c, struct packet *p,
		     const struct ct_conn *conn, uint8_t state);
/* What the packet carries then, as line FLOW_LINE_CT of its key has it. */
void exec_ct_put_line(struct flow_key *k, const struct ct_conn *conn);
/* ---- between the files of this folder: ct.c, ct_fragments.c, ct_payload.c ---- */
/* What the tracker said of a packet, for its state; what it translates, for its bytes (false: not
 * there). */
void exec_ct_put_meta(struct packet_state *s, const struct conntrack_meta *m);
bool exec_ct_translate(struct packet *p, const struct ct_rewrite *rw);
/* ct_payload.c: may a helper change the payload's length; what it and ct_shift.h say. False: not
 * there. */
bool exec_ct_may_edit(const struct rte_mbuf *m);
bool exec_ct_payload(struct packet *p, const struct ct_rewrite *rw);
/* p is a fragment, q what ct() asks about it. True: it goes on, +inv. False: it is taken; *chain
 * (fragments.h) is its whole datagram, tracked and translated, to go on in its place, or empty. */
bool exec_ct_fragment(struct exec *x, struct packet *p, struct conntrack_request *q,
		      uint16_t *chain);
