/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
	if (e && !e->code) {
		va_list ap;

		e->code = code;
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof e->text, fmt, ap);
		va_end(ap);
	}
	return -code;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
	char head[ERR_TEXT_BYTES], old[ERR_TEXT_BYTES];
	va_list ap;

	if (!e || !e->code)
		return;
	va_start(ap, fmt);
	vsnprintf(head, sizeof head, fmt, ap);
	va_end(ap);
	memcpy(old, e->text, sizeof old);
	int n = snprintf(e->text, sizeof e->text, "%s: ", head);
	if (n > 0 && n < (int)sizeof e->text)
		snprintf(e->text + n, sizeof e->text - (size_t)n, "%s", old);
}
