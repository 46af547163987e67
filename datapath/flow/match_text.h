/* SPDX-License-Identifier: BSD-3-Clause */
/* Matches and flows as text, in the syntax of ovs-ofctl(8) and ovs-fields(7): "tcp,in_port=1,
 * nw_src=10.0.0.0/8". What is printed can be parsed back to the same match.
 * The control plane and tools use it; stateless. */
#pragma once
#include "datapath/flow/match.h"

struct err;
struct str;

/* Names of ports, where the caller has them; any pointer may be NULL. */
struct text_ports {
	bool (*by_name)(void *aux, const char *name, uint32_t *port);
	const char *(*name_of)(void *aux, uint32_t port); /* NULL: print the number */
	void *aux;
};
bool text_port_parse(const struct text_ports *ports, const char *text, uint32_t *port);
void text_port_format(const struct text_ports *ports, uint32_t port, struct str *out);

/* A key that is not a match field: "priority", "actions" … `value` is NULL when there is no '='.
 * Returns 0 when taken, 1 when it is unknown here too, -errno with *e set otherwise. */
typedef int match_key_fn(void *aux, const char *key, const char *value, struct err *e);

/* Parses fields separated by commas or white space into *m (initialised here). `other` may be NULL.
 * A field whose prerequisites the match does not pin is refused. Errors begin with "column N: ". */
int match_parse(const char *text, const struct text_ports *ports, match_key_fn *other, void *aux,
		struct match *m, struct err *e);
/* Appends; nothing for a match of everything. */
void match_format(const struct match *m, const struct text_ports *ports, struct str *out);
/* Everything in the flow that is not zero, as an exact match of it: for traces and dumps. */
void flow_format(const struct flow *flow, const struct text_ports *ports, struct str *out);
/* The match that flow_format() prints. */
void flow_to_match(const struct flow *flow, struct match *m);
