/* SPDX-License-Identifier: BSD-3-Clause */
/* flow-host: the flow library on a pipe, for test_flow_differential.py. A line in, a line out:
 * "packet HEX" gives the flow of those bytes, "match TEXT" and "actions TEXT" what was understood;
 * "error: …" when refused. "match_bits" and "action_bits": the same as the api has it, in hex. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"
#include "datapath/flow/extract.h"
#include "datapath/flow/match_text.h"

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

static void put_hex(const void *data, size_t n, struct str *out)
{
	for (size_t i = 0; i < n; i++)
		str_printf(out, "%02x", ((const uint8_t *)data)[i]);
}

static void match(const char *text, bool bits, struct str *out)
{
	struct minimatch *mm;
	struct match m;
	struct err e = {0};

	if (match_parse(text, NULL, NULL, NULL, &m, &e)) {
		str_printf(out, "error: %s", e.text);
	} else if (bits) {
		mm = minimatch_create(&m);
		put_hex(mm, minimatch_size(mm), out);
		free(mm);
	} else {
		match_format(&m, NULL, out);
	}
}

static void actions(const char *text, bool bits, struct str *out)
{
	struct action_buf b = {0};
	struct err e = {0};

	if (actions_parse(text, NULL, &b, &e))
		str_printf(out, "error: %s", e.text);
	else if (bits)
		put_hex(b.data, b.len, out);
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
		else if (!strcmp(line, "match") || !strcmp(line, "match_bits"))
			match(text, line[5], &out);
		else if (!strcmp(line, "actions") || !strcmp(line, "action_bits"))
			actions(text, line[6] == '_', &out);
		puts(str_cstr(&out));
		fflush(stdout);
		str_free(&out);
	}
	return 0;
}
