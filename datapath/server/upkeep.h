/* SPDX-License-Identifier: BSD-3-Clause */
/* What has to be done again and again: tables (learning, ageing, timeouts), credits, load of the
 * poll threads, links. And the tables' news, which become events. Main thread. */
#pragma once
#include <stdbool.h>

void upkeep_start(void);
/* What a transaction did to rules becomes events now, unless it is very much: then false. */
bool upkeep_tell(void);
