/* SPDX-License-Identifier: BSD-3-Clause */
/* News for clients, numbered, in a ring bounded in count and bytes. A client reads from its own
 * position at its own speed; when the ring has overtaken it, the numbers show the gap and it
 * resyncs by dumps. Main thread only. */
#pragma once
#include "datapath/api/msg.h"

enum { EVENTS_MAX = 1 << 16, EVENTS_BYTES_MAX = 32 << 20 };

/* A message to add attributes to; it is in the ring after events_end(). One at a time. */
struct msg *events_begin(enum api_event kind);
void events_end(void);
void events_end_quiet(void); /* not for the holder of the writer's lease */

uint64_t events_next_seq(void);  /* number that the next event will get; the first is 1 */
uint64_t events_first_seq(void); /* oldest in the ring (= next when it is empty) */
/* Something happened that was not worth an event, because nobody is subscribed to its kind: who
 * comes later cannot start before now. */
void events_skip(void);
uint64_t events_complete_from(void); /* from here on nothing was skipped or lost */
/* The message of event `seq`, or NULL when it is not in the ring. Valid until the next event. */
const struct msg *events_get(uint64_t seq, enum api_event *kind);
bool events_is_quiet(uint64_t seq); /* of one that is in the ring */

/* Called after each event (the connections' pump). */
extern void (*events_added)(void);
void events_destroy(void);
