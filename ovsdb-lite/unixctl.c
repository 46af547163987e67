/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/unixctl.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/base/hmap.h"
#include "datapath/base/log.h"
#include "datapath/base/hash.h"
#include "datapath/base/vec.h"
#include "ovsdb-lite/address.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/stream.h"

enum { MAX_CONNECTIONS = 64, MAX_ARGS = 128 };

struct command {
	struct hmap_node node;
	const char *name, *usage;
	int min_args, max_args;
	unixctl_handler fn;
	void *aux;
};

struct connection {
	struct list node;
	struct unixctl *unixctl;
	struct stream *stream;
	struct unixctl_call *call; /* the one request being answered */
	bool json, is_doomed;
	struct unixctl_peer peer;
};

struct unixctl_call {
	struct connection *connection; /* NULL once the client is gone */
	json_t *id;
	bool json;
	struct unixctl_peer peer;
};

struct unixctl {
	struct event_base *base;
	struct stream_hub hub;
	char *path, *program;
	int fd;
	struct event *accept, *reap;
	struct hmap commands;
	struct list connections;
	unsigned n_connections;
};

/* --- commands -----------------------------------------------------------------------------------
 */

static struct command *find(const struct unixctl *u, const char *name)
{
	HMAP_FOR_EACH_WITH_HASH (c, struct command, node, hash_string(name), &u->commands)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

void unixctl_register(struct unixctl *u, const char *name, const char *usage, int min_args,
		      int max_args, unixctl_handler fn, void *aux)
{
	struct command *c = find(u, name);

	if (!c) {
		c = xzalloc(sizeof *c);
		c->name = name;
		hmap_insert(&u->commands, &c->node, hash_string(name));
	}
	c->usage = usage;
	c->min_args = min_args;
	c->max_args = max_args;
	c->fn = fn;
	c->aux = aux;
}

static void answer(struct unixctl_call *call, const char *text, bool is_error, bool is_json)
{
	struct connection *c = call->connection;
	struct str s = STR_INIT;

	if (c) {
		str_puts(&s, "{\"id\":");
		json_put_value(&s, call->id);
		str_puts(&s, is_error ? ",\"result\":null,\"error\":" : ",\"result\":");
		if (is_json) {
			str_puts(&s, text);
		} else if (call->json && !is_error) {
			str_puts(&s, "{\"reply-format\":\"plain\",\"reply\":");
			json_put_string(&s, text, strlen(text));
			str_putc(&s, '}');
		} else {
			json_put_string(&s, text, strlen(text));
		}
		str_puts(&s, is_error ? "}" : ",\"error\":null}");
		c->call = NULL;
		if (!c->is_doomed)
			stream_send(c->stream, s.s, s.len);
		str_free(&s);
	}
	json_decref(call->id);
	free(call);
}

void unixctl_reply(struct unixctl_call *call, const char *text)
{
	answer(call, text, false, false);
}

void unixctl_error(struct unixctl_call *call, const char *text)
{
	size_t n = strlen(text);

	if (n && text[n - 1] == '\n') {
		answer(call, text, true, false);
	} else {
		char *line = xasprintf("%s\n", text); /* ovs-appctl prints it as it is */

		answer(call, line, true, false);
		free(line);
	}
}

struct unixctl_peer unixctl_peer_of(const struct unixctl_call *call)
{
	return call->peer;
}

bool unixctl_wants_json(const struct unixctl_call *call)
{
	return call->json;
}

void unixctl_reply_json(struct unixctl_call *call, const char *json_text)
{
	answer(call, json_text, false, true);
}

static void run(struct connection *c, struct unixctl_call *call, const char *method,
		const json_t *params)
{
	const struct command *cmd = find(c->unixctl, method);
	size_t n = json_array_size(params);
	const char *argv[MAX_ARGS + 2] = {method};
	char *text = NULL;

	if (!cmd)
		text = xasprintf("\"%s\" is not a valid command (use \"list-commands\" to see a "
				 "list of valid commands)",
				 method);
	else if (n < (size_t)cmd->min_args)
		text = xasprintf("\"%s\" command requires at least %d arguments", method,
				 cmd->min_args);
	else if (n > (size_t)SL_MIN(cmd->max_args, MAX_ARGS))
		text = xasprintf("\"%s\" command takes at most %d arguments", method,
				 SL_MIN(cmd->max_args, MAX_ARGS));
	for (size_t i = 0; !text && i < n; i++) {
		argv[i + 1] = json_string_value(json_array_get(params, i));
		if (!argv[i + 1])
			text = xasprintf("\"%s\" command has non-string argument", method);
	}
	if (text) {
		unixctl_error(call, text);
		free(text);
		return;
	}
	cmd->fn(call, (int)n + 1, argv, cmd->aux);
}

/* --- connections --------------------------------------------------------------------------------
 */

static void doom(struct connection *c)
{
	c->is_doomed = true;
	event_active(c->unixctl->reap, EV_TIMEOUT, 1);
}

static void on_message(void *aux, json_t *msg)
{
	struct connection *c = aux;
	const char *method = json_string_value(json_object_get(msg, "method"));
	const json_t *params = json_object_get(msg, "params");
	json_t *id = json_object_get(msg, "id");

	if (c->is_doomed)
		return;
	if (!method || !json_is_array(params) || !id || c->call) { /* one at a time */
		doom(c);
		return;
	}
	struct unixctl_call *call = xzalloc(sizeof *call);
	call->connection = c;
	call->id = json_incref(id);
	call->json = c->json;
	call->peer = c->peer;
	c->call = call;
	if (!strcmp(method, "set-options")) {
		const char *flag = json_string_value(json_array_get(params, 0));
		const char *value = json_string_value(json_array_get(params, 1));

		if (json_array_size(params) == 2 && flag && value && !strcmp(flag, "--format") &&
		    (!strcmp(value, "json") || !strcmp(value, "text"))) {
			call->json = false;
			unixctl_reply(call, "");
			c->json = !strcmp(value, "json");
		} else {
			unixctl_error(call, "set-options: only --format json|text is known");
		}
		return;
	}
	run(c, call, method, params);
}

static void on_dead(void *aux, const char *why)
{
	doom(aux);
}

static void connection_destroy(struct connection *c)
{
	if (c->call)
		c->call->connection = NULL;
	stream_close(c->stream);
	list_remove(&c->node);
	c->unixctl->n_connections--;
	free(c);
}

static void on_reap(evutil_socket_t fd, short what, void *aux)
{
	struct unixctl *u = aux;

	LIST_FOR_EACH_SAFE (c, struct connection, node, &u->connections)
		if (c->is_doomed)
			connection_destroy(c);
}

static void on_accept(evutil_socket_t fd, short what, void *aux)
{
	static const struct stream_ops ops = {on_message, on_dead};
	static const struct stream_limits limits = {32 << 20, 256u << 20, 100};
	struct unixctl *u = aux;
	struct ucred cred;
	socklen_t cred_len = sizeof cred;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (peer < 0)
		return;
	if (u->n_connections >= MAX_CONNECTIONS) {
		close(peer);
		return;
	}
	struct connection *c = xzalloc(sizeof *c);
	c->unixctl = u;
	if (!getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len))
		c->peer = (struct unixctl_peer){cred.pid, cred.uid};
	c->stream = stream_create(&u->hub, peer, NULL, &limits, &ops, c);
	list_push_back(&u->connections, &c->node);
	u->n_connections++;
}

