/* SPDX-License-Identifier: BSD-3-Clause */
/* What the datapath holds of a bridge's rules, groups and meters, as the messages that would make
 * it so again. Rules follow our own transactions as soon as they are answered, when it is plain
 * what these do, and the datapath's events in all other cases; the versions of both say which is
 * newer. Groups, meters and the option mapping are kept from dumps. Serves replay after the
 * datapath died, and flow monitors (was it there before?). One thread. */
#pragma once
#include "datapath/api/msg.h"

struct shadow;

struct shadow *shadow_create(void);
void shadow_destroy(struct shadow *s);
void shadow_clear(struct shadow *s);
/* A rule as in an event or a dump, as it is since `version` of the datapath (0: not known). What is
 * older than what we know is passed over. */
void shadow_put_rule(struct shadow *s, struct attrs rule, uint64_t version);
/* The datapath is another one: its versions begin anew. */
void shadow_forget_versions(struct shadow *s);
/* Reading all rules anew: what we knew stays until the end, so that a datapath that dies meanwhile
 * gets that back. A reading that begins ends the one before it, whose number then means nothing. */
uint64_t shadow_read_begin(struct shadow *s);
/* The datapath had this version before the first rule was read: older news say nothing. */
void shadow_read_at(struct shadow *s, uint64_t reading, uint64_t version);
void shadow_read_put(struct shadow *s, uint64_t reading, struct attrs rule, uint64_t version);
void shadow_read_end(struct shadow *s, uint64_t reading);
/* It cannot be read: what we knew stays. */
void shadow_read_drop(struct shadow *s, uint64_t reading);
/* The rule that has its table, priority and match; borrowed until the next change. */
bool shadow_find_rule(const struct shadow *s, struct attrs rule, struct attrs *out);
/* How many rules were put so far; those put after that moment, with what they are now. */
uint64_t shadow_time(const struct shadow *s);
void shadow_for_each_since(const struct shadow *s, uint64_t since,
			   void (*fn)(struct attrs rule, bool added, void *aux), void *aux);
/* The rule went in `version`, having come in version `added` (0: not known). UNSURE: it came and
 * went in one transaction that we have put already; the tables must be read again. */
enum shadow_answer { SHADOW_KEPT, SHADOW_CHANGED, SHADOW_UNSURE };
enum shadow_answer shadow_del_rule(struct shadow *s, struct attrs rule, uint64_t version,
				   uint64_t added);
/* Of one table, or of all (255). fn changes nothing. */
void shadow_for_each_in(const struct shadow *s, uint8_t table,
			void (*fn)(struct attrs rule, void *aux), void *aux);

/* ---- a transaction of ours ----
 * Is the effect of the operation known without asking: does it add a rule, or delete all of a
 * table? */
bool shadow_foresees(struct attrs op);
/* Collects such operations before they are sent; *plan begins as NULL. Copies. */
struct shadow_plan;
void shadow_plan_add(struct shadow_plan **plan, struct attrs op);
void shadow_plan_free(struct shadow_plan *plan);
size_t shadow_plan_len(const struct shadow_plan *plan);
/* Does change i add a rule? To `table`; else that table is emptied (255: all). */
bool shadow_plan_adds(const struct shadow_plan *plan, size_t i, uint8_t *table, struct attrs *rule);
/* It was committed in `version`: change i, once, in order. Rules with one of `keep_flags` are not
 * deleted. */
void shadow_plan_do(struct shadow *s, struct shadow_plan *plan, size_t i, uint64_t version,
		    uint32_t keep_flags);

/* The operations on rules of a transaction that was committed in `version`, of whose effect the
 * events are still to come: until then they are replayed behind the rules that they were done to.
 * Copies. */
void shadow_pend(struct shadow *s, struct attrs transaction, uint64_t version);
bool shadow_has_pending(const struct shadow *s);
/* All events of the transactions that were answered so far have come. While the tables are read
 * anew that is not enough: ask again. */
void shadow_told(struct shadow *s);

/* Groups and meters: `op` is API_OP_GROUP_MOD or API_OP_METER_MOD, `object` an OBJECT nest of the
 * dump. All that `from` has of them come in place of ours. */
void shadow_put_object(struct shadow *s, enum api_op op, struct attrs object);
void shadow_take_objects(struct shadow *s, enum api_op op, struct shadow *from);
/* Beside ours, in place of those with the same number. */
void shadow_add_objects(struct shadow *s, enum api_op op, struct shadow *from);
size_t shadow_rules(const struct shadow *s);
uint32_t shadow_rules_in(const struct shadow *s, uint8_t table);
/* Appends operations that recreate everything: meters, groups, rules. Returns how many. */
size_t shadow_replay(const struct shadow *s, const char *bridge, struct msg *transaction);
