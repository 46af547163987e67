/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer: its messages, replies and probes. A session that goes wrong is marked and freed from the
 * loop, never under the feet of the code that noticed. */
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/server_priv.h"

LOG_MODULE(ovsdb_session);

/* --- output ----------------------------------------------------------------------------------- */

void session_reply(struct session *c, const json_t *id, const char *result, size_t len)
{
	struct str s = STR_INIT;

	if (c->is_doomed)
		return;
	str_puts(&s, "{\"id\":");
	json_put_value(&s, id);
	str_puts(&s, ",\"result\":");
	str_put(&s, result, len);
	str_puts(&s, ",\"error\":null}");
	stream_send(c->stream, s.s, s.len);
	str_free(&s);
}

static void reply_error_text(struct session *c, const json_t *id, const char *error, size_t len)
{
	struct str s = STR_INIT;

	if (c->is_doomed)
		return;
	str_puts(&s, "{\"id\":");
	json_put_value(&s, id);
	str_puts(&s, ",\"result\":null,\"error\":");
	str_put(&s, error, len);
	str_putc(&s, '}');
	stream_send(c->stream, s.s, s.len);
	str_free(&s);
}

void session_reply_error(struct session *c, const json_t *id, struct ovsdb_error *e)
{
	struct str s = STR_INIT;

	ovsdb_error_put_json(&s, e);
	reply_error_text(c, id, s.s, s.len);
	str_free(&s);
	ovsdb_error_free(e);
}

void session_notify(struct session *c, const char *method, const char *params, size_t len)
{
	struct str s = STR_INIT;

	if (c->is_doomed)
		return;
	str_printf(&s, "{\"id\":null,\"method\":\"%s\",\"params\":", method);
	str_put(&s, params, len);
	str_putc(&s, '}');
	stream_send(c->stream, s.s, s.len);
	str_free(&s);
}

/* --- methods ---------------------------------------------------------------------------------- */

struct served_db *session_find_db(struct session *c, const char *method, const json_t *params,
				  struct ovsdb_error **e)
{
	const char *name = json_string_value(json_array_get(params, 0));

	*e = NULL;
	if (!name) {
		*e = ovsdb_syntax_error(params, NULL, "%s request params must begin with <db-name>",
					method);
		return NULL;
	}
	struct served_db *d = server_find_db(c->server, name);
	if (!d)
		*e = ovsdb_syntax_error(params, "unknown database",
					"%s request specifies unknown database %s", method, name);
	return d;
}

static void list_dbs(struct session *c, const json_t *id)
{
	struct str s = STR_INIT;

	str_putc(&s, '[');
	VEC_FOR_EACH (d, &c->server->dbs)
		str_printf(&s, "%s\"%s\"", d == c->server->dbs.at ? "" : ",", (*d)->name);
	str_putc(&s, ']');
	session_reply(c, id, s.s, s.len);
	str_free(&s);
}

static void get_schema(struct session *c, struct served_db *d, const json_t *id)
{
	struct str s = STR_INIT;

	ovsdb_schema_put_json(&s, d->db->schema);
	session_reply(c, id, s.s, s.len);
	str_free(&s);
}

static void set_db_change_aware(struct session *c, const json_t *id, const json_t *params)
{
	const json_t *flag = json_array_get(params, 0);

	if (json_array_size(params) != 1 || !json_is_boolean(flag)) {
		session_reply_error(
			c, id,
			ovsdb_syntax_error(
				params, NULL,
				"set_db_change_aware: true or false parameter expected"));
		return;
	}
	c->change_aware = json_is_true(flag);
	session_reply(c, id, "{}", 2);
}

static void get_server_id(struct session *c, const json_t *id)
{
	char uuid[UUID_TEXT_BYTES], quoted[UUID_TEXT_BYTES + 2];

	uuid_format(&c->server->id, uuid);
	int n = snprintf(quoted, sizeof quoted, "\"%s\"", uuid);
	session_reply(c, id, quoted, (size_t)n);
}

