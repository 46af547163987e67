/* SPDX-License-Identifier: BSD-3-Clause */
/* Who reaches whom, measured: the same small program in containers, guests and on the host.
 *
 *	policy-probe serve ADDRESS,ADDRESS PORT...   answers TCP and UDP on all of them until killed
 *	policy-probe ask MILLISECONDS < lines "tcp ADDRESS PORT", "udp ADDRESS PORT", "icmp ADDRESS
 *0"
 *
 * ask tries all at once and prints each line with " yes" or " no". Not part of the product. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROBES_MAX = 512, LISTENERS_MAX = 64, RESEND_MS = 250 };

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

static struct address parse(const char *text, int port)
{
	struct address a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.sa;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		a.len = sizeof *v4;
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		a.len = sizeof *v6;
	} else {
		fprintf(stderr, "%s: not an address\n", text);
		exit(2);
	}
	return a;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- serve ---- */

static int listener(const char *address, int port, int type)
{
	struct address a = parse(address, port);
	int one = 1, fd = socket(a.sa.ss_family, type | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one); /* an address still tentative */
	if (bind(fd, (struct sockaddr *)&a.sa, a.len) || (type == SOCK_STREAM && listen(fd, 256))) {
		fprintf(stderr, "%s port %d: %s\n", address, port, strerror(errno));
		exit(1);
	}
	return fd;
}

static void answer(int fd, bool is_tcp)
{
	char buffer[64];
	struct address peer = {.len = sizeof peer.sa};
	ssize_t n;
	if (is_tcp) {
		int c = accept(fd, NULL, NULL);
		if (c >= 0)
			close(c);
		return;
	}
	n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&peer.sa, &peer.len);
	if (n > 0)
		sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&peer.sa, peer.len);
}

static void serve(int argc, char **argv)
{
	struct pollfd p[LISTENERS_MAX];
	bool is_tcp[LISTENERS_MAX];
	nfds_t n = 0;
	for (char *a = strtok(argv[2], ","); a; a = strtok(NULL, ","))
		for (int i = 3; i < argc && n + 2 <= LISTENERS_MAX; i++) {
			is_tcp[n] = true;
			p[n++] =
				(struct pollfd){listener(a, atoi(argv[i]), SOCK_STREAM), POLLIN, 0};
			is_tcp[n] = false;
			p[n++] = (struct pollfd){listener(a, atoi(argv[i]), SOCK_DGRAM), POLLIN, 0};
		}
	puts("ready");
	fflush(stdout);
	for (;;) {
		poll(p, n, -1);
		for (nfds_t i = 0; i < n; i++)
			if (p[i].revents)
				answer(p[i].fd, is_tcp[i]);
	}
}

/* ---- ask ---- */

struct probe {
	char kind[8], address[64];
	int port, fd;
	struct address to;
	bool yes;
	uint16_t id; /* of echo requests */
};

static uint16_t checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void send_echo(const struct probe *p)
{
	uint8_t packet[16] = {0};
	bool v6 = p->to.sa.ss_family == AF_INET6;
	uint16_t sum;
	packet[0] = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	packet[4] = (uint8_t)(p->id >> 8);
	packet[5] = (uint8_t)p->id;
	sum = checksum(packet, sizeof packet);
	if (!v6) { /* the kernel does it for ICMPv6 */
		packet[2] = (uint8_t)(sum >> 8);
		packet[3] = (uint8_t)sum;
	}
	sendto(p->fd, packet, sizeof packet, 0, (const struct sockaddr *)&p->to.sa, p->to.len);
}

static void begin(struct probe *p, uint16_t id)
{
	int family, type = SOCK_STREAM, protocol = 0;
	bool icmp = !strcmp(p->kind, "icmp");
	p->to = parse(p->address, icmp ? 0 : p->port);
	family = p->to.sa.ss_family;
	p->id = id;
	if (icmp) {
		type = SOCK_RAW;
		protocol = family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	} else if (!strcmp(p->kind, "udp")) {
		type = SOCK_DGRAM;
	}
	p->fd = socket(family, type | SOCK_NONBLOCK, protocol);
	if (p->fd < 0) {
		perror("socket");
		exit(1);
	}
	if (!icmp)
		connect(p->fd, (struct sockaddr *)&p->to.sa, p->to.len);
}

static void again(const struct probe *p)
{
	if (!strcmp(p->kind, "udp"))
		send(p->fd, "ask", 3, 0);
	else if (!strcmp(p->kind, "icmp"))
		send_echo(p);
}

static bool is_my_echo(const struct probe *p)
{
	uint8_t b[256];
	bool v6 = p->to.sa.ss_family == AF_INET6;
	ssize_t n = recv(p->fd, b, sizeof b, 0);
	size_t at = v6 || n < 1 ? 0 : (size_t)(b[0] & 15) * 4;
	return n >= (ssize_t)at + 8 && b[at] == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) &&
	       b[at + 4] == p->id >> 8 && b[at + 5] == (p->id & 0xff);
}

static void look(struct probe *p, short events)
{
	int error = 0;
	socklen_t len = sizeof error;
	char buffer[64];
	if (!strcmp(p->kind, "icmp")) {
		p->yes |= is_my_echo(p);
	} else if (!strcmp(p->kind, "udp")) {
		p->yes |= recv(p->fd, buffer, sizeof buffer, 0) > 0;
	} else if (events & (POLLOUT | POLLHUP | POLLERR)) {
		getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		p->yes = !error;
		if (error)
			p->port = -p->port; /* refused or unreachable: it is over */
	}
}

static int ask(int64_t limit_ms)
{
	static struct probe probe[PROBES_MAX];
	static struct pollfd p[PROBES_MAX];
	size_t n = 0;
	int64_t end, next = 0;
	while (n < PROBES_MAX &&
	       scanf("%7s %63s %d", probe[n].kind, probe[n].address, &probe[n].port) == 3) {
		begin(&probe[n], (uint16_t)(getpid() * 37 + (int)n));
		n++;
	}
	for (end = now_ms() + limit_ms; now_ms() < end;) {
		nfds_t open = 0;
		if (now_ms() >= next) {
			for (size_t i = 0; i < n; i++)
				if (!probe[i].yes)
					again(&probe[i]);
			next = now_ms() + RESEND_MS;
		}
		for (size_t i = 0; i < n; i++) {
			bool tcp = !strcmp(probe[i].kind, "tcp");
			bool over = probe[i].yes || probe[i].port < 0;
			p[i] = (struct pollfd){over ? -1 : probe[i].fd, tcp ? POLLOUT : POLLIN, 0};
			open += !over;
		}
		if (!open || poll(p, n, 50) < 0)
			break;
		for (size_t i = 0; i < n; i++)
			if (p[i].revents)
				look(&probe[i], p[i].revents);
	}
	for (size_t i = 0; i < n; i++)
		printf("%s %s %d %s\n", probe[i].kind, probe[i].address, abs(probe[i].port),
		       probe[i].yes ? "yes" : "no");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "serve"))
		serve(argc, argv);
	if (argc == 3 && !strcmp(argv[1], "ask"))
		return ask(atoi(argv[2]));
	fprintf(stderr, "usage: policy-probe serve ADDRESSES PORT... | ask MILLISECONDS\n");
	return 2;
}
