/* SPDX-License-Identifier: BSD-3-Clause */
/* What the server_*.c files share. */
#pragma once
#include <event2/event.h>
#include <jansson.h>

#include "datapath/base/hmap.h"
#include "datapath/base/list.h"
#include "ovsdb-lite/exec.h"
#include "ovsdb-lite/history.h"
#include "ovsdb-lite/monitor.h"
#include "ovsdb-lite/server.h"
#include "ovsdb-lite/storage.h"
#include "ovsdb-lite/stream.h"
#include "ovsdb-lite/syncer.h"
#include "ovsdb-lite/tls.h"

/* A database with its file, monitors and blocked transactions. */
struct served_db {
	struct ovsdb_server *server;
	char *name, *path; /* path NULL: _Server, in memory only */
	struct ovsdb_db *db;
	struct ovsdb_storage *storage; /* NULL: in memory only */
	struct ovsdb_monitor_set monitors;
	struct history history;
	struct list waiting;   /* transaction.node: blocked in a "wait" */
	struct syncer *syncer; /* NULL: in memory only */
	bool is_reserved, rerun, is_closing;
	VEC(struct unixctl_call *) compact_calls;
};

/* One peer. */
struct session {
	struct list node; /* server->sessions */
	struct ovsdb_server *server;
	struct stream *stream;
	char *name;            /* "unix#3" */
	struct remote *remote; /* where it came in; NULL: attached */
	struct ovsdb_peer peer;
	struct hmap monitors; /* session_monitor by id text */
	struct list locks;    /* lock_waiter.session_node */
	struct list transactions;
	unsigned n_waiting;
	uint64_t probe_ms; /* 0 = do not probe */
	bool probed, change_aware, is_doomed;
	unsigned n_doomed_writes;
};

/* One monitor of a session. */
struct session_monitor {
	struct hmap_node node; /* session->monitors */
	struct list spec_node; /* spec->subscribers */
	struct session *session;
	struct served_db *db;
	struct ovsdb_monitor_spec *spec;
	int version; /* 1, 2, 3: the notification it gets */
	char *id;    /* JSON text */
};

/* A "transact" (or "convert") that is not answered yet: blocked in a wait, or being synced. */
struct transaction {
	struct list node;         /* served_db->waiting, or nowhere */
	struct list session_node; /* session->transactions */
	struct session *session;  /* NULL once it is gone */
	struct served_db *db;
	json_t *id, *params;
	uint64_t start_ms;
	struct event *timer;
	char *results; /* while syncing: the reply */
};

struct ovsdb_server {
	struct event_base *base;
	struct stream_hub hub;
	struct ovsdb_server_limits limits;
	struct uuid id;
	VEC(struct served_db *) dbs;
	struct served_db *server_db; /* "_Server", also in dbs */
	struct list sessions;
	unsigned n_sessions, next_session;
	struct list remotes;
	struct hmap locks;
	struct event *tick;     /* every second: probes, db: remotes */
	struct event *deferred; /* frees doomed sessions, follows db: remotes */
	bool remotes_stale;
	struct tls_config tls;
	unsigned n_transactions, n_probes_failed; /* coverage/show */
	struct {
		char *db, *table;
		ovsdb_server_watch_fn fn;
		void *aux;
	} watch;
};

/* server.c */
struct served_db *server_find_db(const struct ovsdb_server *s, const char *name);
void server_defer(struct ovsdb_server *s); /* runs the deferred work soon */
void server_update_database_row(struct ovsdb_server *s, struct served_db *d);
struct served_db *server_install_db(struct ovsdb_server *s, struct ovsdb_db *db,
				    struct ovsdb_storage *storage, const char *path);

/* server_session.c */
struct session *session_create(struct ovsdb_server *s, int fd, SSL *ssl, const char *name,
			       struct remote *remote, uint64_t probe_ms);
void session_doom(struct session *c, const char *why); /* freed soon */
void session_destroy(struct session *c);
void session_tick(struct session *c, uint64_t now_ms);
void session_reply(struct session *c, const json_t *id, const char *result, size_t len);
void session_reply_error(struct session *c, const json_t *id, struct ovsdb_error *e); /* frees e */
void session_notify(struct session *c, const char *method, const char *params, size_t len);
/* First parameter names a database: NULL and an error if it does not. */
struct served_db *session_find_db(struct session *c, const char *method, const json_t *params,
				  struct ovsdb_error **e);

/* server_txn.c */
void txn_request(struct session *c, struct served_db *d, const json_t *id, const json_t *params);
bool txn_cancel(struct session *c, const json_t *id);
void txn_session_gone(struct session *c);
void txn_run_waiting(struct served_db *d); /* after a commit that came from no session */
void txn_db_gone(struct served_db *d);
/* Checks, logs, publishes and applies, or aborts. *changed says whether monitors heard of it. by:
 * whose transaction it is; NULL: the server's own. */
struct ovsdb_error *txn_commit(struct served_db *d, struct ovsdb_txn *t, const char *comment,
			       const struct session *by, bool *changed);
void txn_convert(struct session *c, struct served_db *d, const json_t *id, const json_t *params);
int txn_convert_db(struct served_db *d, struct ovsdb_schema *schema, struct err *e);

/* server_monitor.c */
void monitor_request(struct session *c, struct served_db *d, const json_t *id, const json_t *params,
		     int version);
void monitor_change(struct session *c, const json_t *id, const json_t *params);
void monitor_cancel(struct session *c, const json_t *id, const json_t *params);
void monitor_publish(struct served_db *d, struct ovsdb_txn *t);
void monitor_session_gone(struct session *c);
/* Ends the monitors of this database; sessions that do not understand that are dropped. */
void monitor_db_gone(struct served_db *d);

/* server_lock.c */
void lock_request(struct session *c, const json_t *id, const json_t *params, bool steal);
void lock_unlock(struct session *c, const json_t *id, const json_t *params);
bool lock_is_owner(const char *name, void *session);
void lock_session_gone(struct session *c);

/* server_remote.c */
struct remote;
void remote_session_gone(struct session *c);
void remote_follow_databases(struct ovsdb_server *s);
void remote_destroy_all(struct ovsdb_server *s);
bool remote_is_affected(const struct ovsdb_server *s, const struct served_db *d,
			const struct ovsdb_txn *t);
