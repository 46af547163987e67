/* SPDX-License-Identifier: BSD-3-Clause */
/* What the datapath holds of a bridge's rules, groups and meters, as the messages that would make
 * it so again. Rules follow the datapath's events; groups, meters and the option mapping are kept
 * from dumps. Serves replay after the datapath died, and flow monitors (was it there before?). One
 * thread. */
#pragma once
#include "datapath/api/msg.h"

struct shadow;

struct shadow *shadow_create(void);
void shadow_destroy(struct shadow *s);
void shadow_clear(struct shadow *s);
/* A rule as in an event or a dump. True when there was one with its table, priority and match. */
bool shadow_put_rule(struct shadow *s, struct attrs rule);
/* The rule that has its table, priority and match; borrowed until the next change. */
bool shadow_find_rule(const struct shadow *s, struct attrs rule, struct attrs *out);
/* How many rules were put so far; those put after that moment, with what they are now. */
uint64_t shadow_time(const struct shadow *s);
void shadow_for_each_since(const struct shadow *s, uint64_t since,
			   void (*fn)(struct attrs rule, bool added, void *aux), void *aux);
bool shadow_del_rule(struct shadow *s, struct attrs rule);
/* Groups and meters: replaced as a whole. `op` is API_OP_GROUP_MOD or API_OP_METER_MOD, `objects`
 * the OBJECT nests of the dump. */
void shadow_begin_objects(struct shadow *s, enum api_op op);
void shadow_put_object(struct shadow *s, enum api_op op, struct attrs object);
size_t shadow_rules(const struct shadow *s);
uint32_t shadow_rules_in(const struct shadow *s, uint8_t table);
/* Appends operations that recreate everything: meters, groups, rules. Returns how many. */
size_t shadow_replay(const struct shadow *s, const char *bridge, struct msg *transaction);
