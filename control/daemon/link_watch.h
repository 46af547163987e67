/* SPDX-License-Identifier: BSD-3-Clause */
/* Hears from the kernel which network devices appear, so that a port that waits for its device is
 * tried at once and not at the end of its back-off. */
#pragma once
struct engine;
struct event_base;
struct link_watch;

/* NULL when the kernel refuses; then ports are found by their back-off alone. */
struct link_watch *link_watch_create(struct event_base *base, struct engine *engine);
void link_watch_destroy(struct link_watch *w); /* NULL is fine */
