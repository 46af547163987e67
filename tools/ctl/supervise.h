/* SPDX-License-Identifier: BSD-3-Clause */
/* Keeps the two daemons running: starts both, starts one again within SUPERVISE_RESTART_MS when it
 * dies, stops both on SIGTERM. One process, one thread; it holds no state of the switch. */
#pragma once
#include "datapath/base/util.h"

enum { SUPERVISE_RESTART_MS = 20, SUPERVISE_CRASH_LOOP_MS = 1000 };

struct supervise_child {
	const char *name; /* for messages */
	/* Its words, NULL-terminated, made anew for every start; argv[0] is the program. Each word
	 * and the array are freed. */
	char **(*words)(const void *aux);
	const void *aux;
	const char *log_path; /* its output is appended here */
	pid_t pid;            /* 0: not running */
	uint64_t started_ms, start_at_ms;
	unsigned quick_deaths; /* in a row: each doubles the pause, up to SUPERVISE_CRASH_LOOP_MS */
};

/* Runs until SIGTERM or SIGINT, then stops the children (last first) and returns 0. */
int supervise_run(struct supervise_child *children, size_t n);

/* A program of ours, where this one is. Freed by the caller (cmd_up.c). */
char *program_beside(const char *name);

struct command_call;
/* Of the run directory's living supervisor; 0: none (cmd_up.c). */
pid_t supervisor_pid(const struct command_call *c);
