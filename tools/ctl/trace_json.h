/* SPDX-License-Identifier: BSD-3-Clause */
/* A TRACE answer as JSON: what the datapath said, and what it comes to: "outputs", "dropped", and
 * when dropped "reason", "help", "remedy". */
#pragma once
#include <jansson.h>

#include "datapath/api/msg.h"

json_t *trace_json(struct attrs answer); /* the caller's */