enum method {
	M_TRANSACT,
	M_MONITOR,
	M_MONITOR_COND,
	M_MONITOR_COND_SINCE,
	M_GET_SCHEMA,
	M_CONVERT,
	M_NEEDS_NO_DB, /* the ones below */
	M_MONITOR_COND_CHANGE,
	M_MONITOR_CANCEL,
	M_LOCK,
	M_STEAL,
	M_UNLOCK,
	M_LIST_DBS,
	M_ECHO,
	M_SET_DB_CHANGE_AWARE,
	M_GET_SERVER_ID,
	M_UNKNOWN,
};

static enum method method_from_name(const char *s)
{
	static const char *const names[] = {
		[M_TRANSACT] = "transact",
		[M_MONITOR] = "monitor",
		[M_MONITOR_COND] = "monitor_cond",
		[M_MONITOR_COND_SINCE] = "monitor_cond_since",
		[M_GET_SCHEMA] = "get_schema",
		[M_CONVERT] = "convert",
		[M_NEEDS_NO_DB] = "",
		[M_MONITOR_COND_CHANGE] = "monitor_cond_change",
		[M_MONITOR_CANCEL] = "monitor_cancel",
		[M_LOCK] = "lock",
		[M_STEAL] = "steal",
		[M_UNLOCK] = "unlock",
		[M_LIST_DBS] = "list_dbs",
		[M_ECHO] = "echo",
		[M_SET_DB_CHANGE_AWARE] = "set_db_change_aware",
		[M_GET_SERVER_ID] = "get_server_id",
	};

	for (size_t i = 0; *s && i < SL_ARRAY_SIZE(names); i++)
		if (!strcmp(s, names[i]))
			return (enum method)i;
	return M_UNKNOWN;
}

static void echo(struct session *c, const json_t *id, const json_t *params)
{
	struct str s = STR_INIT;

	json_put_value(&s, params);
	session_reply(c, id, s.s, s.len);
	str_free(&s);
}

static void handle_request(struct session *c, const char *name, const json_t *id,
			   const json_t *params)
{
	static const char unknown[] = "\"unknown method\"";
	enum method m = method_from_name(name);
	struct served_db *d = NULL;
	struct ovsdb_error *e;

	if (m < M_NEEDS_NO_DB) {
		d = session_find_db(c, name, params, &e);
		if (!d) {
			session_reply_error(c, id, e);
			return;
		}
	}
	switch (m) {
	case M_TRANSACT:
		txn_request(c, d, id, params);
		return;
	case M_MONITOR:
		monitor_request(c, d, id, params, 1);
		return;
	case M_MONITOR_COND:
		monitor_request(c, d, id, params, 2);
		return;
	case M_MONITOR_COND_SINCE:
		monitor_request(c, d, id, params, 3);
		return;
	case M_GET_SCHEMA:
		get_schema(c, d, id);
		return;
	case M_CONVERT:
		txn_convert(c, d, id, params);
		return;
	case M_MONITOR_COND_CHANGE:
		monitor_change(c, id, params);
		return;
	case M_MONITOR_CANCEL:
		monitor_cancel(c, id, params);
		return;
	case M_LOCK:
	case M_STEAL:
		lock_request(c, id, params, m == M_STEAL);
		return;
	case M_UNLOCK:
		lock_unlock(c, id, params);
		return;
	case M_LIST_DBS:
		list_dbs(c, id);
		return;
	case M_ECHO:
		echo(c, id, params);
		return;
	case M_SET_DB_CHANGE_AWARE:
		set_db_change_aware(c, id, params);
		return;
	case M_GET_SERVER_ID:
		get_server_id(c, id);
		return;
	case M_NEEDS_NO_DB:
	case M_UNKNOWN:
		reply_error_text(c, id, unknown, sizeof unknown - 1);
		return;
	}
}

