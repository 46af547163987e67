/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_alg.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "datapath/conntrack/conn_table.h"
#include "datapath/conntrack/ct_expect.h"
#include "datapath/conntrack/ct_shift.h"
#include "datapath/flow/action.h"

enum { ACTIVE_PORT_MIN = 1024, FTP_LINE_MAX = 256, FTP_EDIT_PAYLOAD_MAX = 1024 };

/* ---- text of guests and servers: every step compares with the end ---- */
struct cursor {
	const char *at, *end, *from; /* from: where what is announced begins */
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

	c->from = c->at;
	out->between = ',';
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

	c->from = c->at;
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
	    !skip_char(c, d) || !read_number(c, 65535, &port) || c->at == c->end || *c->at != d)
		return false;
	out->between = d;
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
	c->from = c->at;
	if (!read_number(c, 65535, &port) || c->at == c->end || *c->at != d)
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
	struct cursor c = {text, text + SL_MIN(len, (uint32_t)FTP_LINE_MAX), text};
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
	if (!found || !out->port)
		return false;
	out->at = (uint16_t)(c.from - text);
	out->n = (uint16_t)(c.at - c.from);
	out->whole = memchr(c.at, '\n', (size_t)(c.end - c.at));
	return true;
}

static struct ct_expectation expectation(const struct ct_conn *c, const struct ct_tuple *tuple,
					 uint32_t now_ms)
{
	return (struct ct_expectation){
		.tuple = *tuple,
		.mark = __atomic_load_n(&c->mark, __ATOMIC_RELAXED),
		.label = {__atomic_load_n(&c->label[0], __ATOMIC_RELAXED),
			  __atomic_load_n(&c->label[1], __ATOMIC_RELAXED)},
		.until_ms = now_ms + CT_EXPECT_MS,
	};
}

static bool is_translated(const struct ct_conn *c)
{
	return c->nat & (NAT_SRC | NAT_DST);
}

/* How a connection that c announces is answered: c's ends under the names that the speaker's side
 * has for them. `dir`: who speaks. */
static void answer_as(struct ct_expectation *e, const struct ct_conn *c, unsigned dir, be16_t port)
{
	bool src = c->nat & NAT_SRC, dst = c->nat & NAT_DST;

	e->reply = c->node[dir].tuple;
	e->reply.src_port = port;
	e->reply.dst_port = 0;
	if (dir == CONN_ORIG) /* the other end begins it */
		e->nat = (uint16_t)((src ? NAT_DST : 0) | (dst ? NAT_SRC : 0));
	else
		e->nat = (uint16_t)((src ? NAT_SRC : 0) | (dst ? NAT_DST : 0));
}

/* Is there a data connection of a server in the usual way that belongs to somebody else? */
static bool is_in_use(const struct ct_expectation *e)
{
	enum { FTP_DATA = 20 };
	struct ct_tuple t = e->tuple;
	struct conn_node *n;

	t.src_port = cpu_to_be16(FTP_DATA);
	n = conn_table_find(&t);
	if (!n)
		return false;
	t = conn_of(n)->node[!conn_node_dir(n)].tuple;
	return t.src_port != e->reply.src_port || memcmp(t.src, e->reply.src, sizeof t.src) != 0;
}

/* The port that it is reached by: the speaker's own, or one near it when two speakers behind one
 * address have chosen the same. */
static bool claim(struct ct_expectation *e, uint16_t own, uint32_t now_ms)
{
	enum { TRIES = 64 };
	uint32_t port = own;

	for (unsigned i = 0; i < TRIES; i++, port++) {
		if (port > UINT16_MAX)
			port = ACTIVE_PORT_MIN;
		e->tuple.dst_port = cpu_to_be16((uint16_t)port);
		if (!is_in_use(e) && ct_expect_claim(e, now_ms))
			return true;
	}
	return false;
}

