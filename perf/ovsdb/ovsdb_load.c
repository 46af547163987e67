/* SPDX-License-Identifier: BSD-3-Clause */
/* Load for an OVSDB server (run.py drives it): as little work per message as possible, so that the
 * server is what is measured.
 *
 *	ovsdb-load txn SOCK CLIENTS SECONDS          each client updates a row of its own, one
 *	                                             transaction in flight; prints transactions/s
 *	ovsdb-load monitor SOCK MONITORS TXNS        initial contents to all, then TXNS transactions
 *	                                             one by one, each seen by all; prints seconds */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/str.h"
#include "datapath/base/vec.h"

struct peer {
	int fd;
	char uuid[37];
	int depth;
	bool in_string, escaped;
	unsigned n_messages; /* complete ones received */
	uint64_t n_done;
	struct str head; /* first bytes of the message being received */
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void peer_connect(struct peer *p, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
	p->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		die(path);
}

static void peer_send(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t k = write(p->fd, text, n);

		if (k < 0)
			die("write");
		text += k;
		n -= (size_t)k;
	}
}

/* Reads what is there; counts complete messages. */
static void peer_receive(struct peer *p)
{
	static char buf[1 << 18];
	ssize_t n = read(p->fd, buf, sizeof buf);

	if (n <= 0)
		die("server closed the connection");
	for (ssize_t i = 0; i < n; i++) {
		char c = buf[i];

		if (p->depth && p->head.len < 400)
			str_putc(&p->head, c);
		if (p->in_string) {
			if (p->escaped)
				p->escaped = false;
			else if (c == '\\')
				p->escaped = true;
			else if (c == '"')
				p->in_string = false;
		} else if (c == '"') {
			p->in_string = true;
		} else if (c == '{' || c == '[') {
			if (!p->depth++)
				str_clear(&p->head);
		} else if (c == '}' || c == ']') {
			p->n_messages += !--p->depth;
		}
	}
}

static void await(struct peer *p, unsigned messages)
{
	while (p->n_messages < messages)
		peer_receive(p);
}

static void insert_own_row(struct peer *p)
{
	peer_send(p, "{\"id\":1,\"method\":\"transact\",\"params\":[\"Open_vSwitch\",{\"op\":"
		     "\"insert\",\"table\":\"Queue\",\"row\":{}}]}");
	await(p, p->n_messages + 1);
	const char *u = strstr(str_cstr(&p->head), "[\"uuid\"");
	if (!u || !(u = strchr(u, ',')))
		die("insert failed");
	u = strchr(u, '"') + 1;
	memcpy(p->uuid, u, 36);
}

static void update_own_row(struct peer *p)
{
	char text[512];

	snprintf(
		text, sizeof text,
		"{\"id\":2,\"method\":\"transact\",\"params\":[\"Open_vSwitch\",{\"op\":\"update\","
		"\"table\":\"Queue\",\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"%s\"]]],\"row\":{"
		"\"external_ids\":[\"map\",[[\"rx_packets\",\"%llu\"],[\"tx_packets\",\"%llu\"]]],"
		"\"dscp\":%llu}}]}",
		p->uuid, (unsigned long long)p->n_done, (unsigned long long)p->n_done * 3,
		(unsigned long long)p->n_done % 64);
	peer_send(p, text);
}

static int run_txn(const char *path, size_t n, double seconds)
{
	struct peer *peers = xcalloc(n, sizeof *peers);
	struct pollfd *fds = xcalloc(n, sizeof *fds);
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++) {
		peer_connect(&peers[i], path);
		insert_own_row(&peers[i]);
		fds[i] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
	}
	uint64_t start_us = clock_mono_us(), now_us = start_us;
	for (size_t i = 0; i < n; i++) {
		peers[i].n_messages = 0;
		update_own_row(&peers[i]);
	}
	while ((double)(now_us - start_us) < seconds * 1e6) {
		if (n > 1 && poll(fds, n, 1000) < 0)
			die("poll");
		for (size_t i = 0; i < n; i++) {
			struct peer *p = &peers[i];

			if (n > 1 && !fds[i].revents)
				continue;
			peer_receive(p);
			if (!p->n_messages)
				continue;
			p->n_messages = 0;
			p->n_done++;
			total++;
			update_own_row(p);
		}
		now_us = clock_mono_us();
	}
	printf("%.0f\n", (double)total / ((double)(now_us - start_us) / 1e6));
	return 0;
}

static int run_monitor(const char *path, size_t n, unsigned txns)
{
	struct peer *peers = xcalloc(n, sizeof *peers), writer = {0};

	peer_connect(&writer, path);
	insert_own_row(&writer);
	for (size_t i = 0; i < n; i++)
		peer_connect(&peers[i], path);
	uint64_t start_us = clock_mono_us();
	for (size_t i = 0; i < n; i++)
		peer_send(&peers[i],
			  "{\"id\":1,\"method\":\"monitor_cond\",\"params\":[\"Open_vSwitch\","
			  "1,{\"Queue\":[{\"columns\":[\"dscp\",\"external_ids\"]}]}]}");
	for (size_t i = 0; i < n; i++)
		await(&peers[i], 1);
	uint64_t initial_us = clock_mono_us() - start_us;
	start_us = clock_mono_us();
	for (unsigned t = 0; t < txns; t++) {
		writer.n_done++;
		update_own_row(&writer);
		await(&writer, t + 2);
		for (size_t i = 0; i < n; i++)
			await(&peers[i], t + 2);
	}
	uint64_t updates_us = clock_mono_us() - start_us;
	printf("%.4f %.6f\n", (double)initial_us / 1e6, (double)updates_us / 1e6 / txns);
	return 0;
}

int main(int argc, char *argv[])
{
	if (argc == 5 && !strcmp(argv[1], "txn"))
		return run_txn(argv[2], (size_t)atoi(argv[3]), atof(argv[4]));
	if (argc == 5 && !strcmp(argv[1], "monitor"))
		return run_monitor(argv[2], (size_t)atoi(argv[3]), (unsigned)atoi(argv[4]));
	fprintf(stderr,
		"usage: ovsdb-load txn SOCK CLIENTS SECONDS | monitor SOCK MONITORS TXNS\n");
	return 2;
}
