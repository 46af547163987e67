/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy that a question is about: the one in force, whose text the datapath keeps and gives
 * back (so that questions work while sluiced is dead), or a file. */
#pragma once
#include "control/policy/policy.h"
#include "tools/ctl/command.h"

/* NULL after an error message. Freed with policy_free(). */
struct policy *policy_load_file(const char *path);
struct policy *policy_load_active(const struct command_call *c);
/* --file, else the one in force. */
struct policy *policy_load(const struct command_call *c);
/* The text in force; "" without a policy; NULL after an error message. Caller frees. */
char *policy_load_text(const struct command_call *c);
/* A file's text ("-": standard input), NULL after an error message. Caller frees. */
char *policy_load_read(const char *path, size_t *len);
