/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of action lists: where an argument begins and ends, and the plain kinds of arguments
 * (numbers, sub-fields, ports, names). The text is cut up in place. Stateless. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "datapath/base/err.h"
#include "datapath/flow/action_parse_priv.h"

int parse_fail(struct parser *p, const char *at, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES - 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(p->e, EINVAL, "column %u: %s", (unsigned)(at - p->base) + 1, text);
}

/* The matching parenthesis of the one at `open`; NULL when there is none. */
static char *find_close(char *open)
{
	int depth = 0;

	for (char *s = open; *s; s++) {
		if (*s == '(')
			depth++;
		else if (*s == ')' && !--depth)
			return s;
	}
	return NULL;
}

static const char separators[] = ", \t\r\n";

/* The end of a value that began with ':' or '=': the first separator outside parentheses. */
static char *find_end(char *s)
{
	for (int depth = 0; *s; s++) {
		if (*s == '(')
			depth++;
		else if (*s == ')')
			depth--;
		else if (depth <= 0 && strchr(separators, *s))
			break;
	}
	return s;
}

int arg_next(struct parser *p, char **pos, struct arg *a)
{
	char *s = *pos + strspn(*pos, separators), *end;

	*a = (struct arg){.key = s};
	if (!*s)
		return 0;
	s += strcspn(s, ":=(, \t\r\n");
	if (s == a->key)
		return parse_fail(p, s, "a name is missing before '%c'", *s);
	if (*s == '(') {
		char *close = find_close(s);

		if (!close)
			return parse_fail(p, s, "'(' without ')'");
		*s = *close = '\0';
		a->text = s + 1;
		a->parens = true;
		end = find_end(close + 1);
		if (end != close + 1)
			a->rest = close + 1;
	} else if (*s == ':' || *s == '=') {
		*s = '\0';
		a->text = s + 1;
		end = find_end(s + 1);
	} else {
		end = s;
	}
	*pos = *end ? end + 1 : end;
	*end = '\0';
	return 1;
}

unsigned split_words(char *text, char **words, unsigned max)
{
	unsigned n = 0;

	while (n < max && *(text += strspn(text, " \t"))) {
		size_t len = strcspn(text, ",");
		char *next = text[len] ? text + len + 1 : text + len;

		text[len] = '\0';
		while (len && isspace((unsigned char)text[len - 1]))
			text[--len] = '\0';
		words[n++] = text;
		text = next;
	}
	return n;
}

int parse_number(struct parser *p, const struct arg *a, uint64_t max, uint64_t *out)
{
	if (!a->text || !*a->text)
		return parse_fail(p, a->key, "%s: needs a number", a->key);
	if (!parse_u64(a->text, 0, max, out))
		return parse_fail(p, a->text, "%s: \"%s\" is not a number up to %llu", a->key,
				  a->text, (unsigned long long)max);
	return 0;
}

int parse_subfield(struct parser *p, const char *text, struct subfield *sf)
{
	struct err e = {0};

	if (subfield_parse(text, sf, &e))
		return parse_fail(p, text, "%s", e.text);
	/* the port's short name is its 16-bit form, which may be written */
	if (sf->field == FIELD_IN_PORT && !strncmp(text, "in_port[", 8)) {
		sf->field = FIELD_IN_PORT16;
		if (!sf->ofs && sf->n_bits == 32)
			sf->n_bits = 16;
		if (sf->ofs + sf->n_bits > 16)
			return parse_fail(p, text, "in_port has 16 bits here (in_port_oxm: 32)");
	}
	return 0;
}

int parse_port(struct parser *p, const char *text, uint32_t *port)
{
	return text_port_parse(p->ports, text, port) ? 0
						     : parse_fail(p, text, "no port \"%s\"", text);
}

int parse_name(struct parser *p, const char *text, const char *const *names, uint16_t *out)
{
	for (unsigned i = 0; names[i]; i++)
		if (!strcasecmp(names[i], text)) {
			*out = (uint16_t)i;
			return 0;
		}
	return parse_fail(p, text, "unknown name \"%s\"", text);
}
