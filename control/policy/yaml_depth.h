/* SPDX-License-Identifier: BSD-3-Clause */
/* How deeply a YAML text nests, found out before it is parsed: libyaml bounds neither that nor the
 * time it takes, which grows with the third power of it: 5,000 braces on a line cost a minute. Pure
 * function; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { YAML_DEPTH_MAX = 64 };

/* True: it nests deeper than YAML_DEPTH_MAX, first on *line. A text that is no YAML up to there is
 * left to the parser. */
bool yaml_nests_too_deep(const char *text, size_t len, unsigned *line);
