/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of the configuration. All go through sluiced as transactions on the database; KEY=VALUE
 * words become a small net.yaml (JSON is YAML), so that a command and a file know the same keys. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"
#include "tools/ctl/utf8.h"
#include "tools/ctl/yaml_json.h"

enum { FILE_MAX = 16 << 20 };

/* key, key.sub → object; "key=" gives null, which takes the value back. */
static int put_setting(json_t *object, const char *word)
{
	const char *eq = strchr(word, '=');
	char *key, *dot;
	json_t *value, *into = object;
	if (!eq || eq == word)
		return command_fail("\"%s\": KEY=VALUE is wanted here", word);
	key = xstrndup(word, (size_t)(eq - word));
	dot = strchr(key, '.');
	value = eq[1] ? json_string(eq + 1) : json_null();
	if (!value) {
		free(key);
		return command_fail("\"%s\": not UTF-8", word);
	}
	if (dot) {
		*dot = '\0';
		into = json_object_get(object, key);
		if (!into) {
			into = json_object();
			json_object_set_new(object, key, into);
		}
	}
	json_object_set_new(into, dot ? dot + 1 : key, value);
	free(key);
	return EXIT_OK;
}

static int settings(json_t *object, const struct command_call *c, int from)
{
	int rc = EXIT_OK;
	for (int i = from; i < c->argc && !rc; i++)
		rc = put_setting(object, c->argv[i]);
	return rc;
}

static int send_text(const struct command_call *c, const char *flags, const char *file,
		     const char *text, bool print)
{
	const char *params[] = {flags, file, text};
	char *reply = NULL;
	int rc = command_sluiced(c, "net/apply", params, SL_ARRAY_SIZE(params), &reply);
	if (!rc && print)
		fputs(reply, stdout);
	free(reply);
	return rc;
}

/* Takes `net`. */
static int send_net(const struct command_call *c, const char *flags, json_t *net, int rc)
{
	char *text = json_dumps(net, JSON_COMPACT);
	if (!rc)
		rc = send_text(c, flags, "", text, false);
	free(text);
	json_decref(net);
	return rc;
}

static json_t *net_with(const char *bridge, json_t **bridge_object)
{
	*bridge_object = json_object();
	return json_pack("{s:{s:o}}", "bridges", bridge, *bridge_object);
}

static json_t *port_in(json_t *bridge, const char *port)
{
	json_t *o = json_object();
	json_object_set_new(bridge, "ports", json_pack("{s:o}", port, o));
	return o;
}

int cmd_bridge_add(struct command_call *c)
{
	json_t *bridge, *net = net_with(c->argv[0], &bridge);
	return send_net(c, "merge,create", net, settings(bridge, c, 1));
}

int cmd_bridge_set(struct command_call *c)
{
	json_t *bridge, *net = net_with(c->argv[0], &bridge);
	return send_net(c, "merge,existing", net, settings(bridge, c, 1));
}

int cmd_port_add(struct command_call *c)
{
	json_t *bridge, *net = net_with(c->argv[1], &bridge);
	json_t *port = port_in(bridge, c->argv[0]);
	return send_net(c, "merge,create,whole", net, settings(port, c, 2));
}

/* The bridge of a port; NULL after an error message. Caller frees. */
static char *bridge_of(const struct command_call *c, const char *port)
{
	char *bridge = NULL;
	command_sluiced(c, "net/port-to-bridge", &port, 1, &bridge);
	return bridge;
}

int cmd_port_set(struct command_call *c)
{
	char *name = bridge_of(c, c->argv[0]);
	json_t *bridge, *net;
	int rc;
	if (!name)
		return EXIT_FAILED;
	net = net_with(name, &bridge);
	rc = send_net(c, "merge,existing", net, settings(port_in(bridge, c->argv[0]), c, 1));
	free(name);
	return rc;
}

static int delete (struct command_call *c, const char *kind)
{
	const char *params[] = {kind, c->argv[0]};
	char *reply = NULL;
	int rc = command_sluiced(c, "net/delete", params, SL_ARRAY_SIZE(params), &reply);
	free(reply);
	return rc;
}

int cmd_bridge_del(struct command_call *c)
{
	return delete (c, "bridge");
}

int cmd_port_del(struct command_call *c)
{
	return delete (c, "port");
}

int cmd_poll_set(struct command_call *c)
{
	json_t *poll = json_object();
	json_t *net = json_pack("{s:o}", "poll", poll);
	return send_net(c, "merge", net, settings(poll, c, 0));
}

static int simple(struct command_call *c, const char *method, size_t n)
{
	char *reply = NULL;
	int rc = command_sluiced(c, method, (const char *const *)c->argv, n, &reply);
	if (!rc)
		fputs(reply, stdout);
	free(reply);
	return rc;
}

int cmd_mac_add(struct command_call *c)
{
	return simple(c, "net/mac-add", 3);
}

int cmd_mac_flush(struct command_call *c)
{
	return simple(c, "fdb/flush", (size_t)c->argc);
}

int cmd_export(struct command_call *c)
{
	char *reply = NULL;
	json_t *json;
	int rc = command_sluiced(c, "net/export", NULL, 0, &reply);
	if (!rc && c->json) {
		json = yaml_json(reply);
		if (json)
			json_dumpf(json, stdout, JSON_INDENT(3) | JSON_SORT_KEYS);
		else
			rc = command_fail("the configuration cannot be said as JSON");
		putchar('\n');
		json_decref(json);
	} else if (!rc) {
		fputs(reply, stdout);
	}
	free(reply);
	return rc;
}

static char *read_file(const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	struct str text = STR_INIT;
	char buffer[65536], *good = NULL;
	unsigned line;
	size_t n;
	if (!f) {
		command_fail("%s: %s", path, strerror(errno));
		return NULL;
	}
	while (text.len <= FILE_MAX && (n = fread(buffer, 1, sizeof buffer, f)))
		str_put(&text, buffer, n);
	if (ferror(f)) /* a directory, for one */
		command_fail("%s: %s", path, strerror(errno));
	else if (text.len > FILE_MAX)
		command_fail("%s: more than %d MiB", path, FILE_MAX >> 20);
	else if (text.len && memchr(text.s, 0, text.len))
		command_fail("%s: not a text file", path);
	else if ((line = utf8_bad_line(str_cstr(&text), text.len)))
		command_fail("%s:%u: not UTF-8", path, line);
	else if (!text.len || strspn(text.s, " \t\r\n") == text.len)
		command_fail("%s: empty (\"bridges: {}\" removes what the file has made)", path);
	else
		good = str_steal(&text);
	if (f != stdin)
		fclose(f);
	str_free(&text);
	return good;
}

int cmd_apply(struct command_call *c)
{
	char *text = read_file(c->argv[0]), flags[32];
	int rc;
	if (!text)
		return EXIT_FAILED;
	snprintf(flags, sizeof flags, "whole%s%s", command_option(c, "dry-run") ? ",dry-run" : "",
		 command_option(c, "prune") ? ",prune" : "");
	rc = send_text(c, flags, c->argv[0], text, true);
	free(text);
	return rc;
}