/* --- built-in commands --------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct command *const *)a)->name, (*(struct command *const *)b)->name);
}

static void list_commands(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct unixctl *u = aux;
	VEC(struct command *) all = {0};
	struct str s = STR_INIT;

	HMAP_FOR_EACH (c, struct command, node, &u->commands)
		vec_push(&all, c);
	qsort(all.at, all.len, sizeof *all.at, by_name);
	str_puts(&s, "The available commands are:\n");
	VEC_FOR_EACH (c, &all)
		str_printf(&s, "  %-23s %s\n", (*c)->name, (*c)->usage);
	unixctl_reply(call, str_cstr(&s));
	str_free(&s);
	vec_free(&all);
}

static void version(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct unixctl *u = aux;
	char *line = xasprintf("%s\n", u->program);

	unixctl_reply(call, line);
	free(line);
}

static void put_module(const struct log_module *m, void *aux)
{
	str_printf(aux, "%-16s %4s       %4s       %4s\n", m->name, log_level_name(m->to_console),
		   "OFF", log_level_name(m->to_file));
}

static void vlog_list(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct str s = STR_INIT;

	str_puts(&s, "                 console    syslog    file\n"
		     "                 -------    ------    ------\n");
	log_for_each_module(put_module, &s);
	unixctl_reply(call, str_cstr(&s));
	str_free(&s);
}

static void vlog_list_pattern(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call,
		      "         prefix                            format\n"
		      "         ------                            ------\n"
		      "CONSOLE  none                              TIME|SEQ|MODULE|LEVEL|TEXT\n"
		      "FILE     none                              TIME|SEQ|MODULE|LEVEL|TEXT\n");
}

static void vlog_set(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct err e = {0};

	for (int i = 1; i < argc && !e.code; i++)
		if (strncmp(argv[i], "PATTERN:", 8) && strncmp(argv[i], "FACILITY:", 9))
			log_set_levels(argv[i], &e);
	if (e.code)
		unixctl_error(call, e.text);
	else
		unixctl_reply(call, "");
}

static void vlog_reopen(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	int rc = log_reopen();

	if (rc)
		unixctl_error(call, strerror(-rc));
	else
		unixctl_reply(call, "");
}

static void vlog_close(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	log_close_file();
	unixctl_reply(call, "");
}

static void accept_silently(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call, "");
}

static void coverage_show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_reply(call, "0 events never hit\n");
}

static void coverage_read(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	unixctl_error(call, "No such counter");
}

static void register_builtin(struct unixctl *u)
{
	static const struct {
		const char *name, *usage;
		int min, max;
		unixctl_handler fn;
	} commands[] = {
		{"list-commands", "", 0, 0, list_commands},
		{"version", "", 0, 0, version},
		{"vlog/list", "", 0, 0, vlog_list},
		{"vlog/list-pattern", "", 0, 0, vlog_list_pattern},
		{"vlog/set", "{spec | PATTERN:destination:pattern}", 1, INT_MAX, vlog_set},
		{"vlog/reopen", "", 0, 0, vlog_reopen},
		{"vlog/close", "", 0, 0, vlog_close},
		{"vlog/enable-rate-limit", "[module]...", 0, INT_MAX, accept_silently},
		{"vlog/disable-rate-limit", "[module]...", 0, INT_MAX, accept_silently},
		{"coverage/show", "", 0, 0, coverage_show},
		{"coverage/read-counter", "COUNTER", 1, 1, coverage_read},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(commands); i++)
		unixctl_register(u, commands[i].name, commands[i].usage, commands[i].min,
				 commands[i].max, commands[i].fn, u);
}

/* --- life ---------------------------------------------------------------------------------------
 */

