/* SPDX-License-Identifier: BSD-3-Clause */
/* control/state/policy_store.h over an embedded server with a file of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>

#include "control/state/policy_store.h"
#include "datapath/base/clock.h"
#include "datapath/base/util.h"
#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/server.h"

struct fixture {
	struct event_base *base;
	char dir[40], path[64];
	struct ovsdb_server *server;
	struct policy_store *store;
	unsigned changes, answers;
	int64_t generation;
	char error[128];
};

static void changed(void *aux)
{
	((struct fixture *)aux)->changes++;
}

static void done(int64_t generation, const char *error, void *aux)
{
	struct fixture *f = aux;
	f->answers++;
	f->generation = generation;
	snprintf(f->error, sizeof f->error, "%s", error ? error : "");
}

#define UNTIL(f, condition)                                                                        \
	do {                                                                                       \
		uint64_t end = clock_mono_ms() + 10000;                                            \
		while (!(condition)) {                                                             \
			struct timeval tv = {.tv_usec = 2000};                                     \
			assert_true(clock_mono_ms() < end);                                        \
			event_base_loopexit((f)->base, &tv);                                       \
			event_base_dispatch((f)->base);                                            \
		}                                                                                  \
	} while (0)

static void start(struct fixture *f)
{
	struct ovsdb_schema *schema = ovsdb_builtin_schema("Sluice");
	struct err e = {0};
	f->server = ovsdb_server_create(f->base, &(struct ovsdb_server_limits){0});
	assert_int_equal(ovsdb_server_open_or_create_db(f->server, f->path, schema, &e), 0);
	ovsdb_schema_unref(schema);
	assert_int_equal(policy_store_create(&f->store, f->base, f->server, &e), 0);
	policy_store_listen(f->store, changed, f);
}

static void stop(struct fixture *f)
{
	policy_store_destroy(f->store);
	ovsdb_server_destroy(f->server);
}

static int setup(void **state)
{
	struct fixture *f = xzalloc(sizeof *f);
	strcpy(f->dir, "/tmp/policy-store-test.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof f->path, "%s/sluice.db", f->dir);
	f->base = event_base_new();
	start(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];
	stop(f);
	event_base_free(f->base);
	snprintf(command, sizeof command, "rm -r %s", f->dir);
	if (system(command))
		return -1;
	free(f);
	return 0;
}

static void write_one(struct fixture *f, const char *name, const char *text,
		      policy_store_done_fn fn)
{
	policy_store_write(f->store, &(struct policy_write){name, text}, 1, fn, f);
}

static void write_document(struct fixture *f, const char *name, const char *text)
{
	unsigned answers = f->answers;
	write_one(f, name, text, done);
	UNTIL(f, f->answers > answers);
	assert_string_equal(f->error, "");
}

static struct policy_document find(struct fixture *f, const char *name)
{
	struct policy_document doc;
	assert_true(policy_store_find(f->store, name, &doc));
	return doc;
}

static void a_document_is_written_and_announced(void **state)
{
	struct fixture *f = *state;
	struct policy_document doc;
	UNTIL(f, policy_store_is_ready(f->store) && f->changes);
	assert_false(policy_store_find(f->store, "default", &doc));
	f->changes = 0;
	write_document(f, "default", "rules: []");
	UNTIL(f, f->changes >= 1);
	doc = find(f, "default");
	assert_string_equal(doc.text, "rules: []");
	assert_string_equal(doc.status, "");
	assert_null(doc.applied_text);
	assert_int_equal(doc.generation, 1);
	assert_int_equal(f->generation, 1);
	write_document(f, "other", "rules: []");
	assert_int_equal(f->generation, 2);
	assert_int_equal(policy_store_count(f->store), 2);
}

static void a_rejected_document_leaves_the_last_good_one(void **state)
{
	struct fixture *f = *state;
	UNTIL(f, policy_store_is_ready(f->store));
	write_document(f, "default", "good");
	policy_store_set_status(f->store, "default", 1, NULL);
	UNTIL(f, !strcmp(find(f, "default").status, "applied"));
	write_document(f, "default", "bad");
	assert_string_equal(find(f, "default").status, "");
	policy_store_set_status(f->store, "default", 2, "line 3: no such action");
	UNTIL(f, !strcmp(find(f, "default").status, "rejected: line 3: no such action"));
	assert_string_equal(find(f, "default").text, "bad");
	assert_string_equal(find(f, "default").applied_text, "good");
	assert_int_equal(find(f, "default").applied_generation, 1);

	stop(f); /* and so it is after a restart */
	start(f);
	UNTIL(f, policy_store_is_ready(f->store));
	assert_string_equal(find(f, "default").applied_text, "good");
	assert_string_equal(find(f, "default").text, "bad");
}

static void a_late_verdict_changes_nothing(void **state)
{
	struct fixture *f = *state;
	UNTIL(f, policy_store_is_ready(f->store));
	write_document(f, "default", "one");
	write_document(f, "default", "two");
	policy_store_set_status(f->store, "default", 1, NULL);
	/* Written, judged and overwritten without a turn of the loop in between. */
	write_one(f, "default", "three", NULL);
	policy_store_set_status(f->store, "default", 2, NULL);
	UNTIL(f, find(f, "default").generation == 3);
	write_document(f, "x", ""); /* everything before it has been answered */
	assert_string_equal(find(f, "default").status, "");
	assert_null(find(f, "default").applied_text);
}

static void same_text_is_a_new_generation(void **state)
{
	struct fixture *f = *state;
	UNTIL(f, policy_store_is_ready(f->store));
	write_document(f, "default", "same");
	policy_store_set_status(f->store, "default", 1, NULL);
	f->changes = 0;
	write_document(f, "default", "same");
	UNTIL(f, f->changes);
	assert_int_equal(find(f, "default").generation, 2);
	assert_string_equal(find(f, "default").status, "");
}

static void a_document_is_removed(void **state)
{
	struct fixture *f = *state;
	UNTIL(f, policy_store_is_ready(f->store));
	write_document(f, "default", "x");
	f->changes = f->answers = 0;
	write_one(f, "default", NULL, done);
	UNTIL(f, f->changes && f->answers && !policy_store_count(f->store));
	assert_int_equal(policy_store_count(f->store), 0);
	f->answers = 0;
	write_one(f, "default", NULL, done);
	assert_int_equal(f->answers, 0); /* not from inside the call */
	UNTIL(f, f->answers == 1);
	assert_string_equal(f->error, "");
}

static void writing_before_it_is_ready_is_an_error(void **state)
{
	struct fixture *f = *state;
	write_one(f, "default", "x", done);
	assert_int_equal(f->answers, 0);
	UNTIL(f, f->answers == 1);
	assert_string_not_equal(f->error, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_document_is_written_and_announced),
		TEST(a_rejected_document_leaves_the_last_good_one),
		TEST(a_late_verdict_changes_nothing),
		TEST(same_text_is_a_new_generation),
		TEST(a_document_is_removed),
		TEST(writing_before_it_is_ready_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
