/* SPDX-License-Identifier: BSD-3-Clause */
/* Growable text. Not synchronised; grows by realloc, aborts on exhaustion (util.h). `s` is NULL or
 * NUL-terminated; str_cstr() never returns NULL. */
#pragma once
#include <stdarg.h>

#include "datapath/base/util.h"

struct str {
	char *s;
	size_t len, cap;
};

#define STR_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

void str_free(struct str *s);
void str_clear(struct str *s);
const char *str_cstr(const struct str *s);
char *str_steal(struct str *s); /* caller frees; never NULL */
void str_put(struct str *s, const void *p, size_t n);
void str_puts(struct str *s, const char *text);
void str_putc(struct str *s, char c);
void str_printf(struct str *s, const char *fmt, ...) SL_PRINTF(2, 3);
void str_vprintf(struct str *s, const char *fmt, va_list ap);
void str_chomp(struct str *s, char c); /* removes one trailing c, if there */
