/* SPDX-License-Identifier: BSD-3-Clause */
/* fsync of one log file off the event loop: commits that wait together share one. A thread of its
 * own calls fdatasync and nothing else; callbacks come from the loop. */
#pragma once
#include <event2/event.h>

struct syncer;

typedef void (*syncer_cb)(int rc, void *aux);

struct syncer *syncer_create(struct event_base *base);
/* Finishes what is running; callbacks not yet made are made with -ECANCELED. */
void syncer_destroy(struct syncer *s);
/* done(0) once everything written to fd before this call is on disk; done(-errno) if not. fd is
 * duplicated, so the caller may replace its file meanwhile. */
void syncer_request(struct syncer *s, int fd, syncer_cb done, void *aux);
