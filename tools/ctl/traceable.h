/* SPDX-License-Identifier: BSD-3-Clause */
/* What can be traced: a packet described on the command line or read from a file, and where it
 * arrives. Asks the datapath for names; blocking, one thread. */
#pragma once
#include "datapath/base/str.h"
#include "datapath/base/vec.h"
#include "datapath/flow/match_text.h"
#include "tools/ctl/command.h"

struct port_name {
	char *name, *bridge;
	uint32_t ofport;
};
struct port_names {         /* zero-initialised is empty */
	const char *bridge; /* whose names and numbers count when a text is parsed */
	VEC(struct port_name) ports;
};
int port_names_read(struct api_client *client, struct port_names *n, struct err *e);
void port_names_free(struct port_names *n);
const struct port_name *port_names_find(const struct port_names *n, const char *name);
struct text_ports port_names_text(struct port_names *n); /* for match_parse() */

struct traceable {
	char *bridge;
	uint32_t in_port;       /* OpenFlow number */
	struct match described; /* fields that were given */
	uint8_t *packet;        /* NULL: only described */
	size_t len;
	uint8_t ct_next[16]; /* states to assume */
	size_t n_ct_next;
};
/* Hexadecimal digits, spaces and colons: bytes of a packet. NULL with *e set: something else. */
uint8_t *traceable_parse_hex(const char *text, size_t *len, struct err *e);
bool traceable_looks_hex(const char *text);
/* "trk,est" or "trk|est": CT_STATE_* bits. */
int traceable_parse_states(const char *text, uint8_t *out, struct err *e);
/* The request for it. */
void traceable_put(const struct traceable *t, struct msg *m);
void traceable_free(struct traceable *t);
