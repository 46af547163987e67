/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/openflow/object_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/api/match_attr.h"
#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/flow_text.h"

/* A copy of the text, cut into pieces in place: a piece's column is its place in the copy. */
struct parser {
	char *text;
	const struct text_ports *ports;
	struct err *e;
};

static int fail(const struct parser *p, const char *at, const char *what)
{
	return err_set(p->e, EINVAL, "column %zu: %s", (size_t)(at - p->text) + 1, what);
}

/* Cuts the piece at `s` off at the first of ',' and blanks outside brackets; *next is behind. */
static char *cut(char *s, char **next)
{
	int depth = 0;
	s += strspn(s, ", \t\r\n");
	char *end = s;
	for (; *end; end++) {
		depth += *end == '(' ? 1 : *end == ')' ? -1 : 0;
		if (depth <= 0 && strchr(", \t\r\n", *end))
			break;
	}
	*next = *end ? end + 1 : end;
	*end = '\0';
	return *s ? s : NULL;
}

/* "key=value", "key:value", "key(value)", "key": splits in place; value NULL when there is none. */
static char *split(char *piece, char **value)
{
	size_t n = strcspn(piece, "=:(");
	*value = NULL;
	if (!piece[n])
		return piece;
	if (piece[n] == '(' && piece[strlen(piece) - 1] == ')')
		piece[strlen(piece) - 1] = '\0';
	*value = piece + n + 1;
	piece[n] = '\0';
	return piece;
}

static int parse_number(const struct parser *p, const char *at, uint64_t max, uint64_t *out)
{
	return at && parse_u64(at, 0, max, out)
		       ? 0
		       : fail(p, at ? at : p->text, "not a number that this can have");
}

/* ---- groups ---- */

static const char *const group_types[] = {"all", "select", "indirect", "fast_failover"};

/* The next "bucket=" or "bucket:" that begins a word outside brackets; NULL at the end. */
static char *next_bucket(char *s)
{
	int depth = 0;
	for (char *at = s; *at; at++) {
		depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
		bool begins = at == s || strchr(", \t\r\n", at[-1]);
		if (depth <= 0 && begins && !strncmp(at, "bucket", 6) &&
		    (at[6] == '=' || at[6] == ':'))
			return at;
	}
	return NULL;
}

static int parse_watch_port(const struct parser *p, const char *value, uint32_t *out)
{
	if (!value || !text_port_parse(p->ports, value, out))
		return fail(p, value ? value : p->text, "no such port");
	return 0;
}

/* One key of a bucket; 1: it is none, so actions begin here. */
static int parse_bucket_key(const struct parser *p, const char *key, const char *value,
			    struct group_bucket *b)
{
	uint64_t n = 0;
	int rc;
	if (!strcmp(key, "watch_port"))
		return parse_watch_port(p, value, &b->watch_port);
	if (!strcmp(key, "bucket_id")) {
		rc = parse_number(p, value, OFPG15_BUCKET_MAX, &n);
		b->id = (uint32_t)n;
	} else if (!strcmp(key, "weight")) {
		rc = parse_number(p, value, UINT16_MAX, &n);
		b->weight = (uint16_t)n;
	} else if (!strcmp(key, "watch_group")) {
		rc = parse_number(p, value, OFPG_MAX, &n);
		b->watch_group = (uint32_t)n;
	} else {
		rc = 1;
	}
	return rc;
}

/* `at` is behind "bucket="; the bucket ends with the string. */
static int parse_bucket(const struct parser *p, char *at, uint8_t type, uint32_t id,
			struct group_bucket *b)
{
	int rc = 0;
	*b = (struct group_bucket){.id = id,
				   .weight = type == OFPGT_SELECT,
				   .watch_port = OFP_PORT_ANY,
				   .watch_group = OFPG_ANY};
	while (!rc) {
		at += strspn(at, ", \t\r\n");
		size_t n = strcspn(at, ", \t\r\n"), key_len = strcspn(at, "=:, \t\r\n");
		char end = at[n], separator = at[key_len];
		if (!n)
			break;
		at[n] = at[key_len] = '\0';
		bool actions = !strcmp(at, "actions") || !strcmp(at, "action");
		if (!actions)
			rc = parse_bucket_key(p, at, key_len < n ? at + key_len + 1 : NULL, b);
		at[key_len] = separator;
		at[n] = end;
		if (actions) {
			at += key_len + (key_len < n);
			break;
		}
		if (!rc)
			at += n;
	}
	if (rc < 0)
		return rc;
	size_t before = (size_t)(at - p->text);
	char *blank = xasprintf("%*s%s", (int)before, "", at); /* keeps the columns */
	rc = actions_parse(blank, p->ports, &b->actions, p->e);
	free(blank);
	return rc;
}

