/* SPDX-License-Identifier: BSD-3-Clause */
/* Text to json_t (RFC 8259, strict). jansson's values, not its parser: that one fetches every byte
 * through three calls, which was half of the instructions of a transaction. A text comes whole and
 * is never larger than a message may be; nesting is bounded; bytes are checked before they are
 * used, so nothing a peer sends gets further than an error text. Any thread. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovsdb-lite/json_text.h"

enum { MAX_DEPTH = 2048, NUMBER_BYTES = 64 };

struct parser {
	const char *p, *end;
	const char *start;
	struct str unescaped; /* of the string read last, if it had escapes */
	unsigned depth;
	const char *error; /* static text; NULL: none yet */
};

static json_t *value(struct parser *s);

static void *fail(struct parser *s, const char *error)
{
	if (!s->error)
		s->error = error;
	return NULL;
}

static void skip_space(struct parser *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
}

/* The next byte that is not white space, without taking it; 0 at the end. */
static char peek(struct parser *s)
{
	skip_space(s);
	return s->p < s->end ? *s->p : '\0';
}

/* --- strings ---------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence at p, 0 if it is none (overlong, surrogate, beyond U+10FFFF). */
static size_t utf8_length(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = (size_t)(end - text), n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static void put_utf8(struct str *out, uint32_t c)
{
	char b[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = n; --i; c >>= 6)
		b[i] = (char)(0x80 | (c & 0x3f));
	b[0] = (char)(lead[n] | c);
	str_put(out, b, n);
}

/* Four hex digits at s->p; -1 if they are not there. */
static int32_t hex4(struct parser *s)
{
	int32_t v = 0;

	if (s->end - s->p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = *s->p++;
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static bool put_unicode(struct parser *s)
{
	int32_t c = hex4(s), low;

	if (c >= 0xd800 && c < 0xdc00) {
		if (s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u')
			return false;
		s->p += 2;
		low = hex4(s);
		if (low < 0xdc00 || low > 0xdfff)
			return false;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c <= 0 || (c >= 0xdc00 && c < 0xe000)) {
		return false; /* a string of the database has no NUL */
	}
	put_utf8(&s->unescaped, (uint32_t)c);
	return true;
}

static bool put_escape(struct parser *s)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (s->p == s->end)
		return false;
	char c = *s->p++;
	if (c == 'u')
		return put_unicode(s);
	at = c ? strchr(from, c) : NULL;
	if (!at)
		return false;
	str_putc(&s->unescaped, to[at - from]);
	return true;
}

/* Behind the opening quote. The text is the input's, or that of s->unescaped: valid until the next
 * string is read. NULL: not a string. */
static const char *string(struct parser *s, size_t *len)
{
	const char *from = s->p;

	str_clear(&s->unescaped);
	while (s->p < s->end) {
		unsigned char c = (unsigned char)*s->p;

		if (SL_LIKELY(c >= 0x20 && c < 0x80 && c != '"' && c != '\\')) {
			s->p++;
		} else if (c == '"') {
			*len = (size_t)(s->p++ - from);
			if (!s->unescaped.len)
				return from;
			str_put(&s->unescaped, from, *len);
			*len = s->unescaped.len;
			return s->unescaped.s;
		} else if (c == '\\') {
			str_put(&s->unescaped, from, (size_t)(s->p++ - from));
			if (!put_escape(s))
				return fail(s, "invalid escape");
			from = s->p;
		} else if (c < 0x20) {
			return fail(s, "control character in a string");
		} else {
			size_t n = utf8_length(s->p, s->end);

			if (!n)
				return fail(s, "invalid UTF-8");
			s->p += n;
		}
	}
	return fail(s, "string without end");
}

/* --- numbers ---------------------------------------------------------------------------------- */

static bool digits(struct parser *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static json_t *real(struct parser *s, const char *from)
{
	size_t n = (size_t)(s->p - from);
	char small[NUMBER_BYTES], *text = n < sizeof small ? small : xmalloc(n + 1);

	memcpy(text, from, n);
	text[n] = '\0';
	double v = strtod(text, NULL);
	if (text != small)
		free(text);
	return isfinite(v) ? json_real(v) : fail(s, "number is too large");
}

/* Up to 18 digits are an integer without further thought. */
static json_t *integer(struct parser *s, const char *from)
{
	bool negative = *from == '-';
	size_t n = (size_t)(s->p - from) - negative;
	int64_t v = 0;

	if (n > 18) {
		char text[NUMBER_BYTES];

		if (n >= sizeof text - 1)
			return real(s, from);
		memcpy(text, from, n + negative);
		text[n + negative] = '\0';
		errno = 0;
		v = strtoll(text, NULL, 10);
		return errno ? real(s, from) : json_integer(v);
	}
	for (const char *p = from + negative; p < s->p; p++)
		v = v * 10 + (*p - '0');
	return json_integer(negative ? -v : v);
}

static json_t *number(struct parser *s)
{
	const char *from = s->p;
	bool is_real = false;

	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++; /* and no digit behind it */
	else if (!digits(s))
		return fail(s, "invalid token");
	if (s->p < s->end && *s->p == '.') {
		is_real = true;
		s->p++;
		if (!digits(s))
			return fail(s, "invalid number");
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		is_real = true;
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!digits(s))
			return fail(s, "invalid number");
	}
	return is_real ? real(s, from) : integer(s, from);
}

/* --- values ----------------------------------------------------------------------------------- */

static json_t *word(struct parser *s, const char *text, size_t len, json_t *v)
{
	if ((size_t)(s->end - s->p) < len || memcmp(s->p, text, len))
		return fail(s, "invalid token");
	s->p += len;
	return v;
}

static json_t *array(struct parser *s)
{
	json_t *a = json_array(), *v;

	s->p++;
	if (peek(s) == ']') {
		s->p++;
		return a;
	}
	while ((v = value(s))) {
		char c = peek(s);

		json_array_append_new(a, v);
		if (c != ',' && c != ']') {
			fail(s, "',' or ']' expected");
			break;
		}
		s->p++;
		if (c == ']')
			return a;
	}
	json_decref(a);
	return NULL;
}

/* One "key": value; false on error. */
static bool member(struct parser *s, json_t *o)
{
	char key_copy[64], *key = key_copy;
	size_t len = 0;

	if (peek(s) != '"')
		return fail(s, "string or '}' expected");
	s->p++;
	const char *text = string(s, &len);
	if (!text)
		return false;
	if (peek(s) != ':')
		return fail(s, "':' expected");
	s->p++;
	if (text == s->unescaped.s) { /* the value may hold strings too */
		key = len <= sizeof key_copy ? key_copy : xmalloc(len);
		memcpy(key, text, len);
		text = key;
	}
	json_t *v = value(s);
	if (v)
		json_object_setn_new_nocheck(o, text, len, v);
	if (key != key_copy)
		free(key);
	return v;
}

static json_t *object(struct parser *s)
{
	json_t *o = json_object();

	s->p++;
	if (peek(s) == '}') {
		s->p++;
		return o;
	}
	while (member(s, o)) {
		char c = peek(s);

		if (c != ',' && c != '}') {
			fail(s, "',' or '}' expected");
			break;
		}
		s->p++;
		if (c == '}')
			return o;
	}
	json_decref(o);
	return NULL;
}

static json_t *nested(struct parser *s, json_t *(*fn)(struct parser *))
{
	if (++s->depth > MAX_DEPTH)
		return fail(s, "nested too deeply");
	json_t *v = fn(s);
	s->depth--;
	return v;
}

static json_t *value(struct parser *s)
{
	const char *text;
	size_t len;

	switch (peek(s)) {
	case '"':
		s->p++;
		text = string(s, &len);
		return text ? json_stringn_nocheck(text, len) : NULL;
	case '{':
		return nested(s, object);
	case '[':
		return nested(s, array);
	case 't':
		return word(s, "true", 4, json_true());
	case 'f':
		return word(s, "false", 5, json_false());
	case 'n':
		return word(s, "null", 4, json_null());
	case '\0':
		return fail(s, s->p < s->end ? "invalid token" : "text ends early");
	default:
		return number(s);
	}
}

json_t *json_parse(const char *text, size_t n, char why[JSON_ERROR_TEXT_LENGTH])
{
	struct parser s = {.p = text, .start = text, .end = text + n};
	char first = peek(&s);
	json_t *j = first == '{' || first == '[' ? value(&s) : fail(&s, "'[' or '{' expected");

	skip_space(&s);
	if (j && s.p < s.end) {
		json_decref(j);
		j = fail(&s, "end of text expected");
	}
	if (!j && why)
		snprintf(why, JSON_ERROR_TEXT_LENGTH, "%s at byte %zu", s.error,
			 (size_t)(s.p - s.start));
	str_free(&s.unescaped);
	return j;
}
