/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_alg.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <strings.h>

#include "datapath/conntrack/ct_expect.h"

enum { ACTIVE_PORT_MIN = 1024, FTP_LINE_MAX = 256 };

/* ---- text of guests and servers: every step compares with the end ---- */
struct cursor {
	const char *at, *end;
};

static bool skip_char(struct cursor *c, char want)
{
	if (c->at == c->end || *c->at != want)
		return false;
	c->at++;
	return true;
}

static bool skip_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->at) < n || strncasecmp(c->at, word, n) != 0)
		return false;
	c->at += n;
	return true;
}

static bool read_number(struct cursor *c, unsigned max, unsigned *out)
{
	const char *from = c->at;
	unsigned v = 0;

	while (c->at < c->end && isdigit((unsigned char)*c->at) && v <= max)
		v = v * 10 + (unsigned)(*c->at++ - '0');
	*out = v;
	return c->at > from && v <= max;
}

/* h1,h2,h3,h4,p1,p2 of RFC 959 §4.1.2 */
static bool read_host_port(struct cursor *c, struct ct_alg_ftp *out)
{
	unsigned v[6];

	for (unsigned i = 0; i < 6; i++)
		if ((i && !skip_char(c, ',')) || !read_number(c, 255, &v[i]))
			return false;
	out->family = 4;
	for (unsigned i = 0; i < 4; i++)
		out->addr[i] = (uint8_t)v[i];
	out->port = (uint16_t)(v[4] << 8 | v[5]);
	return true;
}

static bool read_address(struct cursor *c, char delimiter, unsigned net, struct ct_alg_ftp *out)
{
	char text[INET6_ADDRSTRLEN];
	size_t n = 0;

	while (c->at < c->end && *c->at != delimiter && n < sizeof text - 1)
		text[n++] = *c->at++;
	text[n] = '\0';
	out->family = net == 1 ? 4 : 6;
	return inet_pton(net == 1 ? AF_INET : AF_INET6, text, out->addr) == 1;
}

/* d net d address d port d, where d is a character of the speaker's choice: RFC 2428 §2 */
static bool read_eprt(struct cursor *c, struct ct_alg_ftp *out)
{
	unsigned net, port;
	char d;

	if (c->at == c->end)
		return false;
	d = *c->at++;
	if (!read_number(c, 2, &net) || !net || !skip_char(c, d) || !read_address(c, d, net, out) ||
	    !skip_char(c, d) || !read_number(c, 65535, &port) || !skip_char(c, d))
		return false;
	out->port = (uint16_t)port;
	return true;
}

/* (ddd port d): RFC 2428 §3 */
static bool read_epsv(struct cursor *c, struct ct_alg_ftp *out)
{
	unsigned port;
	char d;

	if (c->end - c->at < 3)
		return false;
	d = *c->at;
	for (unsigned i = 0; i < 3; i++)
		if (!skip_char(c, d))
			return false;
	if (!read_number(c, 65535, &port) || !skip_char(c, d))
		return false;
	out->port = (uint16_t)port;
	return true;
}

/* RFC 1123 §4.1.2.6: the numbers are wherever the first digit is, brackets or not. */
static bool read_pasv(struct cursor *c, struct ct_alg_ftp *out)
{
	while (c->at < c->end && !isdigit((unsigned char)*c->at))
		c->at++;
	return read_host_port(c, out);
}

bool ct_alg_ftp_parse(const char *text, uint32_t len, bool reply, struct ct_alg_ftp *out)
{
	struct cursor c = {text, text + SL_MIN(len, (uint32_t)FTP_LINE_MAX)};
	bool found = false;

	*out = (struct ct_alg_ftp){0};
	if (reply) {
		if (skip_word(&c, "227 ")) {
			found = read_pasv(&c, out);
		} else if (skip_word(&c, "229 ")) {
			while (c.at < c.end && *c.at != '(')
				c.at++;
			found = skip_char(&c, '(') && read_epsv(&c, out);
		}
	} else if (skip_word(&c, "PORT ")) {
		found = read_host_port(&c, out);
	} else if (skip_word(&c, "EPRT ")) {
		found = read_eprt(&c, out);
	}
	return found && out->port;
}

static void expect(const struct ct_conn *c, const struct ct_tuple *tuple, uint32_t now_ms)
{
	const struct ct_expectation e = {
		.tuple = *tuple,
		.mark = __atomic_load_n(&c->mark, __ATOMIC_RELAXED),
		.label = {__atomic_load_n(&c->label[0], __ATOMIC_RELAXED),
			  __atomic_load_n(&c->label[1], __ATOMIC_RELAXED)},
		.until_ms = now_ms + CT_EXPECT_MS,
	};

	ct_expect_add(&e);
}

/* The speaker waits at its own address: one that names somebody else's would open a way to a third
 * party. */
static void ftp(const struct ct_conn *c, const struct ct_packet *p, unsigned dir, const char *text,
		uint32_t len, uint32_t now_ms)
{
	struct ct_tuple t = ct_tuple_reverse(&p->tuple); /* to the speaker */
	struct ct_alg_ftp f;

	if (!ct_alg_ftp_parse(text, len, dir == CONN_REPLY, &f))
		return;
	if (f.family && (f.family != t.family || memcmp(f.addr, t.dst, sizeof f.addr) != 0))
		return;
	if (dir == CONN_ORIG && f.port < ACTIVE_PORT_MIN)
		return;
	/* A passive server is met by the client under the name the client knows it by. */
	if (dir == CONN_REPLY)
		t = c->node[CONN_ORIG].tuple;
	else
		t = c->node[CONN_REPLY].tuple;
	t.src_port = 0;
	t.dst_port = cpu_to_be16(f.port);
	expect(c, &t, now_ms);
}

/* The server answers a request from a port of its own choice: RFC 1350 §4. */
static void tftp(const struct ct_conn *c, const uint8_t *payload, uint32_t len, unsigned dir,
		 uint32_t now_ms)
{
	enum { READ_REQUEST = 1, WRITE_REQUEST = 2 };
	struct ct_tuple t = c->node[CONN_REPLY].tuple;
	unsigned op;

	if (dir != CONN_ORIG || len < 2)
		return;
	op = load_be16(payload);
	if (op != READ_REQUEST && op != WRITE_REQUEST)
		return;
	t.src_port = 0;
	expect(c, &t, now_ms);
}

void ct_alg_packet(const struct ct_conn *c, const struct ct_packet *p, unsigned dir,
		   const uint8_t *data, uint32_t len, uint32_t now_ms)
{
	uint32_t n;

	if (!p->payload_ofs || p->payload_ofs >= len || p->fragment)
		return;
	n = len - p->payload_ofs;
	if (c->alg == CT_ALG_FTP && p->tuple.proto == 6)
		ftp(c, p, dir, (const char *)data + p->payload_ofs, SL_MIN(n, p->payload_bytes),
		    now_ms);
	else if (c->alg == CT_ALG_TFTP && p->tuple.proto == 17)
		tftp(c, data + p->payload_ofs, n, dir, now_ms);
}
