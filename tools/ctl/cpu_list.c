/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/cpu_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cpu_list_add(struct cpu_list *l, unsigned core)
{
	if (core < CPU_LIST_MAX)
		l->bits[core / 64] |= 1ull << (core % 64);
}

bool cpu_list_has(const struct cpu_list *l, unsigned core)
{
	return core < CPU_LIST_MAX && l->bits[core / 64] & 1ull << (core % 64);
}

/* strtoul() alone would take signs and blanks. */
static bool number(const char **text, unsigned long *out)
{
	char *end;
	if (**text < '0' || **text > '9')
		return false;
	*out = strtoul(*text, &end, 10);
	*text = end;
	return true;
}

bool cpu_list_parse(const char *text, struct cpu_list *out)
{
	memset(out, 0, sizeof *out);
	while (*text) {
		unsigned long first, last;
		if (!number(&text, &first))
			return false;
		last = first;
		if (*text == '-' && (++text, !number(&text, &last)))
			return false;
		for (unsigned long c = first; c <= last && c < CPU_LIST_MAX; c++)
			cpu_list_add(out, (unsigned)c);
		if (*text && *text != ',')
			return false;
		text += *text == ',';
	}
	return true;
}

bool cpu_list_is_empty(const struct cpu_list *l)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(l->bits); i++)
		if (l->bits[i])
			return false;
	return true;
}

bool cpu_list_overlap(const struct cpu_list *a, const struct cpu_list *b)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(a->bits); i++)
		if (a->bits[i] & b->bits[i])
			return true;
	return false;
}

struct cpu_list cpu_list_without(const struct cpu_list *a, const struct cpu_list *b)
{
	struct cpu_list out;
	for (size_t i = 0; i < SL_ARRAY_SIZE(a->bits); i++)
		out.bits[i] = a->bits[i] & ~b->bits[i];
	return out;
}

const char *cpu_list_text(const struct cpu_list *l)
{
	static char text[2048];
	size_t at = 0;
	text[0] = '\0';
	for (unsigned c = 0; c < CPU_LIST_MAX && at + 16 < sizeof text; c++) {
		unsigned last = c;
		if (!cpu_list_has(l, c))
			continue;
		while (cpu_list_has(l, last + 1))
			last++;
		at += (size_t)snprintf(text + at, sizeof text - at, last > c ? "%s%u-%u" : "%s%u",
				       at ? "," : "", c, last);
		c = last;
	}
	return text;
}
