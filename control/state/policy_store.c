/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/state/policy_store.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/list.h"
#include "datapath/base/log.h"
#include "datapath/base/util.h"
#include "datapath/base/vec.h"
#include "ovsdb-lite/client.h"

LOG_MODULE(policy_store);

struct policy_store {
	struct ovsdb_client *db;
	struct event *announce; /* calls the listener from the loop */
	policy_store_changed_fn changed;
	void *aux;
	struct list changes; /* on their way */
};

struct document_change {
	char *name, *text; /* text NULL: the document is to be removed */
};

struct change {
	struct list link;
	struct policy_store *s;
	VEC(struct document_change) documents;
	int64_t generation; /* 0: nothing is written, only removed */
	policy_store_done_fn done;
	void *aux;
	unsigned tries;
};

/* A write is built again when another client has written in between; more often than this in a row
 * it is somebody's endless loop. */
enum { MAX_TRIES = 10 };

static void announce(evutil_socket_t fd, short what, void *aux)
{
	struct policy_store *s = aux;
	if (s->changed && policy_store_is_ready(s))
		s->changed(s->aux);
}

static bool concerns(const struct ovsdb_client_change *ch)
{
	if (!strcmp(ch->table, "Sluice")) /* its first row makes the store ready */
		return ch->kind == OVSDB_ROW_INSERTED;
	return ch->kind != OVSDB_ROW_MODIFIED || ovsdb_client_change_has(ch, "document") ||
	       ovsdb_client_change_has(ch, "generation");
}

static void rows_changed(struct ovsdb_client *c, const struct ovsdb_client_change *changes,
			 size_t n, void *aux)
{
	struct policy_store *s = aux;
	for (size_t i = 0; i < n; i++)
		if (concerns(&changes[i])) {
			event_active(s->announce, EV_TIMEOUT, 0);
			return;
		}
}

/* A new database has no row yet. */
static void make_root(struct ovsdb_client *c)
{
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(c);
	ovsdb_client_txn_insert(t, "Sluice");
	ovsdb_client_txn_comment(t, "sluiced: first start");
	ovsdb_client_txn_commit(t, NULL, NULL);
}

static void state_changed(struct ovsdb_client *c, enum ovsdb_client_state state, void *aux)
{
	struct policy_store *s = aux;
	if (state != OVSDB_CLIENT_CONNECTED)
		return;
	if (!ovsdb_client_singleton(c, "Sluice"))
		make_root(c);
	event_active(s->announce, EV_TIMEOUT, 0);
}

int policy_store_create(struct policy_store **out, struct event_base *base,
			struct ovsdb_server *server, struct err *e)
{
	struct policy_store *s = xzalloc(sizeof *s);
	struct ovsdb_client_config cfg = {.base = base,
					  .server = server,
					  .db = "Sluice",
					  .on_change = rows_changed,
					  .on_state = state_changed,
					  .aux = s};
	int rc;

	list_init(&s->changes);
	rc = ovsdb_client_create(&s->db, &cfg, e);
	if (rc) {
		free(s);
		return rc;
	}
	s->announce = evtimer_new(base, announce, s);
	*out = s;
	return 0;
}

static void free_change(struct change *ch)
{
	list_remove(&ch->link);
	VEC_FOR_EACH (doc, &ch->documents) {
		free(doc->name);
		free(doc->text);
	}
	vec_free(&ch->documents);
	free(ch);
}

void policy_store_destroy(struct policy_store *s)
{
	if (!s)
		return;
	ovsdb_client_destroy(s->db);
	LIST_FOR_EACH_SAFE (ch, struct change, link, &s->changes)
		free_change(ch);
	event_free(s->announce);
	free(s);
}

void policy_store_listen(struct policy_store *s, policy_store_changed_fn fn, void *aux)
{
	s->changed = fn;
	s->aux = aux;
	if (fn)
		event_active(s->announce, EV_TIMEOUT, 0);
}

/* ---- reading ---- */

bool policy_store_is_ready(const struct policy_store *s)
{
	return ovsdb_client_is_connected(s->db) && ovsdb_client_singleton(s->db, "Sluice");
}

size_t policy_store_count(const struct policy_store *s)
{
	return ovsdb_client_count(s->db, "Policy");
}

static struct policy_document document(const struct ovsdb_row *row)
{
	return (struct policy_document){
		.name = ovsdb_row_string(row, "name", ""),
		.text = ovsdb_row_string(row, "document", ""),
		.generation = ovsdb_row_int(row, "generation", 0),
		.status = ovsdb_row_string(row, "status", ""),
		.applied_text = ovsdb_row_string(row, "applied_document", NULL),
		.applied_generation = ovsdb_row_int(row, "applied_generation", 0),
	};
}

bool policy_store_find(const struct policy_store *s, const char *name, struct policy_document *out)
{
	const struct ovsdb_row *row = ovsdb_client_find(s->db, "Policy", "name", name);
	if (row)
		*out = document(row);
	return row;
}

void policy_store_each(const struct policy_store *s,
		       void (*fn)(const struct policy_document *doc, void *aux), void *aux)
{
	OVSDB_CLIENT_FOR_EACH (row, s->db, "Policy") {
		struct policy_document doc = document(row);
		fn(&doc, aux);
	}
}

/* ---- writing ---- */

static void send_change(struct change *ch);

static bool writes(const struct change *ch)
{
	VEC_FOR_EACH (doc, &ch->documents)
		if (doc->text)
			return true;
	return false;
}

