/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings that the datapath takes only at its start (knobs with RESTART): written as its
 * command-line arguments to <dbdir>/datapath.args, one per line, where `sluice up` and the systemd
 * unit find them. */
#pragma once
#include <stdbool.h>

struct sluiced;
struct str;

void start_args_write(struct sluiced *d); /* only when they differ from the file */
/* Have they changed since the running datapath was started? */
bool start_args_are_newer(const struct sluiced *d);
