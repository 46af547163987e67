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
/* Documents that nobody compiles: see policy_confirm.h. */
#define POLICY_DOC_PREVIOUS "previous"
#define POLICY_DOC_CONFIRM  "confirm"

struct policy_run *policy_run_create(struct sluiced *d);
void policy_run_destroy(struct policy_run *r); /* NULL is fine */
/* After the database is open: follows it. -errno with e: the audit log cannot be written. */
int policy_run_start(struct policy_run *r, struct err *e);
/* Has the policy gone out, as far as there is a datapath? Before that no bridge may open. */
bool policy_run_is_ready(const struct policy_run *r);
void policy_run_client(struct policy_run *r, struct api_client *client); /* NULL: gone */
void policy_run_event(struct policy_run *r, struct attrs event);
uint64_t policy_run_events(void); /* mask of the events that policy_run_event() wants */

struct policy_change {
	enum policy_doc doc;
	const char *text; /* NULL: the document is removed */
	/* Of the main document: what it may be rolled back to, NULL: nothing; and within which time
	 * it must be confirmed, 0: it need not. */
	const char *previous;
	uint64_t confirm_ms;
	struct unixctl_call *call; /* is answered with `done`; NULL: the switch's own change */
	const char *action, *what, *done;
};
/* Writes a document, in one transaction with what belongs to it, and answers the call when it is in
 * force, or was rejected. The request is in the audit log already, its outcome follows. */
void policy_run_write(struct policy_run *r, const struct policy_change *c);
/* The text of a document as it is in the database, "" when there is none. Borrowed until the loop
 * runs again. */
const char *policy_run_text(const struct policy_run *r, const char *name);
bool policy_run_has(const struct policy_run *r, const char *name); /* is there such a document? */
/* Would these two be accepted? -errno with e. `file` is what errors of the main one begin with.
 * When they are written next, they are not read again. */
int policy_run_try(struct policy_run *r, const char *file, const char *main, const char *grants,
		   struct err *e);
/* The same with the grants of the database. When it is those that are wrong, and were wrong without
 * the new policy too, then with the ones that are in force: *note, for the caller to print and
 * free, then says so (NULL: nothing to say). */
int policy_run_try_main(struct policy_run *r, const char *file, const char *main, char **note,
			struct err *e);
struct audit *policy_run_audit(struct policy_run *r);
/* A record of something that the switch does by itself. */
void policy_run_note(struct policy_run *r, const char *action, const char *what,
		     const char *result);
/* The datapath has confirmed it: the database follows. */
void policy_run_confirmed(struct policy_run *r);
/* Sends a request to the datapath; takes m. False: the datapath is away. */
bool policy_run_send(struct policy_run *r, struct msg *m,
		     void (*done)(struct attrs a, bool more, const struct err *error, void *aux),
		     void *aux);
const uint8_t *policy_run_hash(const struct policy_run *r); /* of what the datapath has */
/* JSON for `policy/status`. Caller frees. */
char *policy_run_status(const struct policy_run *r);
