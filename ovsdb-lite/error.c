/* SPDX-License-Identifier: BSD-3-Clause */
#include "ovsdb-lite/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"

static struct ovsdb_error *make(const json_t *json, const char *tag, const char *fmt, va_list ap)
{
	struct ovsdb_error *e = xzalloc(sizeof *e);
	struct str details = STR_INIT, syntax = STR_INIT;

	e->tag = xstrdup(tag);
	if (fmt) {
		str_vprintf(&details, fmt, ap);
		e->details = str_steal(&details);
	}
	if (json) {
		json_put_value(&syntax, json);
		e->syntax = str_steal(&syntax);
	}
	return e;
}

struct ovsdb_error *ovsdb_error(const char *tag, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	struct ovsdb_error *e = make(NULL, tag ? tag : "ovsdb error", fmt, ap);
	va_end(ap);
	return e;
}

struct ovsdb_error *ovsdb_syntax_error(const json_t *json, const char *tag, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	struct ovsdb_error *e = make(json, tag ? tag : "syntax error", fmt, ap);
	va_end(ap);
	return e;
}

void ovsdb_error_free(struct ovsdb_error *e)
{
	if (e) {
		free(e->tag);
		free(e->details);
		free(e->syntax);
		free(e);
	}
}

void ovsdb_error_put_json(struct str *out, const struct ovsdb_error *e)
{
	str_puts(out, "{\"error\":");
	json_put_string(out, e->tag, strlen(e->tag));
	if (e->details) {
		str_puts(out, ",\"details\":");
		json_put_string(out, e->details, strlen(e->details));
	}
	if (e->syntax) {
		str_puts(out, ",\"syntax\":");
		json_put_string(out, e->syntax, strlen(e->syntax));
	}
	str_putc(out, '}');
}

char *ovsdb_error_text(const struct ovsdb_error *e)
{
	struct str s = STR_INIT;

	if (e->syntax)
		str_printf(&s, "syntax \"%s\": ", e->syntax);
	str_puts(&s, e->tag);
	if (e->details)
		str_printf(&s, ": %s", e->details);
	return str_steal(&s);
}

int ovsdb_error_to_err(struct ovsdb_error *e, struct err *err)
{
	if (!e)
		return 0;
	char *text = ovsdb_error_text(e);
	int rc = err_set(err, EINVAL, "%s", text);
	free(text);
	ovsdb_error_free(e);
	return rc;
}

void ovsdb_parser_init(struct ovsdb_parser *p, const json_t *object, const char *what)
{
	ovsdb_parser_init_nth(p, object, what, 0, 0);
}

void ovsdb_parser_init_nth(struct ovsdb_parser *p, const json_t *object, const char *what,
			   size_t nth, size_t of)
{
	*p = (struct ovsdb_parser){.what = what, .nth = nth, .of = of, .object = object};
	if (!json_is_object(object)) {
		p->object = NULL;
		ovsdb_parser_fail(p, "Object expected.");
	}
}

void ovsdb_parser_fail(struct ovsdb_parser *p, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	if (p->error)
		return;
	str_puts(&s, p->what);
	if (p->of)
		str_printf(&s, " %zu of %zu", p->nth, p->of);
	str_puts(&s, " failed: ");
	va_start(ap, fmt);
	str_vprintf(&s, fmt, ap);
	va_end(ap);
	p->error = ovsdb_syntax_error(p->object, NULL, "Parsing %s", str_cstr(&s));
	str_free(&s);
}

const json_t *ovsdb_parser_member(struct ovsdb_parser *p, const char *name, unsigned types)
{
	const json_t *v = p->object ? json_object_get(p->object, name) : NULL;

	if (!p->object)
		return NULL;
	if (!v) {
		if (!(types & OVSDB_M_OPTIONAL))
			ovsdb_parser_fail(p, "Required '%s' member is missing.", name);
		return NULL;
	}
	if (p->seen < SL_ARRAY_SIZE(p->names))
		p->names[p->seen++] = name;
	if (types & 1u << json_typeof(v))
		return v;
	if (types & OVSDB_M_ID && json_is_string(v) && ovsdb_is_id(json_string_value(v)))
		return v;
	ovsdb_parser_fail(p, "Type mismatch for member '%s'.", name);
	return NULL;
}

struct ovsdb_error *ovsdb_parser_finish(struct ovsdb_parser *p)
{
	const char *key;
	json_t *value;

	if (!p->error && json_object_size(p->object) > p->seen) {
		json_object_foreach((json_t *)p->object, key, value)
		{
			bool known = false;

			for (unsigned i = 0; i < p->seen && !known; i++)
				known = !strcmp(p->names[i], key);
			if (known)
				continue;
			ovsdb_parser_fail(p, "Member '%s' is present but not allowed here.", key);
			break;
		}
	}
	struct ovsdb_error *e = p->error;
	p->error = NULL;
	return e;
}

bool ovsdb_is_id(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return true;
}
