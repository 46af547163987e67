/* SPDX-License-Identifier: BSD-3-Clause */
/* Dumps in flight that fill one configuration. Replies come in the order of the requests, so
 * the last reply of the last request ends it. */
#include "control/state/actual.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"

struct reading {
	struct api_client *client;
	struct config config;
	VEC(struct actual_port) ports;
	struct datapath_info info;
	struct err error;
	actual_fn done;
	void *aux;
};

static bool failed(struct reading *r, const struct err *error)
{
	if (error && !r->error.code)
		r->error = *error;
	return error;
}

static void got_status(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct reading *r = aux;
	const uint16_t *cores;
	uint64_t sleep_us;
	size_t len;
	if (failed(r, error))
		return;
	snprintf(r->info.dpdk_version, sizeof r->info.dpdk_version, "%s",
		 attrs_str(a, ATTR_DPDK_VERSION, ""));
	r->info.hugepages = attrs_u64(a, ATTR_HUGEPAGES, 0);
	r->info.started_ms = clock_wall_ms() - attrs_u64(a, ATTR_UPTIME_MS, 0);
	r->info.pid = (uint32_t)attrs_u64(a, ATTR_PID, 0);
	r->config.generation = attrs_u64(a, ATTR_GENERATION, 0);
	cores = attrs_bytes(a, ATTR_CORES, &len);
	if (cores)
		vec_append(&r->config.cores, cores, len / sizeof *cores);
	if (attrs_get_u64(a, ATTR_SLEEP_MAX_US, &sleep_us)) {
		r->config.has_sleep_max = true;
		r->config.sleep_max_us = (uint32_t)sleep_us;
	}
}

static void got_bridges(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct reading *r = aux;
	if (failed(r, error))
		return;
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_OBJECT)
			config_add_bridge_dump(&r->config, attr_nest(it));
}

static void got_ports(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct reading *r = aux;
	if (failed(r, error))
		return;
	ATTR_FOR_EACH (it, a) {
		struct actual_port st;
		const struct config_port *p;
		if (it->id != ATTR_OBJECT)
			continue;
		p = config_add_port_dump(&r->config, attr_nest(it));
		if (!p)
			continue;
		st.name = xstrdup(p->name);
		port_status_read(&st.status, attr_nest(it));
		vec_push(&r->ports, st);
	}
}

static void got_zones(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct reading *r = aux;
	if (failed(r, error))
		return;
	ATTR_FOR_EACH (it, a)
		if (it->id == ATTR_OBJECT)
			config_add_zone_dump(&r->config, attr_nest(it));
}

static void finish(struct reading *r)
{
	if (r->error.code)
		config_free(&r->config);
	else
		config_sort(&r->config);
	r->done(&r->config, r->ports.at, r->error.code ? 0 : r->ports.len, &r->info,
		r->error.code ? &r->error : NULL, r->aux);
	config_free(&r->config);
	VEC_FOR_EACH (p, &r->ports)
		free(p->name);
	vec_free(&r->ports);
	free(r);
}

/* The last request. */
static void got_macs(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct reading *r = aux;
	if (!failed(r, error))
		ATTR_FOR_EACH (it, a)
			if (it->id == ATTR_OBJECT)
				config_add_mac_dump(&r->config, attr_nest(it));
	if (!more)
		finish(r);
}

void actual_read(struct api_client *client, actual_fn done, void *aux)
{
	static const struct {
		enum api_message type;
		api_done_fn fn;
	} requests[] = {
		{API_STATUS, got_status}, {API_BRIDGES, got_bridges}, {API_PORTS, got_ports},
		{API_CT_INFO, got_zones}, {API_MACS, got_macs},
	};
	struct reading *r = xzalloc(sizeof *r);
	r->client = client;
	r->info.boot_id = api_boot_id(client);
	r->done = done;
	r->aux = aux;
	for (size_t i = 0; i < SL_ARRAY_SIZE(requests); i++) {
		struct msg m;
		msg_init(&m, requests[i].type, 0);
		if (requests[i].type == API_MACS)
			msg_put_u8(&m, ATTR_STATIC, 1); /* learnt ones are many and not ours */
		api_send(client, &m, requests[i].fn, r);
	}
}
