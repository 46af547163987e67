/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads what the datapath holds: asks for all its dumps at once and hands over one configuration
 * when the last has come. Event-loop thread. */
#pragma once
#include "control/state/port_state.h"
#include "datapath/api/client.h"
#include "datapath/base/err.h"

struct datapath_info {
	uint64_t boot_id;
	uint32_t pid;
	uint64_t started_ms; /* wall clock */
	char dpdk_version[64];
	bool hugepages;
};

/* `actual` (sorted; taken over by the callee) and `ports` in the datapath's order; on an error both
 * are empty. `info` is borrowed. */
struct actual_port {
	char *name;
	struct port_status status;
};
typedef void (*actual_fn)(struct config *actual, const struct actual_port *ports, size_t n_ports,
			  const struct datapath_info *info, const struct err *error, void *aux);
void actual_read(struct api_client *client, actual_fn done, void *aux);
