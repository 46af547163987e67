/* SPDX-License-Identifier: BSD-3-Clause */
/* Playing a recording: slot by slot, in its order and its time, through the code that ran then, by
 * one thread; what comes of it is compared with what came of it then. `sluice-datapath --replay
 * FILE`: a process without ports, sockets and other threads, which needs no privileges. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/observe/recording.h"

struct err;
struct options;

/* Does what the options say. 0: the same; 1: different; -errno with e: it cannot be played. */
int replay_main(struct options *o, char **argv, struct err *e);

/* ---- for replay_state.c ---- */
/* The bytes field that comes, as checked attributes; free m. */
struct replay_attrs {
	struct msg m;
};
int replay_attrs(struct rec_in *in, struct replay_attrs *out, struct err *e);
/* Begins the transaction of a CHANGE or CONFIG. *refused as transaction_replay(). */
int replay_transaction(struct rec_in *in, const char *program, struct err *refused, struct err *e);
/* Jobs of devices and waits for poll threads, until there are none. */
void replay_settle(void);
