/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups and meters as the attributes of GROUP_MOD and METER_MOD, with their counters so far where
 * they have a place. Main thread. */
#pragma once

struct msg;
struct group;
struct meter;

void group_attrs_put(struct msg *m, const struct group *g);
void meter_attrs_put(struct msg *m, const struct meter *k);
