/* SPDX-License-Identifier: BSD-3-Clause */
/* control/state/engine.h against a datapath that only remembers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>

#include "control/state/engine.h"
#include "datapath/base/clock.h"
#include "tests/unit/state/fake_datapath.h"

struct fixture {
	struct event_base *base;
	char dir[32], path[64];
	struct fake_datapath *dp;
	struct engine *engine;
	uint64_t applied;   /* last seq */
	unsigned announced; /* calls of applied() */
	unsigned port_news, made;
	bool with_rules;
};

static void applied(uint64_t seq, void *aux)
{
	struct fixture *f = aux;
	f->applied = seq;
	f->announced++;
}

static void ports_changed(void *aux)
{
	((struct fixture *)aux)->port_news++;
}

static void put_rules(const char *bridge, struct msg *m, void *aux)
{
	if (((struct fixture *)aux)->with_rules)
		msg_nest_end(m, msg_op_begin(m, API_OP_RULE_MOD));
}

static void bridge_made(const char *bridge, void *aux)
{
	((struct fixture *)aux)->made++;
}

static void client_changed(struct api_client *c, void *aux)
{
}

static void any_event(struct attrs a, void *aux)
{
}

static const struct engine_ops ops = {applied,     ports_changed,  put_rules,
				      bridge_made, client_changed, any_event};

static void start_engine(struct fixture *f)
{
	f->engine = engine_create(f->base, f->path, "test", 0, &ops, f);
}

