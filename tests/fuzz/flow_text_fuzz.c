/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of matches and actions: no input may do harm; what is accepted prints as something that
 * reads back to the same. Input: a match, and behind a line feed an action list. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/key_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_match(const char *text)
{
	struct match a, b;
	struct err e = {0};
	struct str s = STR_INIT, t = STR_INIT;

	if (match_parse(text, NULL, NULL, NULL, &a, &e)) {
		if (!e.code || !e.text[0])
			abort();
		return;
	}
	match_format(&a, NULL, &s);
	/* What cannot be said (impossible fragments) need not read back, but must print. */
	if (!match_parse(str_cstr(&s), NULL, NULL, NULL, &b, &e)) {
		match_format(&b, NULL, &t);
		if (strcmp(str_cstr(&s), str_cstr(&t)))
			abort();
	}
	str_free(&s);
	str_free(&t);
}

/* A key that parses prints as one that parses. */
static void try_key(const char *text)
{
	struct match a, b;
	struct err e = {0};
	struct str s = STR_INIT;

	if (key_parse(text, &a, &e)) {
		if (!e.code || !e.text[0])
			abort();
		return;
	}
	key_format(&a, NULL, NULL, &s);
	if (key_parse(str_cstr(&s), &b, &e))
		abort();
	str_free(&s);
}

static void try_actions(const char *text)
{
	struct action_buf a = {0}, b = {0};
	struct err e = {0};
	struct str s = STR_INIT, t = STR_INIT;

	if (actions_parse(text, NULL, &a, &e)) {
		if (!e.code || !e.text[0] || a.len)
			abort();
		action_buf_free(&a);
		return;
	}
	actions_format(a.data, a.len, NULL, &s);
	if (actions_parse(str_cstr(&s), NULL, &b, &e))
		abort();
	actions_format(b.data, b.len, NULL, &t);
	if (strcmp(str_cstr(&s), str_cstr(&t)))
		abort();
	action_buf_free(&a);
	action_buf_free(&b);
	str_free(&s);
	str_free(&t);
}

/* The same bytes as an action list from another process. */
static void try_list(const uint8_t *data, size_t size)
{
	uint64_t *copy = malloc(size + 8);
	struct str s = STR_INIT;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (!action_list_check(copy, size / 8 * 8, NULL))
		actions_format(copy, size / 8 * 8, NULL, &s);
	str_free(&s);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *actions;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	actions = strchr(text, '\n');
	if (actions)
		*actions++ = '\0';
	try_key(text);
	try_match(text);
	try_actions(actions ? actions : text);
	try_list(data, size);
	free(text);
	return 0;
}