static void say(struct ct_edit *to, const struct ct_alg_ftp *f, const struct ct_tuple *t)
{
	unsigned port = be16_to_cpu(t->dst_port);
	char addr[INET6_ADDRSTRLEN];
	int n;

	if (!f->between) {
		n = snprintf(to->text, sizeof to->text, "%u", port);
	} else if (f->between == ',') {
		n = snprintf(to->text, sizeof to->text, "%u,%u,%u,%u,%u,%u", t->dst[0], t->dst[1],
			     t->dst[2], t->dst[3], port >> 8, port & 0xff);
	} else {
		inet_ntop(f->family == 4 ? AF_INET : AF_INET6, t->dst, addr, sizeof addr);
		n = snprintf(to->text, sizeof to->text, "%s%c%u", addr, f->between, port);
	}
	to->n_text = (uint8_t)n;
}

/* False: ct_alg_packet(). */
static bool edit(struct ct_conn *c, const struct ct_packet *p, unsigned dir, const char *text,
		 const struct ct_alg_ftp *f, const struct ct_tuple *t, struct ct_rewrite *rw)
{
	struct ct_edit *to = &rw->edit;

	say(to, f, t);
	if (!ct_shift_add(c, dir, p->seq, to->n_text - f->n))
		return false;
	if (to->n_text == f->n && !memcmp(to->text, text + f->at, f->n))
		return true;
	to->at = (uint16_t)(p->payload_ofs + f->at);
	to->n_old = (uint8_t)f->n;
	rw->any = true;
	return true;
}

/* The speaker waits at its own address: one that names somebody else's would open a way to a third
 * party. */
static bool ftp(struct ct_conn *c, const struct ct_packet *p, unsigned dir, const char *text,
		uint32_t len, const struct ct_alg_ask *ask, struct ct_rewrite *rw)
{
	struct ct_tuple t = ct_tuple_reverse(&p->tuple); /* to the speaker */
	struct ct_expectation e;
	struct ct_alg_ftp f;

	if (!ct_alg_ftp_parse(text, len, dir == CONN_REPLY, &f))
		return true;
	if (f.family && (f.family != t.family || memcmp(f.addr, t.dst, sizeof f.addr) != 0))
		return true;
	if (dir == CONN_ORIG && f.port < ACTIVE_PORT_MIN)
		return true;
	/* It is met by the other end under the name that that one knows it by. */
	t = c->node[!dir].tuple;
	t.src_port = 0;
	t.dst_port = cpu_to_be16(f.port);
	e = expectation(c, &t, ask->now_ms);
	if (!is_translated(c) || !ask->nat) {
		ct_expect_add(&e);
		return true;
	}
	answer_as(&e, c, dir, t.dst_port);
	if (!f.whole || !ask->may_edit || p->payload_bytes > FTP_EDIT_PAYLOAD_MAX ||
	    p->payload_bytes > len || !claim(&e, f.port, ask->now_ms))
		return true;
	return edit(c, p, dir, text, &f, &e.tuple, rw);
}

/* The server answers a request from a port of its own choice: RFC 1350 §4. */
static void tftp(const struct ct_conn *c, const uint8_t *payload, uint32_t len, unsigned dir,
		 const struct ct_alg_ask *ask)
{
	enum { READ_REQUEST = 1, WRITE_REQUEST = 2 };
	struct ct_tuple t = c->node[CONN_REPLY].tuple;
	struct ct_expectation e;
	unsigned op;

	if (dir != CONN_ORIG || len < 2)
		return;
	op = load_be16(payload);
	if (op != READ_REQUEST && op != WRITE_REQUEST)
		return;
	t.src_port = 0;
	e = expectation(c, &t, ask->now_ms);
	if (is_translated(c) && ask->nat)
		answer_as(&e, c, CONN_ORIG, c->node[CONN_ORIG].tuple.src_port);
	ct_expect_add(&e);
}

bool ct_alg_packet(struct ct_conn *c, const struct ct_packet *p, unsigned dir,
		   const struct ct_alg_ask *ask, struct ct_rewrite *rw)
{
	uint32_t n;

	if (!p->payload_ofs || p->payload_ofs >= ask->len || p->fragment)
		return true;
	n = ask->len - p->payload_ofs;
	if (c->alg == CT_ALG_FTP && p->tuple.proto == 6)
		return ftp(c, p, dir, (const char *)ask->data + p->payload_ofs,
			   SL_MIN(n, p->payload_bytes), ask, rw);
	if (c->alg == CT_ALG_TFTP && p->tuple.proto == 17)
		tftp(c, ask->data + p->payload_ofs, n, dir, ask);
	return true;
}
