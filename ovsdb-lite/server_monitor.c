/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/server_priv.h"

static char *id_text(const json_t *id)
{
	struct str s = STR_INIT;

	json_put_value(&s, id);
	return str_steal(&s);
}

static struct session_monitor *find(struct session *c, const char *id)
{
	HMAP_FOR_EACH_WITH_HASH (m, struct session_monitor, node, hash_string(id), &c->monitors)
		if (!strcmp(m->id, id))
			return m;
	return NULL;
}

static void destroy(struct session_monitor *m)
{
	hmap_remove(&m->session->monitors, &m->node);
	list_remove(&m->spec_node);
	ovsdb_monitor_unref(m->spec);
	free(m->id);
	free(m);
}

/* {"id":null,"method":…,"params":[ID,([TXN-ID],)UPDATES]}: only the head differs by session. */
static void send_update(struct session_monitor *m, const struct uuid *txn_id,
			struct ovsdb_buf *body)
{
	static const char *const methods[] = {"", "update", "update2", "update3"};
	struct session *c = m->session;
	struct str head = STR_INIT;
	char uuid[UUID_TEXT_BYTES];

	if (c->is_doomed)
		return;
	str_printf(&head, "{\"id\":null,\"method\":\"%s\",\"params\":[", methods[m->version]);
	str_puts(&head, m->id);
	str_putc(&head, ',');
	if (m->version == 3) {
		uuid_format(txn_id, uuid);
		str_printf(&head, "\"%s\",", uuid);
	}
	stream_send(c->stream, head.s, head.len);
	stream_send_buf(c->stream, body);
	stream_send(c->stream, "]}", 2);
	str_free(&head);
}

/* --- monitor, monitor_cond, monitor_cond_since --------------------------------------------------
 */

static void reply_contents(struct session_monitor *m, const json_t *id, const struct uuid *since)
{
	struct session *c = m->session;
	struct ovsdb_buf *body = NULL;
	ovsdb_change_vec changes = {0};
	struct str head = STR_INIT;
	char uuid[UUID_TEXT_BYTES];
	bool found = false;

	str_puts(&head, "{\"id\":");
	json_put_value(&head, id);
	str_puts(&head, ",\"result\":");
	if (m->version == 3) {
		found = since && history_since(&m->db->history, since, &changes);
		uuid_format(&m->db->history.last_id, uuid);
		str_printf(&head, "[%s,\"%s\",", found ? "true" : "false", uuid);
	}
	stream_send(c->stream, head.s, head.len);
	if (found)
		body = ovsdb_monitor_update(m->spec, changes.at, changes.len);
	else
		body = ovsdb_monitor_initial(m->spec);
	if (body)
		stream_send_buf(c->stream, body);
	else
		stream_send(c->stream, "{}", 2);
	str_clear(&head);
	str_puts(&head, m->version == 3 ? "],\"error\":null}" : ",\"error\":null}");
	stream_send(c->stream, head.s, head.len);
	str_free(&head);
	vec_free(&changes);
	ovsdb_buf_unref(body);
}

static struct ovsdb_error *check_request(struct session *c, const json_t *params, int version,
					 const char *id, struct uuid *since, bool *has_since)
{
	const json_t *last = json_array_get(params, 3);

	if (json_array_size(params) != (version == 3 ? 4u : 3u))
		return ovsdb_syntax_error(params, NULL, "invalid parameters");
	if (version == 3) {
		if (!json_is_string(last))
			return ovsdb_syntax_error(last, NULL, "last-txn-id must be string");
		*has_since = uuid_parse(json_string_value(last), since);
	}
	if (find(c, id))
		return ovsdb_syntax_error(json_array_get(params, 1), NULL, "duplicate monitor ID");
	if (c->monitors.count >= c->server->limits.max_monitors)
		return ovsdb_error("resources exhausted", "too many monitors in this session");
	return NULL;
}

void monitor_request(struct session *c, struct served_db *d, const json_t *id, const json_t *params,
		     int version)
{
	char *mon_id = id_text(json_array_get(params, 1));
	struct ovsdb_monitor_spec *spec;
	struct uuid since;
	bool has_since = false;
	struct ovsdb_error *e = check_request(c, params, version, mon_id, &since, &has_since);

	if (!e)
		e = ovsdb_monitor_parse(&spec, &d->monitors, json_array_get(params, 2),
					version == 1 ? 1 : 2);
	if (e) {
		free(mon_id);
		session_reply_error(c, id, e);
		return;
	}
	struct session_monitor *m = xzalloc(sizeof *m);
	m->session = c;
	m->db = d;
	m->spec = spec;
	m->version = version;
	m->id = mon_id;
	hmap_insert(&c->monitors, &m->node, hash_string(mon_id));
	list_push_back(&spec->subscribers, &m->spec_node);
	reply_contents(m, id, has_since ? &since : NULL);
}

