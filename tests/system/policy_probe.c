/* SPDX-License-Identifier: BSD-3-Clause */
/* Who reaches whom, measured: the same small program in containers, guests and on the host.
 *
 *	policy-probe serve ADDRESS,ADDRESS PORT...   answers TCP, UDP and IP protocol 47 until
 *killed policy-probe ask QUIET_MS LIMIT_MS < lines "KIND ADDRESS NUMBER EXPECTED"
 *
 * Kinds: tcp (connect, one byte there and back), udp, frag (udp, 3000 bytes each way), icmp (echo),
 * proto (IP protocol NUMBER), rst (a TCP port that nobody listens to), unreach (such a UDP port: an
 * ICMP error comes back). EXPECTED is yes or no and only says how long to wait: for a yes up to
 * LIMIT_MS, for a no QUIET_MS. Each question is one packet, never sent again: what is lost is seen.
 *	policy-probe raw INTERFACE < lines of hexadecimal digits, each a frame that is sent as it is
 *
 * ask prints each line with what came of it: yes, no, or late (yes, but TCP had to send again). Not
 * part of the product. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROBES_MAX = 512, LISTENERS_MAX = 64, FRAG_BYTES = 3000, QUESTION = '?' };

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

enum kind { LISTEN_TCP, LISTEN_UDP, LISTEN_RAW, CONNECTION };

static int listener(const char *address, int port, enum kind kind)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW};
	struct address a = parse(address, kind == LISTEN_RAW ? 0 : port);
	int one = 1,
	    fd = socket(a.sa.ss_family, types[kind] | SOCK_NONBLOCK, kind == LISTEN_RAW ? port : 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one); /* an address still tentative */
	if (bind(fd, (struct sockaddr *)&a.sa, a.len) || (kind == LISTEN_TCP && listen(fd, 256))) {
		fprintf(stderr, "%s port %d: %s\n", address, port, strerror(errno));
		exit(1);
	}
	return fd;
}

static void answer_datagram(int fd, enum kind kind)
{
	char buffer[FRAG_BYTES + 64], *p = buffer;
	struct address peer = {.len = sizeof peer.sa};
	ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&peer.sa, &peer.len);
	if (kind == LISTEN_RAW && n > 0) {
		size_t header = peer.sa.ss_family == AF_INET ? (size_t)(*p & 15) * 4 : 0;
		p += header;
		n -= (ssize_t)header;
		if (n < 1 || *p != QUESTION) /* it hears the answers to others, too */
			return;
		*p = '!';
	}
	if (n > 0)
		sendto(fd, p, (size_t)n, 0, (struct sockaddr *)&peer.sa, peer.len);
}

/* False: the connection is over. */
static bool answer_stream(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n == 1)
		send(fd, &byte, 1, MSG_NOSIGNAL);
	close(fd);
	return false;
}

struct served {
	struct pollfd p[LISTENERS_MAX + PROBES_MAX * 4];
	enum kind kind[LISTENERS_MAX + PROBES_MAX * 4];
	nfds_t n;
};

static void serve_one(struct served *s, int fd, enum kind kind)
{
	if (s->n == sizeof s->p / sizeof *s->p) {
		close(fd);
		return;
	}
	s->kind[s->n] = kind;
	s->p[s->n++] = (struct pollfd){fd, POLLIN, 0};
}

static void serve_ready(struct served *s, nfds_t i)
{
	int fd;
	switch (s->kind[i]) {
	case LISTEN_TCP:
		fd = accept4(s->p[i].fd, NULL, NULL, SOCK_NONBLOCK);
		if (fd >= 0)
			serve_one(s, fd, CONNECTION);
		return;
	case LISTEN_UDP:
	case LISTEN_RAW:
		answer_datagram(s->p[i].fd, s->kind[i]);
		return;
	case CONNECTION:
		if (!answer_stream(s->p[i].fd))
			s->p[i].fd = -1;
		return;
	}
}

