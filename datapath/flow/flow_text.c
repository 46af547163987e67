/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole rules as text: see flow_text.h. */
#include "datapath/flow/flow_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"

static const struct {
	const char *name;
	uint16_t flag;
} flag_names[] = {
	{"send_flow_rem", RULE_SEND_FLOW_REM},  {"check_overlap", RULE_CHECK_OVERLAP},
	{"reset_counts", RULE_RESET_COUNTS},    {"no_packet_counts", RULE_NO_PKT_COUNTS},
	{"no_byte_counts", RULE_NO_BYT_COUNTS},
};

/* Where the actions begin: "actions=" or "action=" at the start of a word; NULL when there are
 * none. *value is behind the '='. */
static const char *find_actions(const char *text, const char **value)
{
	for (const char *s = text; (s = strstr(s, "action")); s++) {
		size_t len = s[6] == 's' ? 7 : 6;

		if ((s == text || strchr(", \t\r\n", s[-1])) && s[len] == '=') {
			*value = s + len + 1;
			return s;
		}
	}
	return NULL;
}

static int parse_num(const char *key, const char *value, uint64_t max, uint64_t *out, struct err *e)
{
	if (!value || !parse_u64(value, 0, max, out))
		return err_set(e, EINVAL, "%s: \"%s\" is not a number up to %" PRIu64, key,
			       value ? value : "", max);
	return 0;
}

static int parse_u16(const char *key, const char *value, uint16_t *out, struct err *e)
{
	uint64_t n;
	int rc = parse_num(key, value, UINT16_MAX, &n, e);

	if (!rc)
		*out = (uint16_t)n;
	return rc;
}

/* "value" or "value/mask", "value/-1". */
static int parse_cookie(struct flow_text *f, const char *value, struct err *e)
{
	char copy[64], *slash;
	int rc;

	if (!value || strlen(value) >= sizeof copy)
		return err_set(e, EINVAL, "cookie: needs a number");
	strcpy(copy, value);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = '\0';
	f->has_cookie = true;
	rc = parse_num("cookie", copy, UINT64_MAX, &f->cookie, e);
	if (rc || !slash)
		return rc;
	if (!strcmp(slash, "-1")) {
		f->cookie_mask = UINT64_MAX;
		return 0;
	}
	return parse_num("cookie", slash, UINT64_MAX, &f->cookie_mask, e);
}

struct parse {
	struct flow_text *f;
	const struct text_ports *ports;
};

static bool is_counter(const char *key)
{
	static const char *const names[] = {"duration", "n_packets", "n_bytes", "idle_age",
					    "hard_age"};

	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (!strcmp(key, names[i]))
			return true;
	return false;
}

static int parse_filter(struct parse *p, const char *key, const char *value, struct err *e)
{
	uint64_t n;
	int rc;

	if (!strcmp(key, "out_port")) {
		if (!value || !text_port_parse(p->ports, value, &p->f->out_port))
			return err_set(e, EINVAL, "out_port: no port \"%s\"", value ? value : "");
		return 0;
	}
	if (strcmp(key, "out_group"))
		return 1;
	rc = parse_num(key, value, UINT32_MAX, &n, e);
	if (!rc)
		p->f->out_group = (uint32_t)n;
	return rc;
}

static int parse_key(void *aux, const char *key, const char *value, struct err *e)
{
	struct parse *p = aux;
	struct flow_text *f = p->f;
	uint64_t n;
	int rc;

	if (!value) {
		for (size_t i = 0; i < SL_ARRAY_SIZE(flag_names); i++)
			if (!strcmp(key, flag_names[i].name)) {
				f->flags |= flag_names[i].flag;
				return 0;
			}
		return 1;
	}
	if (!strcmp(key, "table")) {
		rc = parse_num(key, value, 255, &n, e);
		if (!rc)
			f->table = (uint8_t)n;
		return rc;
	}
	if (!strcmp(key, "priority")) {
		f->has_priority = true;
		return parse_u16(key, value, &f->priority, e);
	}
	if (!strcmp(key, "cookie"))
		return parse_cookie(f, value, e);
	if (!strcmp(key, "idle_timeout"))
		return parse_u16(key, value, &f->idle_timeout_s, e);
	if (!strcmp(key, "hard_timeout"))
		return parse_u16(key, value, &f->hard_timeout_s, e);
	if (!strcmp(key, "importance"))
		return parse_u16(key, value, &f->importance, e);
	if (is_counter(key))
		return 0;
	return parse_filter(p, key, value, e);
}

