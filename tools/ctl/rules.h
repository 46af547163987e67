/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands about rules, groups and meters share: names of a bridge's ports, dumps as
 * lines, sending text to sluiced with errors that show the place. */
#pragma once
#include "datapath/base/str.h"
#include "datapath/flow/match_text.h"
#include "tools/ctl/command.h"

struct rule_port {
	char name[64];
	uint32_t ofport;
};
/* Ports of one bridge, by the datapath's word. */
struct rule_ports {
	struct rule_port *at;
	size_t n;
	struct text_ports text; /* for parsers and printers */
};
/* EXIT_OK; else the error is told. Loads the map of tunnel options too. */
int rule_ports_load(const struct command_call *c, const char *bridge, struct rule_ports *out);
void rule_ports_free(struct rule_ports *p);

/* The bridge's map of tunnel options, from now on the one that this process prints and reads
 * tun_metadata fields by; with `out` also as lines that restore it. */
int rule_options_load(const struct command_call *c, const char *bridge, struct str *out);

/* "-" is standard input, else a file. NULL after an error message; caller frees. */
char *rules_read(const char *file);
/* Tells an error that begins with "column N: " or "line M: column N: " together with the line of
 * `text` and a mark below the column. EXIT_FAILED. */
int rules_fail(const char *text, const char *error);
/* Changes as sluiced's flow/apply takes them. */
int rules_apply(const struct command_call *c, const char *bridge, const char *command,
		const char *text);
/* One group or meter: "flow", "group" or "meter", its command and what was typed. */
int rules_apply_kind(const struct command_call *c, const char *kind, const char *command,
		     const char *spec);
