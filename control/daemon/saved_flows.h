/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules that a bridge starts with after both daemons died, one file per bridge in the
 * database's directory: text as ofswitch_put_text() takes it. A write replaces the file as a whole.
 */
#pragma once
#include "datapath/base/err.h"

int saved_flows_write(const char *dbdir, const char *bridge, const char *text, struct err *e);
int saved_flows_remove(const char *dbdir, const char *bridge, struct err *e); /* none is fine */
/* NULL with *e set, ENOENT when nothing was saved. Caller frees. */
char *saved_flows_read(const char *dbdir, const char *bridge, struct err *e);
