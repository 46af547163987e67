/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of requests, and those about the process itself. */
#include "datapath/server/request.h"

#include <rte_version.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/log.h"
#include "datapath/core/pool.h"
#include "datapath/core/version.h"
#include "datapath/poll/poll.h"
#include "datapath/server/events.h"
#include "datapath/server/loop.h"
#include "datapath/server/packet_in.h"
#include "datapath/server/server.h"

LOG_MODULE(server);

#define REQUEST_HANDLER_READ(id)  request_##id
#define REQUEST_HANDLER_WRITE(id) request_##id
#define REQUEST_HANDLER_NOTE(id)  refuse_note

static void refuse_note(struct conn *c, struct attrs a)
{
	struct err e = {0};

	err_set(&e, EOPNOTSUPP, "message: only the datapath sends this one");
	conn_reply_error(c, &e, NULL, NULL);
}

static const struct request_info infos[API_MESSAGE_N] = {
#define MESSAGE(id, name, who, ...) [API_##id] = {REQUEST_##who, REQUEST_HANDLER_##who(id)},
#include "datapath/api/messages.def"
#undef MESSAGE
};

const struct request_info *request_info(unsigned type)
{
	return &infos[type];
}

void request_put_identity(struct msg *m)
{
	msg_put_u32(m, ATTR_API_VERSION, API_VERSION_NOW);
	msg_put_u64(m, ATTR_CAPABILITIES, API_CAP_DUMMY);
	msg_put_str(m, ATTR_PROGRAM, "sluice-datapath " SLUICE_VERSION);
	msg_put_u32(m, ATTR_PID, (uint32_t)getpid());
	msg_put_u64(m, ATTR_BOOT_ID, server.boot_id);
	msg_put_u64(m, ATTR_GENERATION, server.generation);
}

void request_STATUS(struct conn *c, struct attrs a)
{
	uint16_t cores[POLL_THREADS_MAX];
	unsigned in_use, total, n = poll_cores(cores, POLL_THREADS_MAX);
	struct msg *m = conn_reply_begin(c);
	char detail[256];

	request_put_identity(m);
	msg_put_u64(m, ATTR_VERSION, version_now());
	msg_put_u64(m, ATTR_UPTIME_MS, clock_mono_ms() - server.started_ms);
	msg_put_u64(m, ATTR_MEMORY_BYTES, server.memory_bytes);
	msg_put_u8(m, ATTR_HUGEPAGES, server.hugepages);
	msg_put_u16(m, ATTR_MAIN_CORE, server.main_core);
	msg_put_bytes(m, ATTR_CORES, cores, n * sizeof *cores);
	msg_put_u32(m, ATTR_SLEEP_MAX_US, poll_sleep_max_us());
	msg_put_str(m, ATTR_DPDK_VERSION, rte_version());
	msg_put_u64(m, ATTR_EVENT_SEQ, events_next_seq());
	pool_usage(&in_use, &total);
	snprintf(detail, sizeof detail,
		 "buffers_in_use=%u buffers=%u clients=%zu writes=%llu packet_ins_unwanted=%llu "
		 "writer=%s",
		 in_use, total, conn_count(), (unsigned long long)conn_writes(),
		 (unsigned long long)packet_in_unwanted(),
		 conn_writer_program() ? conn_writer_program() : "");
	msg_put_str(m, ATTR_DETAIL, detail);
	conn_reply_end(c);
}

void request_SUBSCRIBE(struct conn *c, struct attrs a)
{
	uint64_t from = conn_subscribe(c, attrs_u64(a, ATTR_EVENT_MASK, 0),
				       attrs_u64(a, ATTR_EVENT_SEQ, 0));

	msg_put_u64(conn_reply_begin(c), ATTR_EVENT_SEQ, from);
	conn_reply_end(c);
}

static void put_module(const struct log_module *module, void *aux)
{
	struct msg *m = aux;
	size_t at = msg_nest_begin(m, ATTR_OBJECT);

	msg_put_str(m, ATTR_NAME, module->name);
	msg_put_str(m, ATTR_LEVEL, log_level_name(module->level));
	msg_nest_end(m, at);
}

void request_LOG(struct conn *c, struct attrs a)
{
	const char *spec = attrs_str(a, ATTR_LEVEL, NULL);
	struct err e = {0};

	if (spec && log_set_levels(spec, &e)) {
		conn_reply_error(c, &e, NULL, NULL);
		return;
	}
	log_for_each_module(put_module, conn_reply_begin(c));
	conn_reply_end(c);
}

void request_EXIT(struct conn *c, struct attrs a)
{
	log_info("%s: asked to exit", conn_program(c));
	conn_reply_ok(c);
	loop_stop();
}
