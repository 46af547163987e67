/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice doctor: checks (doctor_checks.def) look at the host, the configuration and two readings of
 * the running system, and report findings with the command that helps. They change nothing. */
#pragma once
#include "tools/ctl/facts.h"

enum doctor_group { DOCTOR_HOST = 1, DOCTOR_CONFIG = 2, DOCTOR_RUNNING = 4 };
enum doctor_severity { DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor_finding {
	enum doctor_severity severity;
	const char *check;
	char *object, *text, *remedy;
};
struct doctor {
	const struct command_call *c;
	const char *root; /* before /proc and /sys: "" but in tests */
	struct facts before, now;
	const char *check; /* the one that runs */
	VEC(struct doctor_finding) findings;
};

/* Reads twice, `interval_us` apart, and runs the checks of `groups`; errors come first. */
void doctor_run(struct doctor *d, const struct command_call *c, unsigned groups,
		uint64_t interval_us);
void doctor_free(struct doctor *d);
const char *doctor_severity_name(enum doctor_severity s);

/* For checks. `remedy` is copied, the text formatted; object "" : the host. */
void doctor_find(struct doctor *d, enum doctor_severity severity, const char *object,
		 const char *remedy, const char *fmt, ...) SL_PRINTF(5, 6);
/* First line of a file below root; false when it is not there. `path` is a format. */
bool doctor_line(const struct doctor *d, char *buf, size_t n, const char *path, ...)
	SL_PRINTF(4, 5);
/* "Key:   123 kB" of a file like /proc/meminfo; `fallback` when absent. */
uint64_t doctor_number(const struct doctor *d, const char *path, const char *key,
		       uint64_t fallback);

#define CHECK(id, group, about) void check_##id(struct doctor *d);
#include "tools/ctl/doctor_checks.def"
#undef CHECK