static void serve(int argc, char **argv)
{
	static struct served s;
	for (char *a = strtok(argv[2], ","); a; a = strtok(NULL, ",")) {
		for (int i = 3; i < argc && s.n + 2 <= LISTENERS_MAX; i++) {
			int port = atoi(argv[i]);
			if (port < 256) {
				serve_one(&s, listener(a, port, LISTEN_RAW), LISTEN_RAW);
				continue;
			}
			serve_one(&s, listener(a, port, LISTEN_TCP), LISTEN_TCP);
			serve_one(&s, listener(a, port, LISTEN_UDP), LISTEN_UDP);
		}
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		nfds_t n = s.n;
		poll(s.p, n, -1);
		for (nfds_t i = 0; i < n; i++)
			if (s.p[i].revents)
				serve_ready(&s, i);
		while (s.n && s.p[s.n - 1].fd < 0)
			s.n--;
		for (nfds_t i = 0; i < s.n; i++) /* the last takes the place of one that is over */
			if (s.p[i].fd < 0) {
				s.p[i] = s.p[s.n - 1];
				s.kind[i] = s.kind[s.n - 1];
				s.n--;
			}
	}
}

/* ---- ask ---- */

struct probe {
	char kind[8], address[64], expected[4];
	int port, fd;
	struct address to;
	bool asked, yes, late, over;
	uint16_t id; /* of echo requests */
};

static bool is_kind(const struct probe *p, const char *kind)
{
	return !strcmp(p->kind, kind);
}

static bool is_tcp(const struct probe *p)
{
	return is_kind(p, "tcp") || is_kind(p, "rst");
}

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

static void ask_once(struct probe *p)
{
	static char text[FRAG_BYTES];
	if (p->asked)
		return;
	p->asked = true;
	text[0] = QUESTION;
	if (is_kind(p, "icmp"))
		send_echo(p);
	else if (!is_tcp(p))
		send(p->fd, text, is_kind(p, "frag") ? FRAG_BYTES : 16, 0);
	else if (connect(p->fd, (struct sockaddr *)&p->to.sa, p->to.len) && errno != EINPROGRESS)
		p->over = true;
}

