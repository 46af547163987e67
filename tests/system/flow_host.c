/* SPDX-License-Identifier: BSD-3-Clause */
/* flow-host: the flow library on a pipe, for test_flow_differential.py. A line in, a line out:
 * "packet HEX" gives the flow of those bytes, "match TEXT" and "actions TEXT" what was understood;
 * "error: …" when refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/extract.h"

enum { LINE_BYTES = 1 << 17 };

static void packet(const char *hex, struct str *out)
{
	static uint8_t data[LINE_BYTES / 2];
	struct flow flow = {0};
	struct flow_offsets ofs;
	uint32_t n = 0;

	for (; hex[0] && hex[1]; hex += 2)
		data[n++] = (uint8_t)strtoul((char[]){hex[0], hex[1], '\0'}, NULL, 16);
	flow_extract(data, n, n, &flow.key, &ofs);
	flow_format(&flow, NULL, out);
}

static void match(const char *text, struct str *out)
{
	struct match m;
	struct err e = {0};

	if (match_parse(text, NULL, NULL, NULL, &m, &e))
		str_printf(out, "error: %s", e.text);
	else
		match_format(&m, NULL, out);
}

static void actions(const char *text, struct str *out)
{
	struct action_buf b = {0};
	struct err e = {0};

	if (actions_parse(text, NULL, &b, &e))
		str_printf(out, "error: %s", e.text);
	else
		actions_format(b.data, b.len, NULL, out);
	action_buf_free(&b);
}

int main(void)
{
	static char line[LINE_BYTES];

	while (fgets(line, sizeof line, stdin)) {
		struct str out = STR_INIT;
		char *text = strchr(line, ' ');

		line[strcspn(line, "\n")] = '\0';
		if (!text)
			return 2;
		*text++ = '\0';
		if (!strcmp(line, "packet"))
			packet(text, &out);
		else if (!strcmp(line, "match"))
			match(text, &out);
		else if (!strcmp(line, "actions"))
			actions(text, &out);
		puts(str_cstr(&out));
		str_free(&out);
	}
	return 0;
}