/* "ip_src,tcp_dst=0xff": which bits are hashed. */
static int parse_fields(const struct parser *p, char *at, struct group_mod *g)
{
	static const union field_value zero;
	char *next = at, *piece, *value;
	match_init(&g->fields);
	while ((piece = cut(next, &next))) {
		const char *name = split(piece, &value);
		const struct field_info *f = field_by_name(name, strlen(name));
		union field_value v, mask;
		if (!f)
			return fail(p, name, "no such field");
		field_full_mask(f, &mask);
		if (value) {
			union field_value ignored;
			struct err e = {0};
			if (field_parse_value(f, value, &v, &ignored, &e))
				return fail(p, value, e.text);
			mask = v;
		}
		field_match(f, &g->fields, &zero, &mask);
		g->has_fields = true;
	}
	return 0;
}

static int parse_command_bucket(const struct parser *p, const char *value, uint32_t *out)
{
	uint64_t n;
	if (value && !strcmp(value, "all"))
		*out = OFPG15_BUCKET_ALL;
	else if (value && !strcmp(value, "first"))
		*out = OFPG15_BUCKET_FIRST;
	else if (value && !strcmp(value, "last"))
		*out = OFPG15_BUCKET_LAST;
	else if (parse_number(p, value, OFPG15_BUCKET_MAX, &n))
		return -EINVAL;
	else
		*out = (uint32_t)n;
	return 0;
}

static int parse_type(const struct parser *p, const char *value, uint8_t *out)
{
	for (uint8_t i = 0; value && i < SL_ARRAY_SIZE(group_types); i++)
		if (!strcmp(value, group_types[i]) || (i == OFPGT_FF && !strcmp(value, "ff"))) {
			*out = i;
			return 0;
		}
	return fail(p, value ? value : p->text, "type is all, select, indirect or fast_failover");
}

static bool is_counter(const char *key)
{
	return !strcmp(key, "duration") || !strcmp(key, "ref_count") ||
	       !strcmp(key, "packet_count") || !strcmp(key, "byte_count");
}

static int parse_group_key(const struct parser *p, const char *key, char *value,
			   struct group_mod *g)
{
	uint64_t n = 0;
	int rc = 0;
	if (!strcmp(key, "group_id")) {
		bool all = value && !strcmp(value, "all");
		rc = all ? 0 : parse_number(p, value, OFPG_MAX, &n);
		g->group_id = all ? OFPG_ALL : (uint32_t)n;
	} else if (!strcmp(key, "type")) {
		rc = parse_type(p, value, &g->type);
	} else if (!strcmp(key, "command_bucket_id")) {
		rc = parse_command_bucket(p, value, &g->command_bucket);
	} else if (!strcmp(key, "selection_method")) {
		if (!value || (strcmp(value, "hash") && strcmp(value, "dp_hash")))
			return fail(p, value ? value : key, "selection_method is hash or dp_hash");
		strcpy(g->method, value);
	} else if (!strcmp(key, "selection_method_param")) {
		rc = parse_number(p, value, UINT64_MAX, &g->method_param);
	} else if (!strcmp(key, "fields")) {
		rc = value ? parse_fields(p, value, g) : fail(p, key, "fields need names");
	} else if (!is_counter(key)) {
		rc = fail(p, key, "no such key of a group");
	}
	return rc;
}

