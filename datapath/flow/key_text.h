/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow keys as the text of Open vSwitch's datapath commands:
 * "recirc_id(0),in_port(2),eth_type(0x0800), ipv4(src=10.0.0.0/255.0.0.0,frag=no)": what ovs-appctl
 * dpctl/dump-flows prints and netdev-dummy/receive takes. Ports are datapath numbers. Rows in
 * key_text.c; both directions follow from them. The control plane and tools use it; stateless. */
#pragma once
#include "datapath/flow/match.h"

struct err;
struct str;

/* Name of a datapath port; NULL: print the number. */
typedef const char *key_port_name_fn(void *aux, uint32_t port_id);

/* Bits that the mask leaves out are not shown. */
void key_format(const struct match *m, key_port_name_fn *name_of, void *aux, struct str *out);
/* *m is initialised here; in_port stays as the number in the text, 0 when there is none. Errors
 * begin with "column N: ". */
int key_parse(const char *text, struct match *m, struct err *e);
