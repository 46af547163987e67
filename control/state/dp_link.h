/* SPDX-License-Identifier: BSD-3-Clause */
/* sluiced's connection to datapath.sock in the event loop: connects, asks for the writer's lease,
 * subscribes to events, and tries again when the datapath is away: every 2 ms at first, because a
 * supervisor starts a new one at once and guests wait for it, then every 10 ms. Everything runs on
 * the loop's thread and nothing waits. */
#pragma once
#include "datapath/api/client.h"
#include "datapath/base/err.h"

enum { DP_LINK_RETRY_SOON_MS = 2, DP_LINK_SOON_MS = 1000, DP_LINK_RETRY_MS = 10 };

struct dp_link;
struct event_base;

struct dp_link_ops {
	/* Ready to write. The client lives until `down` returns. */
	void (*up)(struct api_client *client, void *aux);
	void (*down)(void *aux);
	void (*event)(struct attrs event, void *aux);
};

/* `program` is what the datapath shows as our name. Both strings are copied. */
struct dp_link *dp_link_create(struct event_base *base, const char *socket_path,
			       const char *program, uint64_t event_mask,
			       const struct dp_link_ops *ops, void *aux);
void dp_link_destroy(struct dp_link *l);                    /* NULL is fine; `down` is not called */
struct api_client *dp_link_client(const struct dp_link *l); /* NULL while down */
/* Why there is no connection: "" while up. */
const char *dp_link_error(const struct dp_link *l);
