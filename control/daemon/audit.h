/* SPDX-License-Identifier: BSD-3-Clause */
/* <dbdir>/audit.log: who changed the network policy, when, how and why. One JSON object a line,
 * appended in one write and on disk before the change is made; nothing is ever rewritten.
 * Event-loop thread; audit_write() waits for the disk. */
#pragma once
#include "datapath/base/err.h"

struct audit;
struct unixctl_call;

/* Opens or makes the file; -errno with e. */
int audit_open(struct audit **out, const char *dbdir, struct err *e);
void audit_close(struct audit *a); /* NULL is fine */

struct audit_record {
	const char *action; /* "apply", "grant" … */
	const char *what;   /* file, grant, document */
	const char *reason; /* the person's words; NULL or "" */
	const char *result; /* "requested", "in force", "rejected: …" */
	const char *detail; /* a hash, a JSON text …; NULL */
	const char *who;    /* JSON text of audit_who(), instead of `call`; NULL */
};
/* A process of this machine as the log names it; it must still be there. Caller frees. */
char *audit_who(int pid, unsigned uid);
/* `call`: whose command it is; NULL: r->who, or the switch itself. -errno with e:
 * it is not on disk, and the change must not be made. */
int audit_write(struct audit *a, const struct unixctl_call *call, const struct audit_record *r,
		struct err *e);
