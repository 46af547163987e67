/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files that execute actions. */
#pragma once
#include "datapath/flow/action.h"
#include "datapath/resolve/fields_rw.h"
#include "datapath/resolve/frozen.h"
#include "datapath/resolve/resolver_priv.h"

/* actions.c */
void resolve_action(struct resolver *r, const struct action *a);
void resolve_stack_load(struct resolver *r, const uint8_t *data, size_t len);

/* walk.c. boundary: a continuation taken inside does not reach beyond this list. */
void resolve_list(struct resolver *r, const uint8_t *list, size_t len, uint8_t table,
		  enum boundary boundary);
void resolve_action_set(struct resolver *r, const uint8_t *set, size_t len, enum boundary boundary);
/* The resolver's own set: at the end of the pipeline, or of a clone. Empty afterwards. */
void resolve_run_action_set(struct resolver *r);
void resolve_write_actions(struct resolver *r, const uint8_t *list, size_t len);
void resolve_clear_actions(struct resolver *r);
void resolve_thaw(struct resolver *r, const struct frozen_state *s);

/* freeze.c. Freezes what is left to do: in `table` (>= 0), or the rest of the lists up to the next
 * boundary. Returns the context's id; 0: no context (a drop was noted), or no side effects. */
uint32_t resolve_freeze(struct resolver *r, int table);
/* Emits the op that sends the packet round again with the context. */
void resolve_recirc(struct resolver *r, uint32_t frozen_id, uint8_t table);
/* The rest is in the context frozen last: nothing more is done here, up to the boundary. */
void resolve_stop_frozen(struct resolver *r);
/* Is anything left to do up to the next boundary but outputs? */
bool resolve_rest_needs_packet(const struct resolver *r);

/* groups.c */
void resolve_group(struct resolver *r, uint32_t group_id);
void resolve_meter(struct resolver *r, uint32_t meter_id);

/* hash.c */
/* Hash of the fields that a NX_HASH_FIELDS_* constant names; they are read. */
uint32_t resolve_hash_fields(struct resolver *r, uint16_t fields, uint16_t basis);
void resolve_multipath(struct resolver *r, const struct action_multipath *a);
void resolve_bundle(struct resolver *r, const struct action_bundle *a);

/* ct.c */
/* Does the packet, when it runs, perhaps carry a connection's state? */
bool resolve_ct_may_be_tracked(struct resolver *r);
void resolve_ct(struct resolver *r, const struct action_ct *a);
/* The ct_clear action. */
void resolve_ct_clear(struct resolver *r);

/* learn.c */
void resolve_learn(struct resolver *r, const struct action_learn *a);
