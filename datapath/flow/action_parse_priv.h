/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parsers of action text share: action_parse.c (the list, simple actions),
 * action_parse_nested.c (learn, ct, nat, bundle and others with arguments of their own) and
 * action_parse_arg.c (arguments). */
#pragma once
#include "datapath/flow/action_text.h"

/* One parse. The text is cut up in place, so that a pointer into it gives the column. */
struct parser {
	const char *base;
	const struct text_ports *ports;
	struct action_buf *b;
	struct err *e;
	unsigned depth;
};

/* "key", "key:text", "key=text" or "key(text)rest". */
struct arg {
	char *key;
	char *text; /* NULL when there is none; parsers may cut it */
	char *rest; /* what follows the closing parenthesis, as in "(5)->x"; else NULL */
	bool parens;
};

/* The next one of a list; *pos moves behind it. 0 at the end, 1, or -EINVAL. */
int arg_next(struct parser *p, char **pos, struct arg *a);
/* -EINVAL with "column N: …" for the place that `at` points to. */
int parse_fail(struct parser *p, const char *at, const char *fmt, ...) SL_PRINTF(3, 4);
int parse_number(struct parser *p, const struct arg *a, uint64_t max, uint64_t *out);
int parse_subfield(struct parser *p, const char *text, struct subfield *sf);
int parse_port(struct parser *p, const char *text, uint32_t *port);
/* A list of actions inside another one. */
int parse_actions(struct parser *p, char *text);
int parse_name(struct parser *p, const char *text, const char *const *names, uint16_t *out);
/* Comma-separated words in place; returns how many, at most `max`, spaces trimmed. */
unsigned split_words(char *text, char **words, unsigned max);

typedef int parse_action_fn(struct parser *p, struct arg *a);
parse_action_fn parse_learn, parse_ct, parse_nat, parse_bundle, parse_bundle_load, parse_multipath,
	parse_sample, parse_fin_timeout, parse_controller;
