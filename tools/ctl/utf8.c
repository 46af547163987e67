/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/utf8.h"

#include <stdint.h>

unsigned utf8_bad_line(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + len;
	unsigned line = 1;
	for (; p < end; p++) {
		unsigned more = *p < 0x80                  ? 0
				: *p >= 0xc2 && *p <= 0xdf ? 1
				: *p >= 0xe0 && *p <= 0xef ? 2
				: *p >= 0xf0 && *p <= 0xf4 ? 3
							   : 4;
		/* Forms that are longer than needed, surrogates, beyond U+10FFFF. */
		if (more > 3 || more > (size_t)(end - p) - 1 || (*p == 0xe0 && p[1] < 0xa0) ||
		    (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
		    (*p == 0xf4 && p[1] > 0x8f))
			return line;
		line += *p == '\n';
		for (; more; more--)
			if ((*++p & 0xc0) != 0x80)
				return line;
	}
	return 0;
}
