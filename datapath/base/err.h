/* SPDX-License-Identifier: BSD-3-Clause */
/* struct err: why something a person asked for was refused, as one text naming object and field.
 * Internal code returns -errno; functions reachable from CLI, file, database or controller take a
 * `struct err *` as well. Any thread; an err belongs to its caller. */
#pragma once
#include "datapath/base/util.h"

enum { ERR_TEXT_BYTES = 512 };

struct err {
	int code;                  /* 0 = no error, else a positive errno */
	char text[ERR_TEXT_BYTES]; /* "port p9: not found", no trailing newline */
};

/* Sets *e (which may be NULL) and returns -code, so that `return err_set(e, EINVAL, …)` reads well.
 * A text that is already set stays: the first cause is the useful one. */
int err_set(struct err *e, int code, const char *fmt, ...) SL_PRINTF(3, 4);
/* Puts "context: " in front of the text of an error that is set. */
void err_prefix(struct err *e, const char *fmt, ...) SL_PRINTF(2, 3);
static inline void err_clear(struct err *e)
{
	e->code = 0;
	e->text[0] = '\0';
}