static void begin(struct probe *p, uint16_t id)
{
	bool icmp = is_kind(p, "icmp"), proto = is_kind(p, "proto");
	int family, type = is_tcp(p) ? SOCK_STREAM : SOCK_DGRAM, protocol = 0;
	p->to = parse(p->address, icmp || proto ? 0 : p->port);
	family = p->to.sa.ss_family;
	p->id = id;
	if (icmp || proto)
		type = SOCK_RAW;
	if (icmp)
		protocol = family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	else if (proto)
		protocol = p->port;
	p->fd = socket(family, type | SOCK_NONBLOCK, protocol);
	if (p->fd < 0) {
		perror("socket");
		exit(1);
	}
	if (!icmp && !is_tcp(p))
		connect(p->fd, (struct sockaddr *)&p->to.sa, p->to.len);
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

static bool is_my_proto(const struct probe *p)
{
	char b[256];
	ssize_t n = recv(p->fd, b, sizeof b, 0);
	size_t at = p->to.sa.ss_family == AF_INET6 || n < 1 ? 0 : (size_t)(b[0] & 15) * 4;
	return n > (ssize_t)at && b[at] == '!';
}

static bool sent_again(const struct probe *p)
{
	struct tcp_info info;
	socklen_t len = sizeof info;
	return !getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_total_retrans;
}

static void look_tcp(struct probe *p, short events)
{
	int error = 0;
	socklen_t len = sizeof error;
	char byte = QUESTION;
	ssize_t n;
	if (events & (POLLERR | POLLHUP)) {
		getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		p->yes = is_kind(p, "rst") && error == ECONNREFUSED;
		p->over = true;
	} else if (events & POLLIN) {
		n = recv(p->fd, &byte, 1, 0);
		p->late = sent_again(p);
		p->yes = n == 1 && byte == QUESTION;
		p->over = n != 1;
	} else if (p->asked && events & POLLOUT && !is_kind(p, "rst")) {
		p->over = send(p->fd, &byte, 1, MSG_NOSIGNAL) != 1;
		p->port = -p->port; /* connected: only the answer is waited for */
	}
}

static void look(struct probe *p, short events)
{
	char buffer[FRAG_BYTES];
	ssize_t n;
	if (is_tcp(p)) {
		look_tcp(p, events);
	} else if (is_kind(p, "icmp")) {
		p->yes |= is_my_echo(p);
	} else if (is_kind(p, "proto")) {
		p->yes |= is_my_proto(p);
	} else {
		n = recv(p->fd, buffer, sizeof buffer, 0);
		if (is_kind(p, "unreach"))
			p->yes |= n < 0 && errno == ECONNREFUSED;
		else
			p->yes |= n == (is_kind(p, "frag") ? FRAG_BYTES : 16);
	}
}

static short events_of(const struct probe *p)
{
	return (short)(POLLIN | (is_tcp(p) && p->port > 0 ? POLLOUT : 0));
}

static int ask(int64_t quiet_ms, int64_t limit_ms)
{
	static struct probe probe[PROBES_MAX];
	static struct pollfd p[PROBES_MAX];
	size_t n = 0;
	int64_t start;
	while (n < PROBES_MAX && scanf("%7s %63s %d %3s", probe[n].kind, probe[n].address,
				       &probe[n].port, probe[n].expected) == 4) {
		begin(&probe[n], (uint16_t)(getpid() * 37 + (int)n));
		n++;
	}
	start = now_ms();
	for (size_t i = 0; i < n; i++)
		ask_once(&probe[i]);
	for (;;) {
		bool waits = false, hopes = false;
		for (size_t i = 0; i < n; i++) {
			bool done = probe[i].yes || probe[i].over;
			p[i] = (struct pollfd){done ? -1 : probe[i].fd, events_of(&probe[i]), 0};
			waits |= !done;
			hopes |= !done && probe[i].expected[0] == 'y';
		}
		if (!waits || now_ms() > start + (hopes ? limit_ms : quiet_ms) ||
		    poll(p, n, 20) < 0)
			break;
		for (size_t i = 0; i < n; i++)
			if (p[i].revents)
				look(&probe[i], p[i].revents);
	}
	for (size_t i = 0; i < n; i++)
		printf("%s %s %d %s\n", probe[i].kind, probe[i].address, abs(probe[i].port),
		       !probe[i].yes   ? "no"
		       : probe[i].late ? "late"
				       : "yes");
	return 0;
}

/* ---- raw ---- */

static size_t read_hex(const char *text, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned byte;
	for (; n < max && sscanf(text, "%2x", &byte) == 1; text += 2)
		out[n++] = (uint8_t)byte;
	return n;
}

static int raw(const char *interface)
{
	static char line[8192];
	uint8_t frame[4096];
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_ifindex = (int)if_nametoindex(interface)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), sent = 0;
	if (fd < 0 || !to.sll_ifindex) {
		perror(interface);
		return 1;
	}
	while (fgets(line, sizeof line, stdin)) {
		size_t n = read_hex(line, frame, sizeof frame);
		if (n && sendto(fd, frame, n, 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)n)
			sent++;
		usleep(2000);
	}
	printf("sent %d\n", sent);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "raw"))
		return raw(argv[2]);
	if (argc > 3 && !strcmp(argv[1], "serve"))
		serve(argc, argv);
	if (argc == 4 && !strcmp(argv[1], "ask"))
		return ask(atoi(argv[2]), atoi(argv[3]));
	fprintf(stderr, "usage: policy-probe serve ADDRESSES PORT... | ask QUIET_MS LIMIT_MS\n");
	return 2;
}
