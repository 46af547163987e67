/* SPDX-License-Identifier: BSD-3-Clause */
/* Is a file's text UTF-8 (RFC 3629)? Messages to sluiced are JSON and can carry nothing else. Pure.
 */
#pragma once
#include <stddef.h>

/* The line, from 1, of the first byte that is not; 0: all of it is. */
unsigned utf8_bad_line(const char *text, size_t len);
