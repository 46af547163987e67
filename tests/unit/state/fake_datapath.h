/* SPDX-License-Identifier: BSD-3-Clause */
/* A datapath for tests of what drives one: listens on a socket in the test's event loop, keeps a
 * struct config as real transactions would leave it, counts what it is sent. */
#pragma once
#include "control/state/config.h"

struct event_base;
struct fake_datapath;

struct fake_datapath *fake_datapath_start(struct event_base *base, const char *path);
void fake_datapath_stop(struct fake_datapath *f); /* closes every connection: as if killed */
struct config *fake_datapath_config(struct fake_datapath *f);
unsigned fake_datapath_transactions(const struct fake_datapath *f); /* committed */
unsigned fake_datapath_writes(const struct fake_datapath *f); /* write messages, refused ones too */
unsigned fake_datapath_rules(const struct fake_datapath *f);  /* RULE_MOD operations committed */
/* Was the bridge closed whenever a port was set on it in the transaction that made it? */
bool fake_datapath_opened_last(const struct fake_datapath *f);
/* PORT_SET and BRIDGE_SET of this name, or RULE_MOD for "rules", are refused; NULL: none. */
void fake_datapath_refuse(struct fake_datapath *f, const char *port);
void fake_datapath_send_port_event(struct fake_datapath *f, const char *port);
