/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules, groups and meters as text in the syntax of ovs-ofctl(8), one a line, and from the api's
 * objects. What is printed parses back to the same. Errors of parsers begin with "column N: ". Pure
 * functions; any thread. */
#pragma once
#include "control/openflow/object_mod.h"
#include "datapath/flow/match_text.h"

struct str;

/* "group_id=1,type=select,selection_method=hash,fields(ip_src),bucket=weight:5,actions=output:1".
 * The caller sets command; group_mod_free() also after an error. */
int group_text_parse(const char *text, const struct text_ports *ports, struct group_mod *out,
		     struct err *e);
/* With counters: those of the group and its buckets. */
void group_text_format(struct attrs group, const struct text_ports *ports, bool stats,
		       struct str *out);
/* "meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100" */
int meter_text_parse(const char *text, struct meter_mod *out, struct err *e);
void meter_text_format(struct attrs meter, bool stats, struct str *out);
/* As dump-flows prints it. */
void rule_text_format(struct attrs rule, const struct text_ports *ports, bool stats,
		      struct str *out);