static int parse_group(const struct parser *p, struct group_mod *g)
{
	char *bucket = next_bucket(p->text), *next = p->text, *piece, *value;
	bool has_id = false;
	int rc = 0;
	/* the part in front of the buckets; the byte in front of "bucket" is a separator */
	if (bucket && bucket > p->text)
		bucket[-1] = '\0';
	if (bucket != p->text)
		while (!rc && (piece = cut(next, &next))) {
			const char *key = split(piece, &value);
			has_id |= !strcmp(key, "group_id");
			rc = parse_group_key(p, key, value, g);
		}
	if (!rc && !has_id)
		rc = fail(p, p->text, "group_id is missing");
	while (!rc && bucket) {
		char *at = bucket + 7;
		struct group_bucket b = {0};
		bucket = next_bucket(at);
		if (bucket)
			bucket[-1] = '\0';
		rc = g->buckets.len == BUCKETS_MAX
			     ? fail(p, at, "too many buckets")
			     : parse_bucket(p, at, g->type, (uint32_t)g->buckets.len, &b);
		vec_push(&g->buckets, b);
	}
	return rc;
}

int group_text_parse(const char *text, const struct text_ports *ports, struct group_mod *out,
		     struct err *e)
{
	struct parser p = {.text = xstrdup(text), .ports = ports, .e = e};
	*out = (struct group_mod){.command_bucket = OFPG15_BUCKET_ALL};
	int rc = parse_group(&p, out);
	free(p.text);
	return rc;
}

static void format_counts(struct attrs a, struct str *out)
{
	str_printf(out, "packet_count=%llu,byte_count=%llu",
		   (unsigned long long)attrs_u64(a, ATTR_PKTS, 0),
		   (unsigned long long)attrs_u64(a, ATTR_BYTES_COUNT, 0));
}

static void format_bucket(struct attrs b, uint8_t type, const struct text_ports *ports,
			  struct str *out)
{
	uint32_t port = (uint32_t)attrs_u64(b, ATTR_WATCH_PORT, OFP_PORT_ANY),
		 group = (uint32_t)attrs_u64(b, ATTR_WATCH_GROUP, OFPG_ANY);
	size_t n;
	const void *actions = attrs_bytes(b, ATTR_ACTIONS, &n);
	str_printf(out, ",bucket=bucket_id:%u,", (unsigned)attrs_u64(b, ATTR_BUCKET_ID, 0));
	if (type == OFPGT_SELECT)
		str_printf(out, "weight:%u,", (unsigned)attrs_u64(b, ATTR_WEIGHT, 1));
	if (port != OFP_PORT_ANY) {
		str_puts(out, "watch_port:");
		text_port_format(ports, port, out);
		str_putc(out, ',');
	}
	if (group != OFPG_ANY)
		str_printf(out, "watch_group:%u,", group);
	str_puts(out, "actions=");
	actions_format(actions, actions ? n : 0, ports, out);
}

static void format_fields(const struct match *m, struct str *out)
{
	static const union field_value zero;
	struct flow left = m->mask;
	const char *comma = "";
	str_puts(out, ",fields(");
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];
		union field_value mask, full;
		bool any = false;
		field_get(f, &left, &mask);
		for (unsigned i = 0; i < f->n_bytes; i++)
			any |= mask.b[i];
		if (f->overlay || !any)
			continue;
		str_printf(out, "%s%s", comma, f->name);
		field_full_mask(f, &full);
		if (memcmp(full.b, mask.b, f->n_bytes)) {
			str_putc(out, '=');
			field_format_value(f, &mask, NULL, out);
		}
		field_set(f, &left, &zero);
		comma = ",";
	}
	str_putc(out, ')');
}

void group_text_format(struct attrs a, const struct text_ports *ports, bool stats, struct str *out)
{
	uint8_t type = (uint8_t)attrs_u64(a, ATTR_GROUP_TYPE, 0);
	const char *method = attrs_str(a, ATTR_SELECTION_METHOD, "");
	struct match m;
	str_printf(out, "group_id=%u,type=%s", (unsigned)attrs_u64(a, ATTR_GROUP_ID, 0),
		   type < SL_ARRAY_SIZE(group_types) ? group_types[type] : "?");
	if (*method)
		str_printf(out, ",selection_method=%s", method);
	if (*method && attrs_u64(a, ATTR_SELECTION_PARAM, 0))
		str_printf(out, ",selection_method_param=%llu",
			   (unsigned long long)attrs_u64(a, ATTR_SELECTION_PARAM, 0));
	if (attrs_has(a, ATTR_SELECTION_FIELDS) && api_get_match(a, ATTR_SELECTION_FIELDS, &m))
		format_fields(&m, out);
	if (stats) {
		str_printf(out, ",duration=%llus,ref_count=%u,",
			   (unsigned long long)attrs_u64(a, ATTR_DURATION_MS, 0) / 1000,
			   (unsigned)attrs_u64(a, ATTR_REF_COUNT, 0));
		format_counts(a, out);
	}
	ATTR_FOR_EACH (n, a)
		if (n->id == ATTR_BUCKET)
			format_bucket(attr_nest(n), type, ports, out);
}