/* --- monitor_cond_change, monitor_cancel --------------------------------------------------------
 */

void monitor_change(struct session *c, const json_t *id, const json_t *params)
{
	struct ovsdb_error *e = NULL;
	struct ovsdb_monitor_spec *spec;
	struct session_monitor *m = NULL;

	if (json_array_size(params) != 3) {
		e = ovsdb_syntax_error(params, NULL, "invalid parameters");
	} else {
		char *old = id_text(json_array_get(params, 0));

		m = find(c, old);
		free(old);
		if (!m || m->version == 1)
			e = ovsdb_syntax_error(json_array_get(params, 0), NULL,
					       "unknown monitor session");
	}
	char *new = id_text(json_array_get(params, 1));
	if (!e && strcmp(new, m->id) && find(c, new))
		e = ovsdb_syntax_error(json_array_get(params, 1), NULL, "duplicate monitor ID");
	if (!e)
		e = ovsdb_monitor_with_conditions(&spec, m->spec, json_array_get(params, 2));
	if (e) {
		free(new);
		session_reply_error(c, id, e);
		return;
	}
	struct ovsdb_buf *body = ovsdb_monitor_transition(m->spec, spec);
	hmap_remove(&c->monitors, &m->node);
	list_remove(&m->spec_node);
	ovsdb_monitor_unref(m->spec);
	free(m->id);
	m->spec = spec;
	m->id = new;
	hmap_insert(&c->monitors, &m->node, hash_string(new));
	list_push_back(&spec->subscribers, &m->spec_node);
	if (body)
		send_update(m, &m->db->history.last_id, body);
	ovsdb_buf_unref(body);
	session_reply(c, id, "{}", 2);
}

void monitor_cancel(struct session *c, const json_t *id, const json_t *params)
{
	char *old = id_text(json_array_get(params, 0));
	struct session_monitor *m = json_array_size(params) == 1 ? find(c, old) : NULL;

	free(old);
	if (json_array_size(params) != 1) {
		session_reply_error(c, id, ovsdb_syntax_error(params, NULL, "invalid parameters"));
	} else if (!m) {
		static const char error[] = ",\"result\":null,\"error\":\"unknown monitor\"}";
		struct str s = STR_INIT;

		str_puts(&s, "{\"id\":");
		json_put_value(&s, id);
		str_puts(&s, error);
		stream_send(c->stream, s.s, s.len);
		str_free(&s);
	} else {
		destroy(m);
		session_reply(c, id, "{}", 2);
	}
}

/* --- publishing ---------------------------------------------------------------------------------
 */

void monitor_publish(struct served_db *d, struct ovsdb_txn *t)
{
	VEC(struct ovsdb_monitor_spec *) specs = {0};
	ovsdb_change_vec changes = {0};
	struct ovsdb_table *last = NULL;

	history_changes(t, &changes);
	d->db->n_commits++; /* cached initial contents are stale from here on */
	VEC_FOR_EACH (ch, &changes) {
		if (ch->table == last)
			continue;
		last = ch->table;
		LIST_FOR_EACH (mt, struct ovsdb_monitor_table, node, &ch->table->monitors) {
			if (mt->spec->is_marked)
				continue;
			mt->spec->is_marked = true;
			vec_push(&specs, mt->spec);
		}
	}
	history_add(&d->history, changes.at, changes.len);
	VEC_FOR_EACH (s, &specs) {
		struct ovsdb_buf *body = ovsdb_monitor_update(*s, changes.at, changes.len);

		(*s)->is_marked = false;
		if (body)
			LIST_FOR_EACH (m, struct session_monitor, spec_node, &(*s)->subscribers)
				send_update(m, &d->history.last_id, body);
		ovsdb_buf_unref(body);
	}
	history_trim(&d->history);
	vec_free(&specs);
	vec_free(&changes);
}

void monitor_session_gone(struct session *c)
{
	HMAP_FOR_EACH_SAFE (m, struct session_monitor, node, &c->monitors)
		destroy(m);
	hmap_destroy(&c->monitors);
}

void monitor_db_gone(struct served_db *d)
{
	LIST_FOR_EACH (c, struct session, node, &d->server->sessions) {
		HMAP_FOR_EACH_SAFE (m, struct session_monitor, node, &c->monitors) {
			if (m->db != d)
				continue;
			if (c->change_aware) {
				char *params = xasprintf("[%s]", m->id);

				session_notify(c, "monitor_canceled", params, strlen(params));
				free(params);
			} else {
				session_doom(c, "monitored database is gone or converted");
			}
			destroy(m);
		}
	}
}
