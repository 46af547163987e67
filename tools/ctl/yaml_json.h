/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML as `sluice export` prints it, as JSON: mappings, sequences and scalars, no anchors. */
#pragma once
#include <jansson.h>

/* A scalar that is not quoted and says a whole number, true or false becomes that, every other one
 * a string. NULL: not such a text. The caller owns the result. */
json_t *yaml_json(const char *text);
