/* SPDX-License-Identifier: BSD-3-Clause */
/* The OVSDB server: databases, remotes and sessions in the caller's event loop (RFC 7047 §4 and the
 * monitor_cond, monitor_cond_since, convert and _Server extensions). One thread: that of the base.
 * A helper thread inside calls fsync and nothing else.
 *
 *	struct ovsdb_server *s = ovsdb_server_create(base, &(struct ovsdb_server_limits){0});
 *	ovsdb_server_open_db(s, "/var/lib/sluice/conf.db", &err);
 *	ovsdb_server_add_remote(s, "punix:/run/sluice/db.sock", &err);
 */
#pragma once
#include "datapath/base/err.h"
#include "datapath/base/str.h"

struct event_base;
struct ovsdb_schema;
struct ovsdb_server;
struct unixctl;

/* What hostile clients run into; 0 = the default in brackets. */
struct ovsdb_server_limits {
	size_t max_message_bytes; /* [64 MiB] larger: the session is dropped */
	size_t max_backlog_bytes; /* [64 MiB] unsent output, beyond the largest single message */
	unsigned max_sessions;    /* [1024] further ones are closed at once */
	unsigned max_depth;       /* [1000] JSON nesting */
	unsigned max_monitors;    /* [256] per session */
	unsigned max_waiting;     /* [256] blocked "wait" transactions per session */
};

struct ovsdb_server *ovsdb_server_create(struct event_base *base,
					 const struct ovsdb_server_limits *limits);
void ovsdb_server_destroy(struct ovsdb_server *s); /* closes sessions, files and remotes */

/* --- databases -------------------------------------------------------------------------------- */
/* Opens an existing log file and serves it under its schema's name. -EEXIST: name already served;
 * -EAGAIN: another process holds the file's lock; -EINVAL: damaged, e says where. */
int ovsdb_server_open_db(struct ovsdb_server *s, const char *path, struct err *e);
/* Same, but makes the file from `schema` (borrowed) if it does not exist, and converts its contents
 * when the file's schema has an older version than this one. */
int ovsdb_server_open_or_create_db(struct ovsdb_server *s, const char *path,
				   const struct ovsdb_schema *schema, struct err *e);
int ovsdb_server_close_db(struct ovsdb_server *s, const char *name, struct err *e);
bool ovsdb_server_has_db(const struct ovsdb_server *s, const char *name);
/* Rewrites the log as schema + one record; NULL = every database. */
int ovsdb_server_compact(struct ovsdb_server *s, const char *name, struct err *e);

/* --- remotes ---------------------------------------------------------------------------------- */
/* "punix:FILE", "ptcp:PORT[:IP]", "pssl:PORT[:IP]", "unix:FILE", "tcp:IP:PORT", "ssl:IP:PORT", or
 * "db:DB,TABLE,COLUMN" (a column of targets, or of references to rows with a `target` column, which
 * is then followed as it changes). Adding one that is there already is no error. */
int ovsdb_server_add_remote(struct ovsdb_server *s, const char *remote, struct err *e);
int ovsdb_server_remove_remote(struct ovsdb_server *s, const char *remote, struct err *e);
/* One per line, sorted. */
void ovsdb_server_list_remotes(const struct ovsdb_server *s, struct str *out);
/* Files in PEM, or "db:DB,TABLE,COLUMN"; NULL = none. Read when the first ssl remote starts and
 * again when they change. */
void ovsdb_server_set_tls(struct ovsdb_server *s, const char *private_key, const char *certificate,
			  const char *ca_cert);
/* Both lists are borrowed, NULL: the default. `bootstrap`: a CA certificate that is missing is
 * taken from the first peer. -EINVAL: a name in a list is none. */
int ovsdb_server_restrict_tls(struct ovsdb_server *s, const char *protocols, const char *ciphers,
			      bool bootstrap, struct err *e);
/* Serves a connected socket (takes it). The embedded client uses one end of a socket pair. */
void ovsdb_server_attach(struct ovsdb_server *s, int fd, const char *name);

/* Who is at the other end of a session. */
struct ovsdb_peer {
	bool is_local; /* by a socket of this machine: then pid and uid */
	int pid;
	unsigned uid;
	char address[64]; /* "192.0.2.1:4711"; "" when local */
};
/* fn is called for each transaction of a session that changes a table of a database, before the
 * session gets its answer. One watch a server; NULL fn: none. */
typedef void (*ovsdb_server_watch_fn)(const struct ovsdb_peer *by, void *aux);
void ovsdb_server_watch(struct ovsdb_server *s, const char *db, const char *table,
			ovsdb_server_watch_fn fn, void *aux);

unsigned ovsdb_server_n_sessions(const struct ovsdb_server *s);

/* Registers ovsdb-server/… and memory/show on a control socket. */
void ovsdb_server_register_commands(struct ovsdb_server *s, struct unixctl *ctl);
