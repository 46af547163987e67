/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets as the datapath sees them: runs a CAPTURE or TRACE_LIVE request until its limit, SIGINT,
 * SIGTERM or SIGPIPE, and hands over what comes. One thread. */
#pragma once
#include "datapath/api/client.h"

struct live {
	/* The datapath has accepted the request; may be NULL. */
	int (*started)(void *aux, struct err *e);
	/* Each packet; -errno with *e set ends it. */
	int (*packet)(struct attrs object, void *aux, struct err *e);
	/* After each message with packets; may be NULL. */
	int (*batch)(void *aux, struct err *e);
	void *aux;
	uint64_t time_limit_ms; /* 0: none */
	/* out: what the datapath counted */
	uint64_t seen, lost;
};

/* Takes the request. 0, or -errno with *e set. */
int live_run(struct api_client *client, struct msg *request, struct live *l, struct err *e);
