/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy in force between the rest of the main thread and datapath/policy: ports that come and
 * go, time, and news of it as events. */
#pragma once

void policy_watch_start(void); /* before the first port */
/* state: applied, confirmed, rolled_back, expired. */
void policy_watch_announce(const char *state, const char *rule);
