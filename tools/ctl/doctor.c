/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs the checks and keeps what they find. */
#include "tools/ctl/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl/handlers.h"
#include "tools/ctl/rate.h"
#include "tools/ctl/table.h"

static const struct check {
	const char *name, *about;
	unsigned group;
	void (*run)(struct doctor *d);
} checks[] = {
#define CHECK(id, group, about) {#id, about, DOCTOR_##group, check_##id},
#include "tools/ctl/doctor_checks.def"
#undef CHECK
};

const char *doctor_severity_name(enum doctor_severity s)
{
	switch (s) {
	case DOCTOR_NOTE:
		return "note";
	case DOCTOR_WARNING:
		return "warning";
	case DOCTOR_ERROR:
		return "error";
	}
	return "";
}

void doctor_find(struct doctor *d, enum doctor_severity severity, const char *object,
		 const char *remedy, const char *fmt, ...)
{
	struct str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_vprintf(&text, fmt, ap);
	va_end(ap);
	vec_push(&d->findings, (struct doctor_finding){severity, d->check, xstrdup(object),
						       str_steal(&text), xstrdup(remedy)});
}

bool doctor_line(const struct doctor *d, char *buf, size_t n, const char *path, ...)
{
	struct str full = STR_INIT;
	va_list ap;
	FILE *f;
	bool good;
	str_puts(&full, d->root);
	va_start(ap, path);
	str_vprintf(&full, path, ap);
	va_end(ap);
	f = fopen(str_cstr(&full), "re");
	str_free(&full);
	good = f && fgets(buf, (int)n, f);
	if (f)
		fclose(f);
	if (good)
		buf[strcspn(buf, "\n")] = '\0';
	else
		buf[0] = '\0';
	return good;
}

uint64_t doctor_number(const struct doctor *d, const char *path, const char *key, uint64_t fallback)
{
	char *full = xasprintf("%s%s", d->root, path), line[256];
	size_t n = strlen(key);
	FILE *f = fopen(full, "re");
	free(full);
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, n) && line[n] == ':') {
			fallback = strtoull(line + n + 1, NULL, 10);
			break;
		}
	if (f)
		fclose(f);
	return fallback;
}

/* Severe ones first; otherwise the order of the table. */
static void sort(struct doctor *d)
{
	VEC(struct doctor_finding) sorted = {0};
	for (int s = DOCTOR_ERROR; s >= DOCTOR_NOTE; s--)
		VEC_FOR_EACH (f, &d->findings)
			if ((int)f->severity == s)
				vec_push(&sorted, *f);
	if (sorted.len)
		memcpy(d->findings.at, sorted.at, sorted.len * sizeof *sorted.at);
	vec_free(&sorted);
}

void doctor_run(struct doctor *d, const struct command_call *c, unsigned groups,
		uint64_t interval_us)
{
	struct err e = {0};
	struct api_client *client;
	*d = (struct doctor){.c = c, .root = ""};
	if (command_option(c, "root"))
		d->root = command_option(c, "root");
	client = facts_connect(c, &e);
	if (client) {
		facts_read(c, client, false, &d->before);
		usleep((useconds_t)interval_us);
	}
	facts_read(c, client, true, &d->now);
	if (!client)
		memcpy(d->now.datapath_error, e.text, sizeof e.text);
	api_close(client);
	for (size_t i = 0; i < SL_ARRAY_SIZE(checks); i++) {
		d->check = checks[i].name;
		if (groups & checks[i].group)
			checks[i].run(d);
	}
	sort(d);
}

void doctor_free(struct doctor *d)
{
	VEC_FOR_EACH (f, &d->findings) {
		free(f->object);
		free(f->text);
		free(f->remedy);
	}
	vec_free(&d->findings);
	facts_free(&d->before);
	facts_free(&d->now);
}

/* ---- the command ---- */

static void print_text(const struct doctor *d)
{
	VEC_FOR_EACH (f, &d->findings)
		printf("%-8s %s%s%s\n         → %s\n", doctor_severity_name(f->severity), f->object,
		       f->object[0] ? ": " : "", f->text, f->remedy);
	if (!d->findings.len)
		puts("nothing found");
}

static void print_as_json(const struct doctor *d)
{
	json_t *list = json_array();
	VEC_FOR_EACH (f, &d->findings)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
						      doctor_severity_name(f->severity), "check",
						      f->check, "object", f->object, "text",
						      f->text, "remedy", f->remedy));
	print_json(json_pack("{s:o}", "findings", list), false);
}

static int list_checks(const struct command_call *c)
{
	static const struct table_column columns[] = {{"CHECK", "check", TABLE_TEXT},
						      {"GROUP", "group", TABLE_TEXT},
						      {"WHAT IT LOOKS AT", "about", TABLE_TEXT},
						      {NULL, NULL, TABLE_TEXT}};
	struct table *t = table_create(c, "checks", columns);
	for (size_t i = 0; i < SL_ARRAY_SIZE(checks); i++) {
		table_row(t);
		table_text(t, checks[i].name);
		table_text(t, checks[i].group == DOCTOR_HOST     ? "host"
			      : checks[i].group == DOCTOR_CONFIG ? "configuration"
								 : "running");
		table_text(t, checks[i].about);
	}
	table_finish(t);
	return EXIT_OK;
}

int cmd_doctor(struct command_call *c)
{
	struct doctor d;
	enum doctor_severity worst = DOCTOR_NOTE;
	uint64_t interval_us;
	int rc = rate_options(c, 1.0, &interval_us, NULL);
	if (rc)
		return rc;
	if (command_option(c, "list"))
		return list_checks(c);
	doctor_run(&d, c, DOCTOR_HOST | DOCTOR_CONFIG | DOCTOR_RUNNING, interval_us);
	if (c->json)
		print_as_json(&d);
	else
		print_text(&d);
	if (d.findings.len)
		worst = d.findings.at[0].severity;
	doctor_free(&d);
	return worst == DOCTOR_ERROR || (worst == DOCTOR_WARNING && command_option(c, "strict"))
		       ? EXIT_FAILED
		       : EXIT_OK;
}
