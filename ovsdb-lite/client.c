/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection: finding the server, speaking to it, falling back, coming back. */
#include "ovsdb-lite/client.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/client_priv.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/server.h"

LOG_MODULE(ovsdb_client);

enum { PROBE_MS = 5000, MIN_BACKOFF_MS = 1000, MAX_BACKOFF_MS = 8000 };

static void attempt(struct ovsdb_client *c);
static void on_message(void *aux, json_t *msg);
static void on_dead(void *aux, const char *why);

void client_send(struct ovsdb_client *c, int64_t id, const char *method, const char *params)
{
	struct str s = STR_INIT;

	str_printf(&s, "{\"id\":%" PRId64 ",\"method\":\"%s\",\"params\":", id, method);
	str_puts(&s, params);
	str_putc(&s, '}');
	stream_send(c->stream, s.s, s.len);
	str_free(&s);
}

static void tell(struct ovsdb_client *c, enum ovsdb_client_state state)
{
	if (c->on_state)
		c->on_state(c, state, c->aux);
}

/* --- losing the connection ----------------------------------------------------------------------
 */

/* From the loop only: callbacks may do anything but destroy the client. */
static void disconnect(struct ovsdb_client *c)
{
	bool was_ready = c->phase == CLIENT_READY;

	stream_close(c->stream);
	c->stream = NULL;
	if (c->connect_event)
		event_free(c->connect_event);
	c->connect_event = NULL;
	if (c->connect_fd >= 0)
		close(c->connect_fd);
	c->connect_fd = -1;
	c->phase = CLIENT_IDLE;
	c->drop = false;
	c->backoff_ms = c->backoff_ms ? SL_MIN(c->backoff_ms * 2, (uint64_t)MAX_BACKOFF_MS)
				      : MIN_BACKOFF_MS;
	if (c->at_once)
		c->backoff_ms = 0;
	c->next_attempt_ms = clock_mono_ms() + c->backoff_ms;
	LOG_LIMIT(log_warn, 6, "%s: %s: %s", c->server ? "local" : c->remote, c->db_name,
		  c->why ? c->why : "?");
	client_txn_disconnected(c);
	if (c->has_lock) {
		c->has_lock = false;
		tell(c, OVSDB_CLIENT_LOCK_LOST);
	}
	if (was_ready)
		tell(c, OVSDB_CLIENT_DISCONNECTED);
	if (c->at_once)
		event_active(c->tick, EV_TIMEOUT, 1);
	c->at_once = false;
}

static void fail(struct ovsdb_client *c, const char *why)
{
	if (c->drop)
		return;
	free(c->why);
	c->why = xstrdup(why);
	c->drop = true;
	event_active(c->deferred, EV_TIMEOUT, 1);
}

static void on_deferred(evutil_socket_t fd, short what, void *aux)
{
	struct ovsdb_client *c = aux;

	if (c->drop)
		disconnect(c);
	client_txn_finish_local(c);
}

static void on_dead(void *aux, const char *why)
{
	fail(aux, why);
}

/* --- connecting ---------------------------------------------------------------------------------
 */

static void connected(struct ovsdb_client *c, int fd)
{
	static const struct stream_ops ops = {on_message, on_dead};
	static const struct stream_limits limits = {1u << 30, 1u << 30, 1000};
	char *params = xasprintf("[\"%s\"]", c->db_name);
	struct err e = {0};
	SSL *ssl = NULL;

	if (c->address.tls) {
		if (tls_config_load(&c->tls, c->tls_files[0], c->tls_files[1], c->tls_files[2],
				    &e) == 0)
			ssl = tls_session(&c->tls, false);
		if (!ssl) {
			close(fd);
			fail(c, e.text);
			free(params);
			return;
		}
	}
	c->stream = stream_create(&c->hub, fd, ssl, &limits, &ops, c);
	c->phase = CLIENT_SCHEMA;
	c->pending_id = c->next_id++;
	client_send(c, c->next_id++, "set_db_change_aware", "[true]");
	client_send(c, c->pending_id, "get_schema", params);
	free(params);
}

