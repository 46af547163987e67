/* SPDX-License-Identifier: BSD-3-Clause */
/* Locks (RFC 7047 §4.1.8–4.1.10): one name space per server. The first in a lock's line owns it. */
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/server_priv.h"

struct lock {
	struct hmap_node node; /* server->locks */
	struct list waiters;
	char name[];
};

struct lock_waiter {
	struct list lock_node, session_node;
	struct lock *lock;
	struct session *session;
};

static struct lock *find(struct ovsdb_server *s, const char *name)
{
	HMAP_FOR_EACH_WITH_HASH (l, struct lock, node, hash_string(name), &s->locks)
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

static struct lock_waiter *owner(const struct lock *l)
{
	return list_is_empty(&l->waiters)
		       ? NULL
		       : LIST_ENTRY(l->waiters.next, struct lock_waiter, lock_node);
}

static struct lock_waiter *waiter_of(struct session *c, const char *name)
{
	LIST_FOR_EACH (w, struct lock_waiter, session_node, &c->locks)
		if (!strcmp(w->lock->name, name))
			return w;
	return NULL;
}

static void notify(const struct lock_waiter *w, const char *what)
{
	char *params = xasprintf("[\"%s\"]", w->lock->name);

	session_notify(w->session, what, params, strlen(params));
	free(params);
}

static void leave(struct lock_waiter *w)
{
	struct lock *l = w->lock;
	bool owned = owner(l) == w;

	list_remove(&w->lock_node);
	list_remove(&w->session_node);
	if (list_is_empty(&l->waiters)) {
		hmap_remove(&w->session->server->locks, &l->node);
		free(l);
	} else if (owned) {
		notify(owner(l), "locked");
	}
	free(w);
}

static const char *lock_name(struct session *c, const json_t *id, const json_t *params,
			     const char *method)
{
	const char *name = json_string_value(json_array_get(params, 0));

	if (json_array_size(params) == 1 && name && ovsdb_is_id(name))
		return name;
	session_reply_error(
		c, id, ovsdb_syntax_error(params, NULL, "%s request params must be <id>", method));
	return NULL;
}

void lock_request(struct session *c, const json_t *id, const json_t *params, bool steal)
{
	const char *method = steal ? "steal" : "lock";
	const char *name = lock_name(c, id, params, method);

	if (!name)
		return;
	if (waiter_of(c, name)) {
		session_reply_error(
			c, id,
			ovsdb_syntax_error(
				params, NULL,
				"%s: must issue \"unlock\" before new \"lock\" or \"steal\"",
				method));
		return;
	}
	struct lock *l = find(c->server, name);
	if (!l) {
		l = xzalloc(sizeof *l + strlen(name) + 1);
		memcpy(l->name, name, strlen(name) + 1);
		list_init(&l->waiters);
		hmap_insert(&c->server->locks, &l->node, hash_string(name));
	}
	struct lock_waiter *w = xzalloc(sizeof *w), *victim = owner(l);
	w->lock = l;
	w->session = c;
	list_push_back(&c->locks, &w->session_node);
	if (steal) {
		if (victim)
			notify(victim, "stolen");
		list_push_front(&l->waiters, &w->lock_node);
	} else {
		list_push_back(&l->waiters, &w->lock_node);
	}
	const char *result = owner(l) == w ? "{\"locked\":true}" : "{\"locked\":false}";
	session_reply(c, id, result, strlen(result));
}

void lock_unlock(struct session *c, const json_t *id, const json_t *params)
{
	const char *name = lock_name(c, id, params, "unlock");
	struct lock_waiter *w = name ? waiter_of(c, name) : NULL;

	if (!name)
		return;
	if (!w) {
		session_reply_error(
			c, id,
			ovsdb_syntax_error(params, NULL,
					   "unlock: \"unlock\" without \"lock\" or \"steal\""));
		return;
	}
	leave(w);
	session_reply(c, id, "{}", 2);
}

bool lock_is_owner(const char *name, void *session)
{
	struct session *c = session;
	struct lock *l = find(c->server, name);

	return l && owner(l)->session == c;
}

void lock_session_gone(struct session *c)
{
	while (!list_is_empty(&c->locks))
		leave(LIST_ENTRY(c->locks.next, struct lock_waiter, session_node));
}
