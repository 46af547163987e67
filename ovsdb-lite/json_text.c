/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/vec.h"

void json_put_int(struct str *out, int64_t v)
{
	char buf[24], *p = buf + sizeof buf;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		*--p = '-';
	str_put(out, p, (size_t)(buf + sizeof buf - p));
}

void json_put_real(struct str *out, double v)
{
	char buf[40];

	if (!isfinite(v)) {
		str_puts(out, "0");
		return;
	}
	if (v == floor(v) && fabs(v) < 9e15) {
		json_put_int(out, (int64_t)v);
		return;
	}
	for (int digits = 15; digits <= 17; digits += 2) {
		snprintf(buf, sizeof buf, "%.*g", digits, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	str_puts(out, buf);
}

void json_put_string(struct str *out, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t start = 0;

	str_putc(out, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		char esc[6] = "\\u00";
		size_t esc_len = 2;

		if (SL_LIKELY(c >= 0x20 && c != '"' && c != '\\'))
			continue;
		str_put(out, s + start, i - start);
		start = i + 1;
		switch (c) {
		case '"':
		case '\\':
			esc[1] = (char)c;
			break;
		case '\n':
			esc[1] = 'n';
			break;
		case '\t':
			esc[1] = 't';
			break;
		case '\r':
			esc[1] = 'r';
			break;
		case '\b':
			esc[1] = 'b';
			break;
		case '\f':
			esc[1] = 'f';
			break;
		default:
			esc[4] = hex[c >> 4];
			esc[5] = hex[c & 15];
			esc_len = 6;
		}
		str_put(out, esc, esc_len);
	}
	str_put(out, s + start, len - start);
	str_putc(out, '"');
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_object(struct str *out, const json_t *j)
{
	VEC(const char *) keys = {0};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)j, key, value)
	{
		vec_push(&keys, key);
	}
	if (keys.len > 1)
		qsort(keys.at, keys.len, sizeof *keys.at, by_key);
	str_putc(out, '{');
	for (size_t i = 0; i < keys.len; i++) {
		if (i)
			str_putc(out, ',');
		json_put_string(out, keys.at[i], strlen(keys.at[i]));
		str_putc(out, ':');
		json_put_value(out, json_object_get(j, keys.at[i]));
	}
	str_putc(out, '}');
	vec_free(&keys);
}

void json_put_value(struct str *out, const json_t *j)
{
	size_t i;
	json_t *e;

	switch (json_typeof(j ? j : json_null())) {
	case JSON_OBJECT:
		put_object(out, j);
		return;
	case JSON_ARRAY:
		str_putc(out, '[');
		json_array_foreach(j, i, e)
		{
			if (i)
				str_putc(out, ',');
			json_put_value(out, e);
		}
		str_putc(out, ']');
		return;
	case JSON_STRING:
		json_put_string(out, json_string_value(j), json_string_length(j));
		return;
	case JSON_INTEGER:
		json_put_int(out, json_integer_value(j));
		return;
	case JSON_REAL:
		json_put_real(out, json_real_value(j));
		return;
	case JSON_TRUE:
		str_puts(out, "true");
		return;
	case JSON_FALSE:
		str_puts(out, "false");
		return;
	case JSON_NULL:
		str_puts(out, "null");
		return;
	}
}

enum json_scan_result json_scan(struct json_scan *s, const char *p, size_t n, unsigned max_depth,
				size_t *used)
{
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (s->in_string) {
			if (s->escaped)
				s->escaped = false;
			else if (c == '\\')
				s->escaped = true;
			else if (c == '"')
				s->in_string = false;
			continue;
		}
		if (c == '{' || c == '[') {
			if (++s->depth > max_depth)
				return JSON_SCAN_TOO_DEEP;
		} else if (c == '}' || c == ']') {
			if (!s->depth)
				return JSON_SCAN_GARBAGE;
			if (!--s->depth) {
				*used = i + 1;
				return JSON_SCAN_DONE;
			}
		} else if (!s->depth) {
			if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
				return JSON_SCAN_GARBAGE;
		} else if (c == '"') {
			s->in_string = true;
		}
	}
	*used = n;
	return JSON_SCAN_MORE;
}

/* --- members ---------------------------------------------------------------------------------- */

void json_members_init(struct json_members *m, const char *text, size_t len)
{
	*m = (struct json_members){.p = text, .end = text + len};
}

static void skip_space(struct json_members *m)
{
	while (m->p < m->end && (*m->p == ' ' || *m->p == '\n' || *m->p == '\r' || *m->p == '\t'))
		m->p++;
}

static bool skip_string(struct json_members *m)
{
	for (m->p++; m->p < m->end; m->p++) {
		if (*m->p == '\\')
			m->p++;
		else if (*m->p == '"') {
			m->p++;
			return true;
		}
	}
	return false;
}

static bool skip_value(struct json_members *m)
{
	unsigned depth = 0;

	skip_space(m);
	const char *start = m->p;
	while (m->p < m->end) {
		char c = *m->p;

		if (c == '"') {
			if (!skip_string(m))
				return false;
			if (!depth)
				return true;
			continue;
		}
		if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (!depth)
				return m->p > start;
			if (!--depth) {
				m->p++;
				return true;
			}
		} else if (!depth && c == ',') {
			return m->p > start;
		}
		m->p++;
	}
	return false;
}

int json_members_next(struct json_members *m, const char **key, size_t *key_len, const char **value,
		      size_t *value_len)
{
	skip_space(m);
	if (m->p >= m->end)
		return -1;
	if (!m->started) {
		if (*m->p++ != '{')
			return -1;
		m->started = true;
		skip_space(m);
		if (m->p < m->end && *m->p == '}')
			return 0;
	} else if (*m->p == '}') {
		return 0;
	} else if (*m->p++ != ',') {
		return -1;
	}
	skip_space(m);
	if (m->p >= m->end || *m->p != '"')
		return -1;
	*key = m->p + 1;
	if (!skip_string(m))
		return -1;
	*key_len = (size_t)(m->p - *key) - 1;
	skip_space(m);
	if (m->p >= m->end || *m->p++ != ':')
		return -1;
	skip_space(m);
	*value = m->p;
	if (!skip_value(m))
		return -1;
	*value_len = (size_t)(m->p - *value);
	return 1;
}