static int setup(void **state)
{
	struct fixture *f = xzalloc(sizeof *f);
	strcpy(f->dir, "/tmp/engine-test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof f->path, "%s/datapath.sock", f->dir);
	f->base = event_base_new();
	f->dp = fake_datapath_start(f->base, f->path);
	start_engine(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	engine_destroy(f->engine);
	if (f->dp)
		fake_datapath_stop(f->dp);
	event_base_free(f->base);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* Runs the loop until the condition holds; fails after two seconds. */
#define UNTIL(f, condition)                                                                        \
	do {                                                                                       \
		uint64_t end = clock_mono_ms() + 2000;                                             \
		while (!(condition)) {                                                             \
			struct timeval tv = {.tv_usec = 2000};                                     \
			assert_true(clock_mono_ms() < end);                                        \
			event_base_loopexit((f)->base, &tv);                                       \
			event_base_dispatch((f)->base);                                            \
		}                                                                                  \
	} while (0)

static void run_for(struct fixture *f, unsigned ms)
{
	uint64_t until = clock_mono_ms() + ms;
	UNTIL(f, clock_mono_ms() >= until);
}

static void want(struct fixture *f, uint64_t seq, const char *const *ports)
{
	struct config c = {0};
	config_add_bridge(&c, "br0")->open = 1;
	for (; *ports; ports++)
		config_set_str(&config_add_port(&c, *ports, "br0")->type, "dummy");
	c.generation = seq;
	engine_set_desired(f->engine, &c, seq);
}

static const char *const two[] = {"p1", "p2", NULL};
static const char *const three[] = {"p1", "p2", "p3", NULL};

static void applies_and_reports(void **state)
{
	struct fixture *f = *state;
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	assert_int_equal(fake_datapath_transactions(f->dp), 1);
	assert_int_equal(fake_datapath_config(f->dp)->ports.len, 2);
	assert_int_equal(config_find_bridge(fake_datapath_config(f->dp), "br0")->open, 1);
	assert_true(fake_datapath_opened_last(f->dp));
	assert_int_equal(f->made, 1);
	assert_int_equal(engine_port(f->engine, "p1")->status.mtu, 1500);
	assert_int_equal(config_find_port(engine_desired(f->engine), "p2")->ofport, 2);
}

static void adopts_without_a_write(void **state)
{
	struct fixture *f = *state;
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	engine_destroy(f->engine);
	start_engine(f);
	want(f, 2, two);
	UNTIL(f, f->applied == 2);
	run_for(f, 20);
	assert_int_equal(fake_datapath_writes(f->dp), 1);
	assert_true(engine_port(f->engine, "p1")->status.link_up);
}

static void replays_to_a_new_datapath(void **state)
{
	struct fixture *f = *state;
	f->with_rules = true;
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	fake_datapath_stop(f->dp);
	f->dp = NULL;
	run_for(f, 30);
	f->dp = fake_datapath_start(f->base, f->path);
	UNTIL(f, fake_datapath_transactions(f->dp) == 1);
	assert_int_equal(fake_datapath_config(f->dp)->ports.len, 2);
	assert_int_equal(fake_datapath_rules(f->dp), 1);
	assert_true(fake_datapath_opened_last(f->dp));
	assert_int_equal(engine_counts(f->engine)->replays, 1);
}

static void one_bad_port_stops_no_other(void **state)
{
	struct fixture *f = *state;
	fake_datapath_refuse(f->dp, "p2");
	want(f, 1, three);
	UNTIL(f, f->applied == 1);
	assert_int_equal(fake_datapath_config(f->dp)->ports.len, 2);
	assert_int_equal(config_find_bridge(fake_datapath_config(f->dp), "br0")->open, 1);
	assert_string_equal(engine_port(f->engine, "p2")->error, "port p2: no such device");
	assert_null(engine_port(f->engine, "p1")->error);
	/* its device comes: the retry finds it */
	fake_datapath_refuse(f->dp, NULL);
	UNTIL(f, fake_datapath_config(f->dp)->ports.len == 3);
	UNTIL(f, !engine_port(f->engine, "p2")->error);
}

static void a_bad_port_does_not_delay_a_later_change(void **state)
{
	struct fixture *f = *state;
	fake_datapath_refuse(f->dp, "p2");
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	unsigned writes = fake_datapath_writes(f->dp);
	want(f, 2, three);
	UNTIL(f, f->applied == 2);
	assert_int_equal(fake_datapath_writes(f->dp), writes + 1);
	assert_non_null(config_find_port(fake_datapath_config(f->dp), "p3"));
}

/* A bridge that the datapath refuses stops no other, and is tried again. */
static void one_bad_bridge_stops_no_other(void **state)
{
	struct fixture *f = *state;
	const struct engine_problem *problems;
	struct config c = {0};
	fake_datapath_refuse(f->dp, "bad");
	config_add_bridge(&c, "bad")->open = 1;
	config_add_bridge(&c, "br0")->open = 1;
	config_set_str(&config_add_port(&c, "p1", "br0")->type, "dummy");
	engine_set_desired(f->engine, &c, 1);
	UNTIL(f, f->applied == 1);
	assert_int_equal(fake_datapath_config(f->dp)->bridges.len, 1);
	assert_int_equal(fake_datapath_config(f->dp)->ports.len, 1);
	assert_true(engine_problems(f->engine, &problems) >= 1);
	assert_string_equal(problems[0].subject, "bad");
	fake_datapath_refuse(f->dp, NULL);
	UNTIL(f, fake_datapath_config(f->dp)->bridges.len == 2);
	UNTIL(f, engine_problems(f->engine, &problems) == 0);
	assert_int_equal(config_find_bridge(fake_datapath_config(f->dp), "bad")->open, 1);
}

/* Refused rules keep their bridge closed, and are tried again. */
static void no_bridge_opens_without_its_rules(void **state)
{
	struct fixture *f = *state;
	struct config c = {0};
	f->with_rules = true;
	fake_datapath_refuse(f->dp, "rules");
	config_add_bridge(&c, "br0")->open = 1;
	engine_set_desired(f->engine, &c, 1);
	UNTIL(f, f->applied == 1);
	run_for(f, 1200); /* it was tried again meanwhile */
	assert_int_equal(fake_datapath_config(f->dp)->bridges.len, 1);
	assert_int_equal(config_find_bridge(fake_datapath_config(f->dp), "br0")->open, 0);
	assert_int_equal(f->made, 0);
	fake_datapath_refuse(f->dp, NULL);
	UNTIL(f, config_find_bridge(fake_datapath_config(f->dp), "br0")->open);
	UNTIL(f, f->made == 1);
}

static void removes(void **state)
{
	struct fixture *f = *state;
	struct config none = {0};
	want(f, 1, three);
	UNTIL(f, f->applied == 1);
	engine_set_desired(f->engine, &none, 2);
	UNTIL(f, f->applied == 2);
	assert_int_equal(fake_datapath_config(f->dp)->ports.len, 0);
	assert_int_equal(fake_datapath_config(f->dp)->bridges.len, 0);
	assert_null(engine_port(f->engine, "p1"));
}

static void port_flags_are_set_and_adopted(void **state)
{
	struct fixture *f = *state;
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	assert_int_equal(engine_port_mod(f->engine, "p1", 1, 1), 0);
	assert_int_equal(engine_port_mod(f->engine, "nope", 1, 1), -ENODEV);
	UNTIL(f, config_find_port(fake_datapath_config(f->dp), "p1")->port_flags == 1);
	engine_destroy(f->engine);
	start_engine(f);
	want(f, 2, two);
	UNTIL(f, f->applied == 2);
	assert_int_equal(fake_datapath_writes(f->dp), 2);
}

static void an_event_reads_the_status_again(void **state)
{
	struct fixture *f = *state;
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	unsigned news = f->port_news;
	config_find_port(fake_datapath_config(f->dp), "p1")->mtu = 9000;
	fake_datapath_send_port_event(f->dp, "p1");
	UNTIL(f, f->port_news > news);
	assert_int_equal(engine_port(f->engine, "p1")->status.mtu, 9000);
}

static void nothing_to_do_is_reported_at_once(void **state)
{
	struct fixture *f = *state;
	want(f, 1, two);
	UNTIL(f, f->applied == 1);
	want(f, 2, two);
	UNTIL(f, f->applied == 2);
	assert_int_equal(fake_datapath_writes(f->dp), 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(applies_and_reports),
		T(adopts_without_a_write),
		T(replays_to_a_new_datapath),
		T(one_bad_port_stops_no_other),
		T(a_bad_port_does_not_delay_a_later_change),
		T(one_bad_bridge_stops_no_other),
		T(no_bridge_opens_without_its_rules),
		T(removes),
		T(port_flags_are_set_and_adopted),
		T(an_event_reads_the_status_again),
		T(nothing_to_do_is_reported_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
