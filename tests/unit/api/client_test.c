/* SPDX-License-Identifier: BSD-3-Clause */
/* The client against a scripted peer at the other end of a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "datapath/api/client.h"
#include "datapath/base/err.h"

struct pair {
	struct api_client *c;
	int peer;
};

static struct pair make_pair(void)
{
	struct pair p;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(api_client_attach(fds[0], &p.c), 0);
	p.peer = fds[1];
	return p;
}

static void drop_pair(struct pair *p)
{
	api_close(p->c);
	close(p->peer);
}

static void peer_sends(struct pair *p, struct msg *m)
{
	msg_finish(m);
	assert_int_equal(send(p->peer, m->data, m->len, 0), m->len);
	msg_free(m);
}

/* Reads one request at the peer; returns its sequence number. */
static uint32_t peer_reads(struct pair *p, unsigned type, bool more)
{
	_Alignas(8) uint8_t buf[4096];
	struct msg_header *h = (void *)buf;
	struct err e = {0};

	assert_int_equal(recv(p->peer, buf, sizeof *h, 0), sizeof *h);
	assert_true(h->length <= sizeof buf);
	size_t rest = h->length - sizeof *h;
	if (rest)
		assert_int_equal(recv(p->peer, buf + sizeof *h, rest, 0), rest);
	assert_int_equal(msg_check(buf, h->length, &e), 0);
	assert_int_equal(h->type, type);
	assert_int_equal(attrs_has(msg_attrs(buf), ATTR_MORE), more);
	return h->seq;
}

struct seen {
	int calls, last, errors;
	uint64_t sum;
	int code;
	uint64_t ofp;
};

static void on_done(struct attrs a, bool more, const struct err *error, void *aux)
{
	struct seen *s = aux;

	s->calls++;
	s->last += !more;
	if (error) {
		s->errors++;
		s->code = error->code;
		s->ofp = attrs_u64(a, ATTR_ERROR_OFP, 0);
	} else {
		s->sum += attrs_u64(a, ATTR_COUNT, 0);
	}
}

static void ask(struct pair *p, enum api_message type, struct seen *s)
{
	struct msg m;

	msg_init(&m, (uint16_t)type, 0);
	api_send(p->c, &m, on_done, s);
	assert_null(m.data); /* taken */
}

static void answers_meet_their_requests(void **state)
{
	struct pair p = make_pair();
	struct seen one = {0}, two = {0};
	struct msg m;

	ask(&p, API_MACS, &one);
	ask(&p, API_STATUS, &two);
	assert_true(api_wants_write(p.c));
	assert_int_equal(api_client_run(p.c), 0);
	assert_false(api_wants_write(p.c));
	uint32_t first = peer_reads(&p, API_MACS, false),
		 second = peer_reads(&p, API_STATUS, false);
	assert_int_not_equal(first, second);
	for (unsigned i = 1; i <= 3; i++) {
		msg_init(&m, API_MACS | MESSAGE_REPLY, first);
		msg_put_u64(&m, ATTR_COUNT, i);
		if (i < 3)
			msg_put_flag(&m, ATTR_MORE);
		peer_sends(&p, &m);
	}
	msg_init(&m, API_STATUS | MESSAGE_ERROR, second);
	msg_put_u32(&m, ATTR_ERROR_CODE, ENOENT);
	msg_put_u32(&m, ATTR_ERROR_OFP, 0x50001);
	peer_sends(&p, &m);
	assert_int_equal(api_client_run(p.c), 0);
	assert_int_equal(one.calls, 3);
	assert_int_equal(one.last, 1);
	assert_int_equal(one.sum, 6);
	assert_int_equal(two.errors, 1);
	assert_int_equal(two.code, ENOENT);
	assert_int_equal(two.ofp, 0x50001);
	drop_pair(&p);
}

/* A message arrives whole however the bytes are cut. */
static void bytes_may_dribble(void **state)
{
	struct pair p = make_pair();
	struct seen s = {0};
	struct msg m;

	ask(&p, API_STATUS, &s);
	api_client_run(p.c);
	msg_init(&m, API_STATUS | MESSAGE_REPLY, peer_reads(&p, API_STATUS, false));
	msg_put_u64(&m, ATTR_COUNT, 5);
	msg_finish(&m);
	for (size_t i = 0; i < m.len; i++) {
		assert_int_equal(s.calls, 0);
		assert_int_equal(send(p.peer, m.data + i, 1, 0), 1);
		assert_int_equal(api_client_run(p.c), 0);
	}
	assert_int_equal(s.sum, 5);
	msg_free(&m);
	drop_pair(&p);
}

static void a_large_transaction_goes_in_parts(void **state)
{
	struct pair p = make_pair();
	struct seen s = {0};
	struct msg m;

	msg_init(&m, API_TRANSACTION, 0);
	api_send_part(p.c, &m);
	ask(&p, API_TRANSACTION, &s);
	api_client_run(p.c);
	uint32_t seq = peer_reads(&p, API_TRANSACTION, true);
	assert_int_equal(peer_reads(&p, API_TRANSACTION, false), seq);
	drop_pair(&p);
	assert_int_equal(s.code, ECONNRESET);
}

static void count_event(struct attrs a, void *aux)
{
	*(uint64_t *)aux += attrs_u64(a, ATTR_EVENT_SEQ, 0);
}

static void events_come_between_answers(void **state)
{
	struct pair p = make_pair();
	uint64_t sum = 0;
	struct msg m;

	api_on_event(p.c, count_event, &sum);
	msg_init(&m, API_EVENT, 0);
	msg_put_u64(&m, ATTR_EVENT_SEQ, 41);
	peer_sends(&p, &m);
	assert_int_equal(api_client_run(p.c), 0);
	assert_int_equal(sum, 41);
	drop_pair(&p);
}

static void a_lost_peer_fails_all_that_waits(void **state)
{
	struct pair p = make_pair();
	struct seen s = {0};

	ask(&p, API_STATUS, &s);
	ask(&p, API_MACS, &s);
	api_client_run(p.c);
	close(p.peer);
	p.peer = -1;
	assert_true(api_client_run(p.c) < 0);
	assert_int_equal(s.errors, 2);
	assert_int_equal(s.code, ECONNRESET);
	ask(&p, API_STATUS, &s); /* later ones fail at once */
	assert_int_equal(s.errors, 3);
	api_close(p.c);
}

static void nonsense_ends_the_connection(void **state)
{
	static const uint32_t bad[][4] = {
		{15, 0, 0, 0},
		{1u << 30, 0, 0, 0},
		{16, API_STATUS | MESSAGE_REPLY, 77, 0}, /* nobody asked */
		{16, API_STATUS, 0, 0},
	};
	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct pair p = make_pair();

		assert_int_equal(send(p.peer, bad[i], 16, 0), 16);
		assert_int_equal(api_client_run(p.c), -EPROTO);
		drop_pair(&p);
	}
}

static void connecting_to_nothing_says_so(void **state)
{
	struct api_client *c;
	struct err e = {0};

	assert_int_equal(api_connect("/nonexistent/datapath.sock", "test", false, &c, &e), -ENOENT);
	assert_non_null(strstr(e.text, "sluice-datapath is not running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_meet_their_requests),
		cmocka_unit_test(bytes_may_dribble),
		cmocka_unit_test(a_large_transaction_goes_in_parts),
		cmocka_unit_test(events_come_between_answers),
		cmocka_unit_test(a_lost_peer_fails_all_that_waits),
		cmocka_unit_test(nonsense_ends_the_connection),
		cmocka_unit_test(connecting_to_nothing_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