static void on_message(void *aux, json_t *msg)
{
	struct session *c = aux;
	const json_t *id = json_object_get(msg, "id");
	const char *method = json_string_value(json_object_get(msg, "method"));
	const json_t *params = json_object_get(msg, "params");

	if (c->is_doomed)
		return;
	if (!json_is_object(msg)) {
		session_doom(c, "message is not a JSON object");
		return;
	}
	if (!method) {
		/* A reply: only echo requests are ever sent, and any input counts as a sign of
		 * life.
		 */
		if (!json_object_get(msg, "result") && !json_object_get(msg, "error"))
			session_doom(c, "message is neither request nor reply");
		return;
	}
	if (!json_is_array(params)) {
		session_doom(c, "request has no params array");
		return;
	}
	if (id && !json_is_null(id))
		handle_request(c, method, id, params);
	else if (!strcmp(method, "cancel"))
		txn_cancel(c, json_array_get(params, 0));
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_dead(void *aux, const char *why)
{
	session_doom(aux, why);
}

static struct ovsdb_peer peer_of(int fd)
{
	struct ovsdb_peer p = {0};
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof a;
	struct ucred cred;
	char host[48], port[8];

	if (getpeername(fd, (struct sockaddr *)&a, &len))
		return p;
	if (a.ss_family != AF_UNIX) {
		if (!getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port,
				 NI_NUMERICHOST | NI_NUMERICSERV))
			snprintf(p.address, sizeof p.address, "%s:%s", host, port);
		return p;
	}
	len = sizeof cred;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		p = (struct ovsdb_peer){.is_local = true, .pid = cred.pid, .uid = cred.uid};
	return p;
}

struct session *session_create(struct ovsdb_server *s, int fd, SSL *ssl, const char *name,
			       struct remote *remote, uint64_t probe_ms)
{
	static const struct stream_ops ops = {on_message, on_dead};
	struct stream_limits limits = {
		.max_message_bytes = s->limits.max_message_bytes,
		.max_backlog_bytes = s->limits.max_backlog_bytes,
		.max_depth = s->limits.max_depth,
	};
	struct session *c = xzalloc(sizeof *c);

	c->server = s;
	c->name = xasprintf("%s#%u", name, s->next_session++);
	c->remote = remote;
	c->peer = peer_of(fd);
	c->probe_ms = probe_ms;
	list_init(&c->locks);
	list_init(&c->transactions);
	c->stream = stream_create(&s->hub, fd, ssl, &limits, &ops, c);
	list_push_back(&s->sessions, &c->node);
	s->n_sessions++;
	log_dbg("%s: connected", c->name);
	return c;
}

void session_doom(struct session *c, const char *why)
{
	if (c->is_doomed)
		return;
	c->is_doomed = true;
	if (strcmp(why, "connection closed by peer") && strcmp(why, "Connection reset by peer") &&
	    strcmp(why, "Broken pipe"))
		LOG_LIMIT(log_warn, 20, "%s: closing: %s", c->name, why);
	else
		log_dbg("%s: %s", c->name, why);
	server_defer(c->server);
}

void session_destroy(struct session *c)
{
	txn_session_gone(c);
	monitor_session_gone(c);
	lock_session_gone(c);
	remote_session_gone(c);
	stream_close(c->stream);
	list_remove(&c->node);
	c->server->n_sessions--;
	free(c->name);
	free(c);
}

void session_tick(struct session *c, uint64_t now_ms)
{
	uint64_t idle_ms = now_ms - stream_last_input_ms(c->stream);

	if (!c->probe_ms || c->is_doomed)
		return;
	if (idle_ms < c->probe_ms) {
		c->probed = false;
	} else if (!c->probed) {
		static const char probe[] = "{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}";

		c->probed = true;
		stream_send(c->stream, probe, sizeof probe - 1);
	} else if (idle_ms >= 2 * c->probe_ms) {
		c->server->n_probes_failed++;
		session_doom(c, "no answer to inactivity probe");
	}
}
