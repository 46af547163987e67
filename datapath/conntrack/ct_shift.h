/* SPDX-License-Identifier: BSD-3-Clause */
/* Sequence numbers of a TCP connection whose helper has changed the length of what an end said. The
 * tracker knows each end by the numbers of its own; what is translated is what the other end sees.
 * Two stretches are remembered for each end, before and behind its last change: FTP's client says
 * its next line when the last one has been answered. Poll threads. */
#pragma once
#include "datapath/conntrack/conn.h"
#include "datapath/conntrack/ct_nat.h"
#include "datapath/conntrack/ct_packet.h"

/* What is to be added to a number of who speaks, and taken from one that the other end saw. */
static inline uint32_t ct_shift_out(const struct conn_shift *s, uint32_t seq)
{
	return (int32_t)(seq - s->pos) > 0 ? s->after : s->before;
}
static inline uint32_t ct_shift_back(const struct conn_shift *s, uint32_t seen)
{
	return (int32_t)(seen - s->before - s->pos) > 0 ? s->after : s->before;
}

/* A packet of direction `dir`: its numbers in *p become those that its ends count by; rw: what is
 * to be written. `translated`: it has been, in this zone. */
void ct_shift_packet(struct ct_conn *c, struct ct_packet *p, unsigned dir, bool translated,
		     struct ct_rewrite *rw);
/* The segment that begins at seq grows by n bytes. False: it was here before and grew by another
 * number, or something behind it has been changed since. */
bool ct_shift_add(struct ct_conn *c, unsigned dir, uint32_t seq, int n);