static void on_connected(evutil_socket_t fd, short what, void *aux)
{
	struct ovsdb_client *c = aux;
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		fail(c, strerror(error));
		return;
	}
	event_free(c->connect_event);
	c->connect_event = NULL;
	c->connect_fd = -1;
	connected(c, (int)fd);
}

static void attempt(struct ovsdb_client *c)
{
	struct err e = {0};
	int fds[2];

	if (c->server) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
			fail(c, strerror(errno));
			return;
		}
		ovsdb_server_attach(c->server, fds[1], "local");
		connected(c, fds[0]);
		return;
	}
	c->connect_fd = address_connect(&c->address, &e);
	if (c->connect_fd < 0) {
		fail(c, e.text);
		return;
	}
	c->phase = CLIENT_CONNECTING;
	c->connect_event = event_new(c->base, c->connect_fd, EV_WRITE, on_connected, c);
	event_add(c->connect_event, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *aux)
{
	struct ovsdb_client *c = aux;
	uint64_t now_ms = clock_mono_ms();

	if (c->phase == CLIENT_IDLE && !c->drop && now_ms >= c->next_attempt_ms)
		attempt(c);
	if (!c->stream || c->drop || c->server || address_is_unix(&c->address))
		return;
	uint64_t idle_ms = now_ms - stream_last_input_ms(c->stream);
	if (idle_ms < PROBE_MS) {
		c->probed = false;
	} else if (!c->probed) {
		c->probed = true;
		client_send(c, c->next_id++, "echo", "[]");
	} else if (idle_ms >= 2 * PROBE_MS) {
		fail(c, "no answer to inactivity probe");
	}
}

/* --- monitoring ---------------------------------------------------------------------------------
 */

static void put_columns(struct str *s, const struct ovsdb_table_schema *t,
			const struct table_spec *spec)
{
	bool any = false;

	str_puts(s, "[{\"columns\":[");
	for (size_t i = 0; i < (spec && spec->columns ? spec->n : t->n_columns); i++) {
		const char *name = spec && spec->columns ? spec->columns[i] : t->columns[i].name;

		if (!ovsdb_table_schema_column(t, name))
			continue; /* an older server: the column reads as empty */
		str_printf(s, "%s\"%s\"", any ? "," : "", name);
		any = true;
	}
	str_puts(s, "]}]");
}

static void send_monitor(struct ovsdb_client *c)
{
	static const char *const methods[] = {"", "monitor", "monitor_cond", "monitor_cond_since"};
	const struct ovsdb_schema *schema = c->db->schema;
	struct str s = STR_INIT;
	char uuid[UUID_TEXT_BYTES];
	bool any = false;

	str_printf(&s, "[\"%s\",[\"monid\",\"%s\"],{", c->db_name, c->db_name);
	for (size_t i = 0; i < schema->n_tables; i++) {
		const struct ovsdb_table_schema *t = &schema->tables[i];
		const struct table_spec *spec = NULL;

		for (size_t k = 0; k < c->specs.len && !spec; k++)
			if (!strcmp(c->specs.at[k].table, t->name))
				spec = &c->specs.at[k];
		if (c->specs.len && !spec)
			continue;
		str_printf(&s, "%s\"%s\":", any ? "," : "", t->name);
		any = true;
		put_columns(&s, t, spec);
	}
	str_putc(&s, '}');
	if (c->monitor_version == 3) {
		uuid_format(&c->last_txn, uuid);
		str_printf(&s, ",\"%s\"", uuid);
	}
	str_putc(&s, ']');
	c->phase = CLIENT_MONITOR;
	c->pending_id = c->next_id++;
	client_send(c, c->pending_id, methods[c->monitor_version], s.s);
	str_free(&s);
}

static void send_lock(struct ovsdb_client *c)
{
	char *params = xasprintf("[\"%s\"]", c->lock);

	c->lock_id = c->next_id++;
	client_send(c, c->lock_id, "lock", params);
	free(params);
}

static void got_schema(struct ovsdb_client *c, const json_t *result, const json_t *error)
{
	struct ovsdb_schema *schema = NULL;

	if (error) {
		fail(c, "the server does not have this database");
		return;
	}
	struct ovsdb_error *e = ovsdb_schema_parse(&schema, result);
	if (e) {
		char *text = ovsdb_error_text(e);

		fail(c, text);
		free(text);
		ovsdb_error_free(e);
		return;
	}
	if (!c->db || !ovsdb_schema_eq(c->db->schema, schema))
		replica_reset(c, schema);
	ovsdb_schema_unref(schema);
	c->monitor_version = 3;
	send_monitor(c);
}