/* ---- meters ---- */

static const struct {
	const char *name;
	uint16_t flag;
} meter_flags[] = {{"kbps", OFPMF_KBPS},
		   {"pktps", OFPMF_PKTPS},
		   {"burst", OFPMF_BURST},
		   {"stats", OFPMF_STATS}};

static bool take_meter_flag(const char *key, struct meter_mod *m)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(meter_flags); i++)
		if (!strcmp(key, meter_flags[i].name)) {
			m->flags |= meter_flags[i].flag;
			return true;
		}
	return false;
}

static int begin_band(const struct parser *p, const char *value, struct meter_mod *m)
{
	if (m->n_bands == METER_BANDS_MAX)
		return fail(p, value ? value : p->text, "too many bands");
	if (value && !strcmp(value, "drop"))
		m->bands[m->n_bands++].type = OFPMBT_DROP;
	else if (value && !strcmp(value, "dscp_remark"))
		m->bands[m->n_bands++].type = OFPMBT_DSCP_REMARK;
	else
		return fail(p, value ? value : p->text, "type is drop or dscp_remark");
	return 0;
}

static int parse_band_key(const struct parser *p, const char *key, const char *value,
			  struct meter_mod *m)
{
	uint64_t n = 0;
	int rc = 0;
	if (!strcmp(key, "type"))
		return begin_band(p, value, m);
	if (!m->n_bands)
		return fail(p, key, "no such key of a meter; a band begins with its type");
	if (!strcmp(key, "rate")) {
		rc = parse_number(p, value, UINT32_MAX, &n);
		m->bands[m->n_bands - 1].rate = (uint32_t)n;
	} else if (!strcmp(key, "burst_size")) {
		rc = parse_number(p, value, UINT32_MAX, &n);
		m->bands[m->n_bands - 1].burst = (uint32_t)n;
	} else if (!strcmp(key, "prec_level")) {
		rc = parse_number(p, value, UINT8_MAX, &n);
		m->bands[m->n_bands - 1].prec_level = (uint8_t)n;
	} else if (!is_counter(key)) {
		rc = fail(p, key, "no such key of a band");
	}
	return rc;
}

static int parse_meter_id(const struct parser *p, const char *value, uint32_t *out)
{
	uint64_t n = 0;
	if (value && !strcmp(value, "all"))
		*out = OFPM_ALL;
	else if (value && !strcmp(value, "controller"))
		*out = OFPM_CONTROLLER;
	else if (value && !strcmp(value, "slowpath"))
		*out = OFPM_SLOWPATH;
	else if (parse_number(p, value, OFPM_MAX, &n))
		return -EINVAL;
	else
		*out = (uint32_t)n;
	return 0;
}

int meter_text_parse(const char *text, struct meter_mod *out, struct err *e)
{
	struct parser p = {.text = xstrdup(text), .e = e};
	char *next = p.text, *piece, *value;
	int rc = 0;
	*out = (struct meter_mod){0};
	while (!rc && (piece = cut(next, &next))) {
		const char *key = split(piece, &value);
		/* "bands=type=drop" */
		if (value && (!strcmp(key, "bands") || !strcmp(key, "band")))
			key = *value ? split(value, &value) : "";
		if (!*key)
			continue;
		if (!strcmp(key, "meter") || !strcmp(key, "meter_id"))
			rc = parse_meter_id(&p, value, &out->meter_id);
		else if (value || !take_meter_flag(key, out))
			rc = is_counter(key) ? 0 : parse_band_key(&p, key, value, out);
	}
	if (!rc && !out->meter_id)
		rc = fail(&p, p.text, "meter is missing");
	free(p.text);
	return rc;
}

