/* SPDX-License-Identifier: BSD-3-Clause */
/* Handlers of commands.def: a row without one does not link. */
#pragma once
struct command_call;

#define COMMAND(fn, ...) int cmd_##fn(struct command_call *c);
#define OPTION(...)
#include "tools/ctl/commands.def"
#undef COMMAND
#undef OPTION
