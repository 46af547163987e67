/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of sluice-datapath. */
#pragma once
#include "datapath/core/limits.h"
#include "datapath/base/util.h"

struct err;

struct options { /* strings point into argv, the environment or constants */
	const char *rundir;
	uint16_t cores[POLL_THREADS_MAX]; /* of poll threads; n_cores 0: choose */
	unsigned n_cores;
	int main_core; /* -1: anywhere */
	unsigned memory_mb;
	bool no_huge, detach;
	const char *eal;     /* more EAL arguments, or NULL */
	const char *pidfile; /* NULL: none; "": the default name in rundir */
	const char *logfile; /* likewise */
	/* Not a datapath but a recording played again (server/replay.h); NULL: no. */
	const char *replay;
	const char *write; /* what it sends goes there; NULL: nowhere */
	uint64_t until;    /* so many slots; 0: all */
	unsigned repeat;   /* runs */
	bool json;
};

enum { OPTIONS_EXIT = 1 };
/* 0; OPTIONS_EXIT when --help or --version has been answered; -errno with *e set. */
int options_parse(int argc, char **argv, struct options *o, struct err *e);
/* "1,4-6" to numbers below 1024; -EINVAL, -E2BIG with *e set. */
int options_parse_cores(const char *text, uint16_t *cores, unsigned max, unsigned *n,
			struct err *e);