void meter_text_format(struct attrs a, bool stats, struct str *out)
{
	uint32_t id = (uint32_t)attrs_u64(a, ATTR_METER_ID, 0);
	uint16_t flags = (uint16_t)attrs_u64(a, ATTR_METER_FLAGS, 0);
	if (id == OFPM_CONTROLLER)
		str_puts(out, "meter=controller");
	else if (id == OFPM_SLOWPATH)
		str_puts(out, "meter=slowpath");
	else
		str_printf(out, "meter=%u", id);
	for (size_t i = 0; i < SL_ARRAY_SIZE(meter_flags); i++)
		if (flags & meter_flags[i].flag)
			str_printf(out, ",%s", meter_flags[i].name);
	if (stats) {
		str_printf(out, ",duration=%llus,ref_count=%u,",
			   (unsigned long long)attrs_u64(a, ATTR_DURATION_MS, 0) / 1000,
			   (unsigned)attrs_u64(a, ATTR_REF_COUNT, 0));
		format_counts(a, out);
	}
	str_puts(out, ",bands=");
	const char *comma = "";
	ATTR_FOR_EACH (n, a) {
		if (n->id != ATTR_BAND)
			continue;
		struct attrs b = attr_nest(n);
		bool drop = attrs_u64(b, ATTR_BAND_TYPE, OFPMBT_DROP) == OFPMBT_DROP;
		str_printf(out, "%stype=%s,rate=%u", comma, drop ? "drop" : "dscp_remark",
			   (unsigned)attrs_u64(b, ATTR_RATE, 0));
		if (flags & OFPMF_BURST)
			str_printf(out, ",burst_size=%u", (unsigned)attrs_u64(b, ATTR_BURST, 0));
		if (!drop)
			str_printf(out, ",prec_level=%u",
				   (unsigned)attrs_u64(b, ATTR_PREC_LEVEL, 0));
		if (stats) {
			str_putc(out, ',');
			format_counts(b, out);
		}
		comma = ",";
	}
}

/* ---- rules ---- */

void rule_text_format(struct attrs a, const struct text_ports *ports, bool stats, struct str *out)
{
	struct flow_text f = {
		.cookie = attrs_u64(a, ATTR_COOKIE, 0),
		.table = (uint8_t)attrs_u64(a, ATTR_TABLE, 0),
		.priority = (uint16_t)attrs_u64(a, ATTR_PRIORITY, 0),
		.idle_timeout_s = (uint16_t)attrs_u64(a, ATTR_IDLE_TIMEOUT_S, 0),
		.hard_timeout_s = (uint16_t)attrs_u64(a, ATTR_HARD_TIMEOUT_S, 0),
		.importance = (uint16_t)attrs_u64(a, ATTR_IMPORTANCE, 0),
		.flags = (uint16_t)attrs_u64(a, ATTR_RULE_FLAGS, 0),
		.out_port = OFP_PORT_ANY,
		.out_group = OFP_PORT_ANY,
		.has_actions = true,
	};
	const struct flow_text_stats counts = {
		.duration_ns = attrs_u64(a, ATTR_DURATION_MS, 0) * 1000000,
		.n_packets = attrs_u64(a, ATTR_PKTS, 0),
		.n_bytes = attrs_u64(a, ATTR_BYTES_COUNT, 0),
		.idle_age_s = (uint32_t)(attrs_u64(a, ATTR_IDLE_AGE_MS, 0) / 1000),
		.hard_age_s = (uint32_t)(attrs_u64(a, ATTR_HARD_AGE_MS, 0) / 1000),
	};
	const void *actions = attrs_bytes(a, ATTR_ACTIONS, &f.actions.len);
	if (!api_get_match(a, ATTR_MATCH, &f.match))
		return;
	f.actions.data = (void *)(uintptr_t)actions; /* only read */
	if (!actions)
		f.actions.len = 0;
	flow_text_format(&f, stats ? &counts : NULL, ports, out);
}
