/* SPDX-License-Identifier: BSD-3-Clause */
/* See policy_load.h. */
#include "tools/ctl/policy_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "tools/ctl/utf8.h"

enum { FILE_MAX = 64 << 20 };

char *policy_load_read(const char *path, size_t *len)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	struct str text = STR_INIT;
	char buffer[65536];
	unsigned line;
	size_t n;
	bool bad;
	if (!f) {
		command_fail("%s: %s", path, strerror(errno));
		return NULL;
	}
	while (text.len <= FILE_MAX && (n = fread(buffer, 1, sizeof buffer, f)))
		str_put(&text, buffer, n);
	bad = ferror(f);
	if (f != stdin)
		fclose(f);
	if (bad || text.len > FILE_MAX) {
		command_fail("%s: %s", path, bad ? "cannot be read" : "too large");
		str_free(&text);
		return NULL;
	}
	*len = text.len;
	line = utf8_bad_line(str_cstr(&text), text.len);
	if (line) {
		command_fail("%s:%u: not UTF-8", path, line);
		str_free(&text);
		return NULL;
	}
	return str_steal(&text);
}

static struct policy *parse(const char *name, const char *text, size_t len)
{
	struct policy_text t = {name, text, len};
	struct policy *p;
	struct err e = {0};
	if (policy_read(&p, &t, 1, clock_wall_ms(), &e))
		command_fail_err(&e);
	return p;
}

struct policy *policy_load_file(const char *path)
{
	size_t len;
	char *text = policy_load_read(path, &len);
	struct policy *p = text ? parse(path, text, len) : NULL;
	free(text);
	return p;
}

struct document {
	bool seen;
	char *text;
};

static void take_document(struct attrs o, void *aux)
{
	struct document *d = aux;
	size_t len = 0;
	const void *text = attrs_bytes(o, ATTR_POLICY_DOCUMENT, &len);
	if (d->seen)
		return;
	d->seen = true;
	d->text = xstrndup(text ? text : "", len);
}

char *policy_load_text(const struct command_call *c)
{
	struct document d = {0};
	struct msg m;
	msg_init(&m, API_POLICY, 0);
	if (command_dump(c, &m, take_document, &d)) {
		free(d.text);
		return NULL;
	}
	return d.text ? d.text : xstrdup("");
}

struct policy *policy_load_active(const struct command_call *c)
{
	char *text = policy_load_text(c);
	struct policy *p = text ? parse("policy in force", text, strlen(text)) : NULL;
	free(text);
	return p;
}

struct policy *policy_load(const struct command_call *c)
{
	const char *file = command_option(c, "file");
	return file ? policy_load_file(file) : policy_load_active(c);
}
