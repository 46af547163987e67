/* SPDX-License-Identifier: BSD-3-Clause */
/* Being a well-behaved process: run directory, locked pid files, going to the background, signals.
 * Main thread, before and after the loop. */
#pragma once
#include "datapath/base/util.h"

struct err;

/* Makes the run directory (0700) when it is missing. */
int process_make_rundir(const char *dir, struct err *e);
/* Creates, locks and fills a pid file. -EALREADY with a text that names the other process when
 * somebody holds it. Several may be held; all are removed by process_remove_pidfiles(). */
int process_pidfile(const char *path, struct err *e);
void process_remove_pidfiles(void);

/* With --detach: forks; the parent waits and exits when process_ready() is called (0), or when the
 * child dies before that (1). */
int process_detach(struct err *e);
void process_ready(void);
/* The process is about to start itself again: the parent goes on waiting. */
void process_before_exec(void);

/* SIGTERM and SIGINT stop the loop; SIGHUP reopens the log; SIGPIPE is ignored. After loop_init().
 */
int process_signals(struct err *e);
