/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct str *s, size_t extra)
{
	size_t need = s->len + extra + 1;

	if (need > s->cap) {
		s->cap = SL_MAX(need, SL_MAX(s->cap * 2, (size_t)64));
		s->s = xrealloc(s->s, s->cap);
	}
}

void str_free(struct str *s)
{
	free(s->s);
	*s = (struct str)STR_INIT;
}

void str_clear(struct str *s)
{
	s->len = 0;
	if (s->s)
		s->s[0] = '\0';
}

const char *str_cstr(const struct str *s)
{
	return s->s ? s->s : "";
}

char *str_steal(struct str *s)
{
	char *p = s->s ? s->s : xstrdup("");

	*s = (struct str)STR_INIT;
	return p;
}

void str_put(struct str *s, const void *p, size_t n)
{
	reserve(s, n);
	if (n)
		memcpy(s->s + s->len, p, n);
	s->len += n;
	s->s[s->len] = '\0';
}

void str_puts(struct str *s, const char *text)
{
	str_put(s, text, strlen(text));
}

void str_putc(struct str *s, char c)
{
	str_put(s, &c, 1);
}

/* Mostly it fits into what is there, and is formatted once. */
void str_vprintf(struct str *s, const char *fmt, va_list ap)
{
	size_t room = s->s ? s->cap - s->len : 0;
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(room ? s->s + s->len : NULL, room, fmt, ap);
	if (n > 0 && (size_t)n >= room) {
		reserve(s, (size_t)n);
		vsnprintf(s->s + s->len, (size_t)n + 1, fmt, again);
	}
	if (n > 0)
		s->len += (size_t)n;
	va_end(again);
}

void str_printf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vprintf(s, fmt, ap);
	va_end(ap);
}

void str_chomp(struct str *s, char c)
{
	if (s->len && s->s[s->len - 1] == c)
		s->s[--s->len] = '\0';
}