static void got_contents(struct ovsdb_client *c, const json_t *result, const json_t *error)
{
	bool found = false;

	if (error) {
		/* "unknown method": an older server; try the older way. */
		if (--c->monitor_version > 0)
			send_monitor(c);
		else
			fail(c, "the server refuses to be monitored");
		return;
	}
	if (c->monitor_version == 3) {
		const char *id = json_string_value(json_array_get(result, 1));

		found = json_is_true(json_array_get(result, 0));
		if (!id || !uuid_parse(id, &c->last_txn))
			c->last_txn = (struct uuid){0, 0};
		result = json_array_get(result, 2);
	}
	if (!replica_apply(c, result, SL_MIN(c->monitor_version, 2), !found)) {
		fail(c, "the server sent contents that do not fit its schema");
		return;
	}
	c->phase = CLIENT_READY;
	c->backoff_ms = 0;
	free(c->why);
	c->why = NULL;
	if (c->lock)
		send_lock(c);
	tell(c, OVSDB_CLIENT_CONNECTED);
}

/* --- messages -----------------------------------------------------------------------------------
 */

static void set_lock_state(struct ovsdb_client *c, bool has)
{
	if (!c->lock)
		return;
	c->has_lock = has;
	tell(c, has ? OVSDB_CLIENT_LOCKED : OVSDB_CLIENT_LOCK_LOST);
}

static void on_reply(struct ovsdb_client *c, const json_t *msg)
{
	const json_t *result = json_object_get(msg, "result"),
		     *error = json_object_get(msg, "error");
	json_int_t id = json_integer_value(json_object_get(msg, "id"));

	if (json_is_null(error))
		error = NULL;
	if (id == c->pending_id && c->phase == CLIENT_SCHEMA)
		got_schema(c, result, error);
	else if (id == c->pending_id && c->phase == CLIENT_MONITOR)
		got_contents(c, result, error);
	else if (id == c->lock_id)
		set_lock_state(c, json_is_true(json_object_get(result, "locked")));
	else
		client_txn_reply(c, id, result, error);
}

static void on_update(struct ovsdb_client *c, const json_t *params, int version)
{
	const json_t *updates = json_array_get(params, version == 3 ? 2 : 1);
	const char *id = json_string_value(json_array_get(params, 1));

	if (version == 3 && id)
		uuid_parse(id, &c->last_txn);
	if (c->phase == CLIENT_READY && !replica_apply(c, updates, SL_MIN(version, 2), false))
		fail(c, "the server sent an update that does not fit its schema");
}

static void on_request(struct ovsdb_client *c, const json_t *msg, const char *method)
{
	const json_t *params = json_object_get(msg, "params");
	const char *name = json_string_value(json_array_get(params, 0));

	if (!strcmp(method, "update3")) {
		on_update(c, params, 3);
	} else if (!strcmp(method, "update2")) {
		on_update(c, params, 2);
	} else if (!strcmp(method, "update")) {
		on_update(c, params, 1);
	} else if (!strcmp(method, "locked") || !strcmp(method, "stolen")) {
		if (c->lock && name && !strcmp(name, c->lock))
			set_lock_state(c, *method == 'l');
	} else if (!strcmp(method, "monitor_canceled")) {
		fail(c, "the database was converted or removed");
		c->at_once = true;
	} else if (!strcmp(method, "echo")) {
		struct str s = STR_INIT;

		str_puts(&s, "{\"id\":");
		json_put_value(&s, json_object_get(msg, "id"));
		str_puts(&s, ",\"result\":");
		json_put_value(&s, params);
		str_puts(&s, ",\"error\":null}");
		stream_send(c->stream, s.s, s.len);
		str_free(&s);
	}
}

