/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes as a client would send them, in pieces of varying size, to a session of a server with the
 * Open_vSwitch database in memory: framing, parsing and every method. The first byte chooses how
 * the rest is cut up. */
#include <event2/event.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/server_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct event_base *base;
static struct ovsdb_server *server;

static void start(void)
{
	struct ovsdb_schema *schema = ovsdb_builtin_schema("Open_vSwitch");

	log_set_levels("off", NULL);
	base = event_base_new();
	server = ovsdb_server_create(base,
				     &(struct ovsdb_server_limits){.max_message_bytes = 1 << 20,
								   .max_backlog_bytes = 8 << 20});
	server_update_database_row(server,
				   server_install_db(server, ovsdb_db_create(schema), NULL, NULL));
	ovsdb_schema_unref(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char reply[65536];
	int fds[2];

	if (!base)
		start();
	if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
		return 0;
	size_t piece = data[0] ? data[0] : size;
	ovsdb_server_attach(server, fds[1], "fuzz");
	for (size_t at = 1; at < size; at += piece) {
		size_t n = SL_MIN(piece, size - at);

		if (send(fds[0], data + at, n, MSG_NOSIGNAL) != (ssize_t)n)
			break;
		event_base_loop(base, EVLOOP_NONBLOCK);
		while (read(fds[0], reply, sizeof reply) > 0)
			;
	}
	close(fds[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return 0;
}
