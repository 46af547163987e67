/* SPDX-License-Identifier: BSD-3-Clause */
/* Talking to the two daemons: the datapath's api directly, sluiced over JSON-RPC 1.0. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/ctl/command.h"

char *command_path(const struct command_call *c, const char *name)
{
	return xasprintf("%s/%s", c->rundir, name);
}

struct api_client *command_datapath(const struct command_call *c, bool writer)
{
	char *path = command_path(c, "datapath.sock");
	struct api_client *client = NULL;
	struct err e = {0};
	if (api_connect(path, "sluice " SLUICE_VERSION, writer, &client, &e))
		command_fail_err(&e);
	free(path);
	return client;
}

struct dump {
	command_object_fn fn;
	void *aux;
};

static void each(struct attrs a, void *aux)
{
	struct dump *d = aux;
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_OBJECT)
			d->fn(attr_nest(it), d->aux);
}

int command_dump_on(struct api_client *client, struct msg *request, command_object_fn fn, void *aux,
		    struct err *e)
{
	struct dump d = {fn, aux};
	return api_call(client, request, each, &d, e);
}

int command_dump(const struct command_call *c, struct msg *request, command_object_fn fn, void *aux)
{
	struct api_client *client = command_datapath(c, false);
	struct dump d = {fn, aux};
	struct err e = {0};
	int rc;
	if (!client) {
		msg_free(request);
		return EXIT_FAILED;
	}
	rc = api_call(client, request, each, &d, &e);
	api_close(client);
	return rc ? command_fail_err(&e) : EXIT_OK;
}

bool command_socket_accepts(const struct command_call *c, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char *path = command_path(c, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	good = fd >= 0 && !connect(fd, (struct sockaddr *)&sun, sizeof sun);
	if (fd >= 0)
		close(fd);
	free(path);
	return good;
}

static int connect_sluiced(const struct command_call *c)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char *path = command_path(c, "sluiced.sock");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun)) {
		command_fail("%s: %s%s", path, strerror(errno),
			     errno == ENOENT || errno == ECONNREFUSED
				     ? ": sluiced is not running (sluice up starts it)"
				     : "");
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	free(path);
	return fd;
}

static bool send_all(int fd, const char *text)
{
	size_t left = strlen(text);
	while (left) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

static char *request_text(const char *method, const char *const *params, size_t n_params)
{
	json_t *list = json_array(), *req;
	char *text;
	for (size_t i = 0; i < n_params; i++)
		json_array_append_new(list, json_string(params[i]));
	req = json_pack("{s:s, s:o, s:i}", "method", method, "params", list, "id", 1);
	text = req ? json_dumps(req, JSON_COMPACT) : NULL;
	json_decref(req);
	return text;
}

/* `told`: where the error goes; NULL: to standard error. */
static int take_reply(const char *method, json_t *reply, char **out, char **told)
{
	const char *error = json_string_value(json_object_get(reply, "error"));
	const char *result = json_string_value(json_object_get(reply, "result"));
	size_t n = error ? strlen(error) : 0;
	if (error && told) {
		*told = xstrndup(error, error[n - (n > 0)] == '\n' ? n - 1 : n);
		return EXIT_FAILED;
	}
	if (error) /* a text may end with a newline */
		return command_fail("%.*s", (int)(n && error[n - 1] == '\n' ? n - 1 : n), error);
	if (!result)
		return command_fail("%s: sluiced closed the connection", method);
	*out = xstrdup(result);
	return EXIT_OK;
}

int command_sluiced_error(const struct command_call *c, const char *method,
			  const char *const *params, size_t n_params, char **reply, char **error)
{
	char *text = request_text(method, params, n_params);
	json_t *answer;
	int fd, rc;
	if (!text)
		return command_fail("%s: an argument is not UTF-8", method);
	fd = connect_sluiced(c);
	if (fd < 0) {
		free(text);
		return EXIT_FAILED;
	}
	if (!send_all(fd, text))
		rc = command_fail("%s: %s", method, strerror(errno));
	else {
		answer = json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL);
		rc = take_reply(method, answer, reply, error);
		json_decref(answer);
	}
	free(text);
	close(fd);
	return rc;
}

int command_sluiced(const struct command_call *c, const char *method, const char *const *params,
		    size_t n_params, char **reply)
{
	return command_sluiced_error(c, method, params, n_params, reply, NULL);
}
