/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice events: the datapath keeps its last 65,536 events; they are printed as lines, and those to
 * come with --follow. JSON: one object per line, the kind by name, the time as ISO 8601. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/ctl/handlers.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/rule_text.h"

enum { QUIET_MS = 500 }; /* no event for so long: there are no older ones left to come */

struct watching {
	bool json, done, follow;
	uint64_t left; /* 0: no end */
	uint64_t last; /* number of the newest event when we began; without --follow the last one */
};

static void format_time(uint64_t ms, char *buf, size_t n)
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	char text[32];
	gmtime_r(&s, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, n, "%s.%03uZ", text, (unsigned)(ms % 1000));
}

/* "key=value key=value", nested objects as JSON. */
static void print_words(json_t *o)
{
	const char *key;
	json_t *v;
	json_object_foreach(o, key, v)
	{
		char *text;
		if (!strcmp(key, "event") || !strcmp(key, "event_seq") || !strcmp(key, "time") ||
		    !strcmp(key, "time_ms"))
			continue;
		if (json_is_string(v)) {
			if (json_string_length(v))
				printf(" %s=%s", key, json_string_value(v));
			continue;
		}
		text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		printf(" %s=%s", key, text ? text : "?");
		free(text);
	}
}

static void print_event(struct attrs a, void *aux)
{
	struct watching *w = aux;
	uint64_t kind = attrs_u64(a, ATTR_EVENT, API_EVENT_N);
	struct str s = STR_INIT;
	char time[48];
	json_t *o;
	if (w->done)
		return;
	attrs_format_json(a, &s);
	o = json_loads(str_cstr(&s), 0, NULL);
	str_free(&s);
	if (!o)
		return;
	if (attrs_has(a, ATTR_RULE)) {
		char *rule = rule_text(attr_nest(attrs_find(a, ATTR_RULE)));
		json_object_set_new(o, "rule", json_string(rule));
		free(rule);
	}
	format_time(attrs_u64(a, ATTR_TIME_MS, 0), time, sizeof time);
	json_object_set_new(o, "event",
			    json_string(kind < API_EVENT_N ? api_event_names[kind] : "unknown"));
	json_object_set_new(o, "time", json_string(time));
	if (w->json) {
		print_json(json_incref(o), true);
	} else {
		printf("%s %-12s", time, json_string_value(json_object_get(o, "event")));
		print_words(o);
		putchar('\n');
		fflush(stdout);
	}
	json_decref(o);
	w->done = ferror(stdout) || (w->left && !--w->left) ||
		  (!w->follow && attrs_u64(a, ATTR_EVENT_SEQ, 0) >= w->last);
}

static void take_next_seq(struct attrs a, void *aux)
{
	*(uint64_t *)aux = attrs_u64(a, ATTR_EVENT_SEQ, 1);
}

static int subscribe(struct api_client *client, struct watching *w, struct err *e)
{
	uint64_t next = 1;
	struct msg m;
	int rc;
	msg_init(&m, API_STATUS, 0);
	rc = api_call(client, &m, take_next_seq, &next, e);
	if (rc)
		return rc;
	w->last = next - 1;
	if (!w->last && !w->follow) {
		w->done = true;
		return 0;
	}
	api_on_event(client, print_event, w);
	msg_init(&m, API_SUBSCRIBE, 0);
	msg_put_u64(&m, ATTR_EVENT_MASK, (1ull << API_EVENT_N) - 1);
	if (w->last)
		msg_put_u64(&m, ATTR_EVENT_SEQ, 1);
	return api_call(client, &m, NULL, NULL, e);
}

int cmd_events(struct command_call *c)
{
	struct watching w = {.json = c->json, .follow = command_option(c, "follow")};
	const char *count = command_option(c, "count");
	struct api_client *client;
	struct err e = {0};
	int rc;
	if (count && (!parse_u64(count, 10, UINT32_MAX, &w.left) || !w.left))
		return command_usage(c, "--count %s: not a number above 0", count);
	client = command_datapath(c, false);
	if (!client)
		return EXIT_FAILED;
	rc = subscribe(client, &w, &e);
	while (!rc && !w.done) {
		struct pollfd p = {.fd = api_client_fd(client), .events = POLLIN};
		int n = poll(&p, 1, w.follow ? -1 : QUIET_MS);
		if (!n)
			break;
		if (n > 0 && api_client_run(client))
			rc = err_set(&e, ECONNRESET, "the datapath has gone");
	}
	api_close(client);
	return rc ? command_fail_err(&e) : EXIT_OK;
}
