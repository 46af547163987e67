/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy documents of the Sluice database: reading, writing, being told of changes, and writing
 * back what became of them. It does not know what a document says. Event-loop thread; nothing here
 * waits, and no callback comes from inside a call.
 *
 * A document is written under the next generation. Whoever judges it calls
 * policy_store_set_status(); "applied" also keeps the text as the last good one, which stays when a
 * later document is rejected.
 *
 *	static void changed(void *aux)
 *	{
 *		struct policy_document doc;
 *		if (policy_store_find(store, "default", &doc) && !doc.status[0])
 *			judge(doc.text, doc.generation);
 *	}
 */
#pragma once
#include "datapath/base/err.h"

#include <stdint.h>

struct event_base;
struct ovsdb_client;
struct ovsdb_server;
struct policy_store;

/* Borrowed texts: valid until the loop runs again. */
struct policy_document {
	const char *name, *text;
	int64_t generation;       /* from 1, rises with each document of any name */
	const char *status;       /* "": not judged yet; "applied"; "rejected: why" */
	const char *applied_text; /* the last good one; NULL: there was none */
	int64_t applied_generation;
};

/* A document was added, changed or removed, or the store has become ready (again). Not for changes
 * of status. */
typedef void (*policy_store_changed_fn)(void *aux);
/* error NULL: it is on disk, as `generation` (0 for a removal). */
typedef void (*policy_store_done_fn)(int64_t generation, const char *error, void *aux);

/* Follows the Sluice database of an embedded server. */
int policy_store_create(struct policy_store **out, struct event_base *base,
			struct ovsdb_server *server, struct err *e);
void policy_store_destroy(struct policy_store *s); /* done() of open writes is not called */
/* At most one listener; NULL fn: none. Called at once from the loop if the store is ready. */
void policy_store_listen(struct policy_store *s, policy_store_changed_fn fn, void *aux);

bool policy_store_is_ready(const struct policy_store *s);
size_t policy_store_count(const struct policy_store *s);
bool policy_store_find(const struct policy_store *s, const char *name, struct policy_document *out);
/* All of them: fn for each, in no order. */
void policy_store_each(const struct policy_store *s,
		       void (*fn)(const struct policy_document *doc, void *aux), void *aux);

/* What is to become of a document: text NULL: it is removed, which is no error when there is none.
 */
struct policy_write {
	const char *name, *text;
};
/* Makes, replaces and removes n documents of different names in one transaction. All that are
 * written get the same generation; the same text again is a new generation too, to be judged again.
 * done may be NULL. */
void policy_store_write(struct policy_store *s, const struct policy_write *documents, size_t n,
			policy_store_done_fn done, void *aux);
/* The verdict about that generation of a document: reason NULL: "applied", else "rejected: reason".
 * Nothing happens when the document has changed meanwhile. */
void policy_store_set_status(struct policy_store *s, const char *name, int64_t generation,
			     const char *reason);