int flow_text_parse(const char *text, const struct text_ports *ports, struct flow_text *out,
		    struct err *e)
{
	char *copy = xstrdup(text);
	const char *value, *at = find_actions(text, &value);
	struct parse p = {out, ports};
	int rc;

	*out = (struct flow_text){
		.priority = FLOW_TEXT_DEFAULT_PRIORITY,
		.table = FLOW_TEXT_ALL_TABLES,
		.out_port = OFP_PORT_ANY,
		.out_group = OFP_PORT_ANY,
	};
	if (at)
		copy[at - text] = '\0';
	rc = match_parse(copy, ports, parse_key, &p, &out->match, e);
	if (!rc && at) {
		/* Blanks in front keep the columns of what people typed. */
		memset(copy, ' ', (size_t)(value - text));
		strcpy(copy + (value - text), value);
		out->has_actions = true;
		rc = actions_parse(copy, ports, &out->actions, e);
	}
	free(copy);
	if (rc)
		flow_text_free(out);
	return rc;
}

void flow_text_free(struct flow_text *f)
{
	action_buf_free(&f->actions);
	f->has_actions = false;
}

static void put_duration(uint64_t ns, struct str *out)
{
	uint64_t fraction = ns % 1000000000;

	str_printf(out, "%" PRIu64, ns / 1000000000);
	if (fraction % 1000000)
		str_printf(out, ".%09" PRIu64, fraction);
	else if (fraction)
		str_printf(out, ".%03" PRIu64, fraction / 1000000);
	str_putc(out, 's');
}

void flow_text_format(const struct flow_text *f, const struct flow_text_stats *stats,
		      const struct text_ports *ports, struct str *out)
{
	size_t before;

	str_printf(out, "cookie=0x%" PRIx64 ", ", f->cookie);
	if (stats) {
		str_puts(out, "duration=");
		put_duration(stats->duration_ns, out);
		str_puts(out, ", ");
	}
	if (f->table != FLOW_TEXT_ALL_TABLES)
		str_printf(out, "table=%u, ", f->table);
	if (stats)
		str_printf(out, "n_packets=%" PRIu64 ", n_bytes=%" PRIu64 ", ", stats->n_packets,
			   stats->n_bytes);
	if (f->idle_timeout_s)
		str_printf(out, "idle_timeout=%u, ", f->idle_timeout_s);
	if (f->hard_timeout_s)
		str_printf(out, "hard_timeout=%u, ", f->hard_timeout_s);
	for (size_t i = 0; i < SL_ARRAY_SIZE(flag_names); i++)
		if (f->flags & flag_names[i].flag)
			str_printf(out, "%s ", flag_names[i].name);
	if (f->importance)
		str_printf(out, "importance=%u, ", f->importance);
	if (stats && stats->idle_age_s != UINT32_MAX)
		str_printf(out, "idle_age=%u, ", stats->idle_age_s);
	if (stats && stats->hard_age_s != UINT32_MAX &&
	    stats->hard_age_s != stats->duration_ns / 1000000000)
		str_printf(out, "hard_age=%u, ", stats->hard_age_s);
	before = out->len;
	if (f->priority != FLOW_TEXT_DEFAULT_PRIORITY)
		str_printf(out, "priority=%u,", f->priority);
	match_format(&f->match, ports, out);
	if (out->len > before) {
		str_chomp(out, ',');
		str_putc(out, ' ');
	}
	str_puts(out, "actions=");
	actions_format(f->actions.data, f->actions.len, ports, out);
}
