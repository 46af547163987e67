/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers of ports and bridges are used again; what happened a while ago is told by the name that
 * the number had then. The last two names of each number are known. Main thread only. */
#pragma once
#include <stdint.h>

enum past_kind { PAST_PORT, PAST_BRIDGE, PAST_KINDS };

/* From now on the number is its. Numbers: below PORT_ID_MAX, BRIDGE_ID_MAX. */
void past_name_set(enum past_kind kind, uint32_t id, const char *name);
/* At that time of rte_rdtsc(); "": not known. Valid until the next past_name_set(). */
const char *past_name_at(enum past_kind kind, uint32_t id, uint64_t tsc);
