/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/vec.h"
#include "datapath/flow/tun_opt.h"

/* ---- tunnel options ---- */

struct options {
	const char *bridge;
	struct str *out;
};

static void take_options(struct attrs a, void *aux)
{
	const struct options *o = aux;
	size_t len = 0, n_places = 0;
	const uint8_t *p = attrs_bytes(a, ATTR_TLV_MAP, &len);
	const uint8_t *places = attrs_bytes(a, ATTR_TLV_PLACES, &n_places);
	if (strcmp(attrs_str(a, ATTR_NAME, ""), o->bridge) || !p || !len)
		return;
	if (o->out)
		str_puts(o->out, "tlv clear\n");
	for (struct api_tlv_map t; len >= sizeof t; p += sizeof t, len -= sizeof t) {
		memcpy(&t, p, sizeof t);
		if (n_places) {
			tun_opt_acquire_at(t.index, t.length, *places++, NULL);
			n_places--;
		} else {
			tun_opt_acquire(t.index, t.length, NULL);
		}
		if (o->out)
			str_printf(o->out, "tlv add {class=%#x,type=%#x,len=%u}->tun_metadata%u\n",
				   t.class, t.type, t.length, t.index);
	}
}

int rule_options_load(const struct command_call *c, const char *bridge, struct str *out)
{
	struct options o = {bridge, out};
	struct msg m;
	msg_init(&m, API_BRIDGES, 0);
	return command_dump(c, &m, take_options, &o);
}

/* ---- ports ---- */

static void add_port(struct attrs a, void *aux)
{
	struct rule_ports *p = aux;
	struct rule_port port = {.ofport = (uint32_t)attrs_u64(a, ATTR_OFPORT, 0)};
	const struct attr *status = attrs_find(a, ATTR_STATUS);
	if (!port.ofport && status)
		port.ofport = (uint32_t)attrs_u64(attr_nest(status), ATTR_OFPORT, 0);
	snprintf(port.name, sizeof port.name, "%s", attrs_str(a, ATTR_NAME, ""));
	p->at = xrealloc(p->at, (p->n + 1) * sizeof *p->at);
	p->at[p->n++] = port;
}

static bool by_name(void *aux, const char *name, uint32_t *ofport)
{
	const struct rule_ports *p = aux;
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->at[i].name, name)) {
			*ofport = p->at[i].ofport;
			return true;
		}
	return false;
}

static const char *name_of(void *aux, uint32_t ofport)
{
	const struct rule_ports *p = aux;
	for (size_t i = 0; i < p->n; i++)
		if (p->at[i].ofport == ofport)
			return p->at[i].name;
	return NULL;
}

int rule_ports_load(const struct command_call *c, const char *bridge, struct rule_ports *out)
{
	struct msg m;
	*out = (struct rule_ports){.text = {by_name, name_of, out}};
	msg_init(&m, API_PORTS, 0);
	msg_put_str(&m, ATTR_BRIDGE, bridge);
	int rc = command_dump(c, &m, add_port, out);
	return rc ? rc : rule_options_load(c, bridge, NULL);
}

void rule_ports_free(struct rule_ports *p)
{
	free(p->at);
}

/* ---- text ---- */

enum { TEXT_MAX = 1 << 30 };

char *rules_read(const char *file)
{
	bool std = !strcmp(file, "-");
	FILE *f = std ? stdin : fopen(file, "re");
	struct str s = STR_INIT;
	char buf[65536];
	size_t n;
	if (!f) {
		command_fail("%s: %s", file, strerror(errno));
		return NULL;
	}
	bool text = true;
	/* What is endless (a device) has zeros. */
	while (text && s.len <= TEXT_MAX && (n = fread(buf, 1, sizeof buf, f))) {
		text = !memchr(buf, '\0', n);
		str_put(&s, buf, n);
	}
	bool bad = ferror(f), long_ = s.len > TEXT_MAX;
	if (!std)
		fclose(f);
	if (!bad && !long_ && text)
		return str_steal(&s);
	if (long_)
		command_fail("%s: more than %u MiB", file, TEXT_MAX >> 20);
	else
		command_fail(bad ? "%s: cannot be read" : "%s: not text", file);
	str_free(&s);
	return NULL;
}

int rules_fail(const char *text, const char *error)
{
	unsigned line = 1, column;
	const char *at = error;
	int end = 0;
	command_fail("%s", error);
	if (sscanf(at, "line %u: %n", &line, &end) == 1)
		at += end;
	if (sscanf(at, "column %u:", &column) != 1)
		return EXIT_FAILED;
	while (--line && strchr(text, '\n'))
		text = strchr(text, '\n') + 1;
	size_t n = strcspn(text, "\n");
	if (column && column <= n + 1)
		fprintf(stderr, "  %.*s\n  %*s^\n", (int)n, text, (int)column - 1, "");
	return EXIT_FAILED;
}

/* `indent` columns of `text` stand in front of what the user typed. */
static int apply(const struct command_call *c, const char *bridge, const char *command,
		 const char *text, size_t indent)
{
	const char *params[] = {bridge, command, text};
	char *reply = NULL, *error = NULL;
	unsigned column;
	int rc = command_sluiced_error(c, "flow/apply", params, SL_ARRAY_SIZE(params), &reply,
				       &error);
	if (error && indent && sscanf(error, "column %u:", &column) == 1 && column > indent) {
		char *moved =
			xasprintf("column %u%s", column - (unsigned)indent, strchr(error, ':'));
		free(error);
		error = moved;
	}
	if (error)
		rc = rules_fail(text + indent, error);
	free(error);
	free(reply);
	return rc;
}

int rules_apply(const struct command_call *c, const char *bridge, const char *command,
		const char *text)
{
	return apply(c, bridge, command, text, 0);
}

int rules_apply_kind(const struct command_call *c, const char *kind, const char *command,
		     const char *spec)
{
	char *text = xasprintf("%s %s %s", kind, command, spec);
	int rc = apply(c, c->argv[0], command, text, strlen(text) - strlen(spec));
	free(text);
	return rc;
}
