/* SPDX-License-Identifier: BSD-3-Clause */
/* What the client_*.c files share. */
#pragma once
#include <event2/event.h>

#include "datapath/base/list.h"
#include "ovsdb-lite/address.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/db.h"
#include "ovsdb-lite/history.h"
#include "ovsdb-lite/stream.h"
#include "ovsdb-lite/tls.h"

/* One follows from the other; any failure leads back to IDLE and a later attempt. */
enum client_phase {
	CLIENT_IDLE,       /* waiting for the next attempt */
	CLIENT_CONNECTING, /* socket not connected yet */
	CLIENT_SCHEMA,     /* get_schema sent */
	CLIENT_MONITOR,    /* monitor request sent */
	CLIENT_READY,
};

struct table_spec {
	char *table;
	char **columns; /* NULL = all */
	size_t n;
};

struct ovsdb_client {
	struct event_base *base;
	struct ovsdb_server *server;
	char *remote, *db_name;
	struct address address;
	struct tls_config tls;
	char *tls_files[3];
	VEC(struct table_spec) specs; /* empty = everything */
	ovsdb_client_change_cb on_change;
	ovsdb_client_state_cb on_state;
	void *aux;

	struct stream_hub hub;
	struct stream *stream;
	enum client_phase phase;
	int connect_fd;
	struct event *connect_event, *tick, *deferred;
	uint64_t next_attempt_ms, backoff_ms;
	bool probed, drop; /* drop: close the stream from the loop */
	bool at_once;      /* then connect again without waiting: the peer is well */
	char *why;         /* last error */

	int64_t next_id, pending_id; /* pending_id: of schema or monitor request */
	int monitor_version;         /* 3, 2 or 1: what is being tried or in use */
	struct uuid last_txn;        /* for monitor_cond_since; zero = none */
	struct ovsdb_db *db;         /* replica; NULL until a schema came */
	unsigned generation;         /* of db: older transactions point into one that is gone */
	struct list txns;            /* sent, awaiting their reply */
	struct list done;            /* finished without being sent */

	char *lock;
	bool has_lock;
	int64_t lock_id;
};

/* client.c */
void client_send(struct ovsdb_client *c, int64_t id, const char *method, const char *params);

/* client_replica.c */
/* <table-updates> (version 1) or <table-updates2>; `whole`: rows not mentioned do not exist. Calls
 * on_change. false: the text makes no sense. */
bool replica_apply(struct ovsdb_client *c, const json_t *updates, int version, bool whole);
/* Another schema: reports every row as deleted and starts an empty replica. */
void replica_reset(struct ovsdb_client *c, struct ovsdb_schema *schema);

/* client_txn.c */
void client_txn_reply(struct ovsdb_client *c, int64_t id, const json_t *result,
		      const json_t *error);
void client_txn_disconnected(struct ovsdb_client *c);
void client_txn_finish_local(struct ovsdb_client *c); /* runs c->done */
void client_txn_free_all(struct ovsdb_client *c);
