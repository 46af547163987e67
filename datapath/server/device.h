/* SPDX-License-Identifier: BSD-3-Clause */
/* The device thread: what may block for milliseconds or longer (probing, opening, starting and
 * closing devices, asking them for their status) runs here, one job after the other, so that the
 * main thread never waits for hardware, the kernel or a guest. */
#pragma once
#include "datapath/base/list.h"
#include "datapath/server/loop.h"

struct err;

struct device_job { /* embedded in its owner; untouched by the main thread between submit and done
		     */
	struct loop_post post;
	struct list link;
	void (*run)(struct device_job *j);  /* device thread */
	void (*done)(struct device_job *j); /* main thread, afterwards; may free the job */
};

int device_start(struct err *e);
void device_submit(struct device_job *j); /* main thread */
size_t device_pending(void);              /* main thread: submitted and not yet done */
/* Replay, where there is no such thread: runs the oldest job whole. False: there is none. */
bool device_replay_one(void);
/* Main thread, at exit: runs what is queued, ends the thread. `done` of the last jobs runs here. */
void device_stop(void);