static void on_message(void *aux, json_t *msg)
{
	struct ovsdb_client *c = aux;
	const char *method = json_string_value(json_object_get(msg, "method"));

	if (c->drop)
		return;
	if (method)
		on_request(c, msg, method);
	else
		on_reply(c, msg);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void copy_specs(struct ovsdb_client *c, const struct ovsdb_client_config *cfg)
{
	for (size_t i = 0; i < cfg->n_tables && cfg->tables; i++) {
		struct table_spec s = {.table = xstrdup(cfg->tables[i].table)};
		const char *const *columns = cfg->tables[i].columns;

		while (columns && columns[s.n])
			s.n++;
		if (columns)
			s.columns = xcalloc(s.n, sizeof *s.columns);
		for (size_t k = 0; k < s.n; k++)
			s.columns[k] = xstrdup(columns[k]);
		vec_push(&c->specs, s);
	}
}

int ovsdb_client_create(struct ovsdb_client **out, const struct ovsdb_client_config *cfg,
			struct err *e)
{
	struct ovsdb_client *c = xzalloc(sizeof *c);
	struct timeval second = {1, 0};

	if (!cfg->server) {
		int rc = address_parse(&c->address, cfg->remote ? cfg->remote : "", e);

		if (!rc && c->address.passive)
			rc = err_set(e, EINVAL, "%s: an address to connect to is needed",
				     cfg->remote);
		if (rc) {
			free(c);
			return rc;
		}
	}
	c->base = cfg->base;
	c->server = cfg->server;
	c->remote = xstrdup(cfg->remote ? cfg->remote : "");
	c->db_name = xstrdup(cfg->db);
	c->tls_files[0] = xstrdup(cfg->private_key ? cfg->private_key : "");
	c->tls_files[1] = xstrdup(cfg->certificate ? cfg->certificate : "");
	c->tls_files[2] = xstrdup(cfg->ca_cert ? cfg->ca_cert : "");
	c->on_change = cfg->on_change;
	c->on_state = cfg->on_state;
	c->aux = cfg->aux;
	c->connect_fd = -1;
	c->next_id = 1;
	list_init(&c->txns);
	list_init(&c->done);
	copy_specs(c, cfg);
	stream_hub_init(&c->hub, c->base);
	c->deferred = event_new(c->base, -1, 0, on_deferred, c);
	c->tick = event_new(c->base, -1, EV_PERSIST, on_tick, c);
	event_add(c->tick, &second);
	event_active(c->tick, EV_TIMEOUT, 1); /* the first attempt, from the loop */
	*out = c;
	return 0;
}

void ovsdb_client_destroy(struct ovsdb_client *c)
{
	if (!c)
		return;
	client_txn_free_all(c);
	stream_close(c->stream);
	if (c->connect_event)
		event_free(c->connect_event);
	if (c->connect_fd >= 0)
		close(c->connect_fd);
	event_free(c->tick);
	event_free(c->deferred);
	stream_hub_destroy(&c->hub);
	ovsdb_db_destroy(c->db);
	VEC_FOR_EACH (s, &c->specs) {
		for (size_t i = 0; i < s->n; i++)
			free(s->columns[i]);
		free(s->columns);
		free(s->table);
	}
	vec_free(&c->specs);
	tls_config_free(&c->tls);
	for (size_t i = 0; i < SL_ARRAY_SIZE(c->tls_files); i++)
		free(c->tls_files[i]);
	free(c->remote);
	free(c->db_name);
	free(c->lock);
	free(c->why);
	free(c);
}

bool ovsdb_client_is_connected(const struct ovsdb_client *c)
{
	return c->phase == CLIENT_READY && !c->drop;
}

const char *ovsdb_client_last_error(const struct ovsdb_client *c)
{
	return c->why ? c->why : "";
}

void ovsdb_client_lock(struct ovsdb_client *c, const char *name)
{
	if (c->lock && ovsdb_client_is_connected(c)) {
		char *params = xasprintf("[\"%s\"]", c->lock);

		client_send(c, c->next_id++, "unlock", params);
		free(params);
	}
	free(c->lock);
	c->lock = name ? xstrdup(name) : NULL;
	c->has_lock = false;
	c->lock_id = 0;
	if (name && ovsdb_client_is_connected(c))
		send_lock(c);
}

bool ovsdb_client_has_lock(const struct ovsdb_client *c)
{
	return c->has_lock;
}
