/* SPDX-License-Identifier: BSD-3-Clause */
/* The network policy as part of the desired state. The documents "policy" and "grants" of the
 * Sluice database are compiled together; when the digest differs from that of the datapath, the
 * policy is sent. What cannot be read or is refused is marked "rejected: why" in the database, and
 * the last good documents stay in force. "previous" and "confirm" are kept for going back.
 * Event-loop thread. */
#pragma once
#include "datapath/api/client.h"
#include "datapath/base/err.h"

struct audit;
struct policy_run;
struct sluiced;
struct unixctl_call;

enum policy_doc { POLICY_DOC_MAIN, POLICY_DOC_GRANTS, POLICY_DOCS };
extern const char *const policy_doc_names[POLICY_DOCS];

struct policy_run *policy_run_create(struct sluiced *d);
void policy_run_destroy(struct policy_run *r); /* NULL is fine */
/* After the database is open: follows it. -errno with e: the audit log cannot be written. */
int policy_run_start(struct policy_run *r, struct err *e);
/* Has the policy gone out, as far as there is a datapath? Before that no bridge may open. */
bool policy_run_is_ready(const struct policy_run *r);
void policy_run_client(struct policy_run *r, struct api_client *client); /* NULL: gone */
void policy_run_event(struct policy_run *r, struct attrs event);
uint64_t policy_run_events(void); /* mask of the events that policy_run_event() wants */

/* Writes a document and answers the call when it is in force, or was rejected. `text` NULL removes
 * it. `done` is the answer; `record` is already in the audit log, its outcome follows. */
void policy_run_write(struct policy_run *r, enum policy_doc doc, const char *text,
		      struct unixctl_call *call, const char *action, const char *what,
		      const char *done);
/* The text of a document as it is in the database, "" when there is none. Borrowed until the loop
 * runs again. */
const char *policy_run_text(const struct policy_run *r, const char *name);
/* Would these two be accepted? -errno with e. `file` is what errors of the main one begin with. */
int policy_run_try(const char *file, const char *main, const char *grants, struct err *e);
struct audit *policy_run_audit(struct policy_run *r);

/* Confirmation. */
void policy_run_await_confirm(struct policy_run *r, const char *previous, uint64_t confirm_ms);
bool policy_run_awaits_confirm(const struct policy_run *r);
/* False: nothing waits for it. */
bool policy_run_confirm(struct policy_run *r, struct unixctl_call *call);
/* What is kept to go back to; NULL: nothing. Borrowed. */
const char *policy_run_previous(const struct policy_run *r);
void policy_run_forget_confirm(struct policy_run *r);
/* JSON for `policy/status`. Caller frees. */
char *policy_run_status(const struct policy_run *r);
