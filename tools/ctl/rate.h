/* SPDX-License-Identifier: BSD-3-Clause */
/* What commands that look again and again share: --interval, --count, rates as text and JSON. */
#pragma once
#include <jansson.h>

#include "tools/ctl/command.h"

/* Reads --interval (seconds, 0.01 to 3600) and, when `times` is not NULL, --count. EXIT_OK or
 * EXIT_USAGE after the message. */
int rate_options(const struct command_call *c, double default_s, uint64_t *interval_us,
		 uint64_t *times);
/* "0", "12", "3.4k", "1.2M". Returns buf. */
const char *rate_text(double rate, char *buf, size_t n);
json_t *rate_json(double rate); /* one decimal */
/* Prints and frees; one line each when there will be more. */
void print_json(json_t *o, bool is_line);