int unixctl_create(struct unixctl **out, struct event_base *base, const char *path,
		   const char *program, struct err *e)
{
	char *target = xasprintf("punix:%s", path);
	struct address a;
	int fd = address_parse(&a, target, e);

	free(target);
	if (!fd)
		fd = address_listen(&a, e);
	if (fd < 0) {
		err_prefix(e, "%s", path);
		return fd;
	}
	struct unixctl *u = xzalloc(sizeof *u);
	u->base = base;
	u->fd = fd;
	u->path = xstrdup(path);
	u->program = xstrdup(program);
	list_init(&u->connections);
	stream_hub_init(&u->hub, base);
	u->reap = event_new(base, -1, 0, on_reap, u);
	u->accept = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, u);
	event_add(u->accept, NULL);
	register_builtin(u);
	*out = u;
	return 0;
}

void unixctl_destroy(struct unixctl *u)
{
	if (!u)
		return;
	LIST_FOR_EACH_SAFE (c, struct connection, node, &u->connections) {
		stream_flush(c->stream);
		connection_destroy(c);
	}
	HMAP_FOR_EACH_SAFE (c, struct command, node, &u->commands)
		free(c);
	hmap_destroy(&u->commands);
	event_free(u->accept);
	event_free(u->reap);
	stream_hub_destroy(&u->hub);
	close(u->fd);
	unlink(u->path);
	free(u->path);
	free(u->program);
	free(u);
}