static void finish(struct change *ch, const char *error)
{
	if (ch->done)
		ch->done(error ? 0 : ch->generation, error, ch->aux);
	else if (error)
		log_warn("policy %s: not written: %s", ch->documents.at[0].name, error);
	free_change(ch);
}

static void committed(struct ovsdb_client *c, const struct ovsdb_client_txn_result *r, void *aux)
{
	struct change *ch = aux;
	switch (r->status) {
	case OVSDB_TXN_SUCCESS:
		finish(ch, NULL);
		break;
	case OVSDB_TXN_UNCHANGED: /* nothing to remove, or nowhere to write to yet */
		finish(ch, writes(ch) ? "the Sluice database is not ready" : NULL);
		break;
	case OVSDB_TXN_TRY_AGAIN:
		if (++ch->tries < MAX_TRIES)
			send_change(ch);
		else
			finish(ch, "others keep changing it: try again");
		break;
	case OVSDB_TXN_NOT_LOCKED:
	case OVSDB_TXN_DISCONNECTED:
		finish(ch, "the connection to the Sluice database was lost");
		break;
	case OVSDB_TXN_ERROR:
		finish(ch, r->error);
		break;
	}
}

/* False: there is no row to count generations in yet. */
static bool take_generation(struct change *ch, struct ovsdb_client_txn *t)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(ch->s->db, "Sluice");
	struct uuid sluice;

	if (!root)
		return false;
	sluice = *ovsdb_row_uuid(root);
	ch->generation = ovsdb_row_int(root, "next_generation", 0) + 1;
	ovsdb_client_txn_verify(t, sluice, "Sluice", "next_generation");
	ovsdb_client_txn_set_int(t, sluice, "Sluice", "next_generation", ch->generation);
	return true;
}

static void put_document(struct change *ch, struct ovsdb_client_txn *t, const char *name,
			 const char *text)
{
	const struct ovsdb_row *old = ovsdb_client_find(ch->s->db, "Policy", "name", name);
	struct uuid id;

	if (old) {
		id = *ovsdb_row_uuid(old);
		/* A verdict may be under way that the replica does not show yet. */
		ovsdb_client_txn_verify(t, id, "Policy", "status");
	} else {
		id = ovsdb_client_txn_insert(t, "Policy");
		ovsdb_client_txn_set_string(t, id, "Policy", "name", name);
	}
	ovsdb_client_txn_set_string(t, id, "Policy", "document", text);
	ovsdb_client_txn_set_int(t, id, "Policy", "generation", ch->generation);
	ovsdb_client_txn_set_string(t, id, "Policy", "status", "");
}

static void remove_document(struct change *ch, struct ovsdb_client_txn *t, const char *name)
{
	const struct ovsdb_row *old = ovsdb_client_find(ch->s->db, "Policy", "name", name);

	if (old)
		ovsdb_client_txn_delete(t, *ovsdb_row_uuid(old), "Policy");
}

static void send_change(struct change *ch)
{
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(ch->s->db);

	if (!writes(ch) || take_generation(ch, t)) {
		VEC_FOR_EACH (doc, &ch->documents) {
			if (doc->text)
				put_document(ch, t, doc->name, doc->text);
			else
				remove_document(ch, t, doc->name);
		}
	}
	ovsdb_client_txn_durable(t);
	ovsdb_client_txn_commit(t, committed, ch);
}

void policy_store_write(struct policy_store *s, const struct policy_write *documents, size_t n,
			policy_store_done_fn done, void *aux)
{
	struct change *ch = xzalloc(sizeof *ch);

	*ch = (struct change){.s = s, .done = done, .aux = aux};
	for (size_t i = 0; i < n; i++) {
		const struct policy_write *w = &documents[i];

		vec_push(&ch->documents,
			 (struct document_change){xstrdup(w->name),
						  w->text ? xstrdup(w->text) : NULL});
	}
	list_push_back(&s->changes, &ch->link);
	send_change(ch);
}

void policy_store_set_status(struct policy_store *s, const char *name, int64_t generation,
			     const char *reason)
{
	const struct ovsdb_row *row = ovsdb_client_find(s->db, "Policy", "name", name);
	const struct ovsdb_row *root = ovsdb_client_singleton(s->db, "Sluice");
	struct ovsdb_client_txn *t;
	struct uuid id;
	char *status;

	if (!row || !root || ovsdb_row_int(row, "generation", 0) != generation)
		return;
	id = *ovsdb_row_uuid(row);
	status = reason ? xasprintf("rejected: %s", reason) : xstrdup("applied");
	t = ovsdb_client_txn_create(s->db);
	ovsdb_client_txn_verify(t, id, "Policy", "generation");
	ovsdb_client_txn_verify(t, id, "Policy", "document");
	ovsdb_client_txn_set_string(t, id, "Policy", "status", status);
	if (!reason) {
		ovsdb_client_txn_set_string(t, id, "Policy", "applied_document",
					    ovsdb_row_string(row, "document", ""));
		ovsdb_client_txn_set_int(t, id, "Policy", "applied_generation", generation);
	}
	if (ovsdb_row_int(root, "cur_generation", 0) < generation)
		ovsdb_client_txn_set_int(t, *ovsdb_row_uuid(root), "Sluice", "cur_generation",
					 generation);
	ovsdb_client_txn_commit(t, NULL, NULL);
	free(status);
}
