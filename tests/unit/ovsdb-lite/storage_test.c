/* SPDX-License-Identifier: BSD-3-Clause */
/* Log file and commit passes without a server around them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/exec.h"
#include "ovsdb-lite/history.h"
#include "ovsdb-lite/json_text.h"
#include "ovsdb-lite/storage.h"

static char path[64];

static int setup(void **state)
{
	struct ovsdb_schema *schema = ovsdb_builtin_schema("Open_vSwitch");
	struct err e = {0};

	snprintf(path, sizeof path, "/tmp/ovsdb_storage_test.%d", (int)getpid());
	unlink(path);
	assert_int_equal(ovsdb_storage_create(path, schema, &e), 0);
	ovsdb_schema_unref(schema);
	return 0;
}

static int teardown(void **state)
{
	char *lock = xasprintf("/tmp/.%s.~lock~", strrchr(path, '/') + 1);

	unlink(path);
	unlink(lock);
	free(lock);
	return 0;
}

/* Executes and commits; the results' text for the caller. */
static char *transact(struct ovsdb_db *db, struct ovsdb_storage *s, const char *ops)
{
	char *text = xasprintf("[\"Open_vSwitch\",%s]", ops);
	json_t *params = json_parse(text, strlen(text), NULL);
	struct ovsdb_exec x = {.db = db, .params = params};
	struct err err = {0};

	assert_non_null(params);
	enum ovsdb_exec_status status = ovsdb_exec_run(&x);
	struct ovsdb_error *e = status == OVSDB_EXEC_OK ? ovsdb_txn_check(x.txn) : NULL;
	if (e)
		ovsdb_exec_add_error(&x, e);
	if (status == OVSDB_EXEC_OK && !e) {
		if (s && x.txn->is_changed)
			assert_int_equal(ovsdb_storage_append(s, x.txn, "test", &err), 0);
		ovsdb_txn_apply(x.txn);
	} else {
		ovsdb_txn_abort(x.txn);
	}
	str_putc(&x.results, ']');
	char *out = str_steal(&x.results);
	ovsdb_exec_free(&x);
	json_decref(params);
	free(text);
	return out;
}

static void run(struct ovsdb_db *db, struct ovsdb_storage *s, const char *ops, const char *part)
{
	char *out = transact(db, s, ops);

	if (part ? !strstr(out, part) : strstr(out, "\"error\"") != NULL)
		fail_msg("%s: %s", ops, out);
	free(out);
}

static const char add_bridge[] =
	"{\"op\":\"insert\",\"table\":\"Open_vSwitch\",\"row\":{\"bridges\":[\"named-uuid\",\"b\"]}"
	"},"
	"{\"op\":\"insert\",\"table\":\"Bridge\",\"uuid-name\":\"b\",\"row\":{\"name\":\"br0\","
	"\"other_config\":[\"map\",[[\"a\",\"b\"]]]}}";

static void what_is_committed_is_read_back(void **state)
{
	struct ovsdb_storage *s;
	struct ovsdb_db *db;
	struct err e = {0};

	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), 0);
	run(db, s, add_bridge, NULL);
	run(db, s,
	    "{\"op\":\"mutate\",\"table\":\"Bridge\",\"where\":[],\"mutations\":[[\"other_config\","
	    "\"insert\",[\"map\",[[\"c\",\"d\"]]]]]},{\"op\":\"update\",\"table\":\"Bridge\","
	    "\"where\":[],\"row\":{\"datapath_id\":\"ephemeral\"}}",
	    NULL);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), 0);
	run(db, s,
	    "{\"op\":\"select\",\"table\":\"Bridge\",\"where\":[[\"name\",\"==\",\"br0\"]],"
	    "\"columns\":[\"other_config\",\"datapath_id\"]}",
	    "[{\"rows\":[{\"other_config\":[\"map\",[[\"a\",\"b\"],[\"c\",\"d\"]]],"
	    "\"datapath_id\":[\"set\",[]]}]}]");
	assert_int_equal(ovsdb_storage_rewrite(s, db, "x", &e), 0);
	run(db, s, "{\"op\":\"delete\",\"table\":\"Open_vSwitch\",\"where\":[]}", NULL);
	assert_int_equal(ovsdb_db_table(db, "Bridge")->rows.count, 0);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), 0);
	assert_int_equal(ovsdb_db_n_rows(db), 0);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
}

static void an_ephemeral_change_writes_nothing(void **state)
{
	struct ovsdb_storage *s;
	struct ovsdb_db *db;
	struct err e = {0};

	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), 0);
	run(db, s, add_bridge, NULL);
	off_t before = ovsdb_log_size(ovsdb_storage_log(s));
	run(db, s,
	    "{\"op\":\"update\",\"table\":\"Bridge\",\"where\":[],\"row\":{\"datapath_id\":\"x\"}}",
	    NULL);
	assert_int_equal(ovsdb_log_size(ovsdb_storage_log(s)), before);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
}

static void damage_is_told_from_a_torn_tail(void **state)
{
	struct ovsdb_storage *s;
	struct ovsdb_db *db;
	struct err e = {0};
	struct stat st;

	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), 0);
	for (int i = 0; i < 3; i++)
		run(db, s, "{\"op\":\"insert\",\"table\":\"Queue\",\"row\":{\"dscp\":5}}", NULL);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 7), 0);
	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), 0);
	assert_int_equal(ovsdb_db_n_rows(db), 2);
	off_t good = ovsdb_log_size(ovsdb_storage_log(s));
	run(db, s, "{\"op\":\"insert\",\"table\":\"Queue\",\"row\":{\"dscp\":6}}", NULL);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "#", 1, good - 5), 1);
	close(fd);
	assert_int_equal(ovsdb_storage_open(&s, &db, path, &e), -EINVAL);
	assert_non_null(strstr(e.text, "damaged"));
}

/* After a compaction the last record is everything: a flipped bit there is no torn tail. */
static void damage_of_the_last_record_is_no_torn_tail(void **state)
{
	struct ovsdb_storage *s;
	struct ovsdb_db *db;
	struct stat st, after;

	assert_int_equal(ovsdb_storage_open(&s, &db, path, &(struct err){0}), 0);
	run(db, s, "{\"op\":\"insert\",\"table\":\"Queue\",\"row\":{\"dscp\":5}}", NULL);
	ovsdb_storage_close(s);
	ovsdb_db_destroy(db);
	assert_int_equal(stat(path, &st), 0);
	int fd = open(path, O_RDWR);
	for (int zero = 0; zero < 2; zero++) {
		struct err e = {0};

		assert_int_equal(pwrite(fd, zero ? "\0" : "#", 1, st.st_size - 5), 1);
		int rc = ovsdb_storage_open(&s, &db, path, &e);
		assert_int_equal(stat(path, &after), 0);
		if (!zero) {
			assert_int_equal(rc, -EINVAL);
			assert_non_null(strstr(e.text, "the last one, is damaged"));
			assert_null(strstr(strstr(e.text, path) + 1, path));
			assert_int_equal(after.st_size, st.st_size);
			continue;
		}
		assert_int_equal(rc, 0); /* a block that was never written */
		assert_true(after.st_size < st.st_size);
		ovsdb_storage_close(s);
		ovsdb_db_destroy(db);
	}
	close(fd);
}

static void constraints_are_checked_at_the_end(void **state)
{
	struct ovsdb_schema *schema = ovsdb_builtin_schema("Open_vSwitch");
	struct ovsdb_db *db = ovsdb_db_create(schema);

	run(db, NULL, add_bridge, NULL);
	run(db, NULL, "{\"op\":\"insert\",\"table\":\"Open_vSwitch\",\"row\":{}}",
	    "constraint violation");
	run(db, NULL,
	    "{\"op\":\"insert\",\"table\":\"Bridge\",\"uuid-name\":\"c\",\"row\":{\"name\":\"br0\"}"
	    "},"
	    "{\"op\":\"mutate\",\"table\":\"Open_vSwitch\",\"where\":[],\"mutations\":[["
	    "\"bridges\","
	    "\"insert\",[\"named-uuid\",\"c\"]]]}",
	    "identical values");
	/* The old holder of the name goes in the same transaction: fine. */
	run(db, NULL,
	    "{\"op\":\"insert\",\"table\":\"Bridge\",\"uuid-name\":\"c\",\"row\":{\"name\":\"br0\"}"
	    "},"
	    "{\"op\":\"update\",\"table\":\"Open_vSwitch\",\"where\":[],\"row\":{\"bridges\":"
	    "[\"named-uuid\",\"c\"]}}",
	    NULL);
	run(db, NULL, "{\"op\":\"delete\",\"table\":\"Bridge\",\"where\":[]}",
	    "referential integrity violation");
	run(db, NULL,
	    "{\"op\":\"update\",\"table\":\"Bridge\",\"where\":[],\"row\":{\"name\":\"x\"}}",
	    "immutable");
	assert_int_equal(ovsdb_db_table(db, "Bridge")->rows.count, 1);
	assert_null(db->txn);
	ovsdb_db_destroy(db);
	ovsdb_schema_unref(schema);
}

static void history_knows_what_happened_since(void **state)
{
	struct ovsdb_schema *schema = ovsdb_builtin_schema("Open_vSwitch");
	struct ovsdb_db *db = ovsdb_db_create(schema);
	struct ovsdb_table *queue = ovsdb_db_table(db, "Queue");
	ovsdb_change_vec changes = {0}, since = {0};
	struct history h;
	struct uuid u, begin;

	history_init(&h);
	begin = h.last_id;
	uuid_generate(&u);
	for (int i = 0; i < 3; i++) { /* insert, modify, modify: net one insert */
		struct ovsdb_txn *t = ovsdb_txn_begin(db);
		struct ovsdb_row *row =
			i ? ovsdb_table_find(queue, &u) : ovsdb_txn_insert(t, queue, &u);

		ovsdb_txn_set(t, row, ovsdb_table_schema_column(queue->schema, "dscp")->index,
			      ovsdb_datum_from_int(i + 1));
		assert_null(ovsdb_txn_check(t));
		vec_clear(&changes);
		history_changes(t, &changes);
		history_add(&h, changes.at, changes.len);
		ovsdb_txn_apply(t);
	}
	assert_true(history_since(&h, &begin, &since));
	assert_int_equal(since.len, 1);
	assert_null(since.at[0].old);
	assert_non_null(since.at[0].new);
	vec_clear(&since);
	assert_true(history_since(&h, &h.last_id, &since));
	assert_int_equal(since.len, 0);
	assert_false(history_since(&h, &u, &since));
	vec_free(&since);
	vec_free(&changes);
	history_free(&h);
	ovsdb_db_destroy(db);
	ovsdb_schema_unref(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_committed_is_read_back, setup, teardown),
		cmocka_unit_test_setup_teardown(an_ephemeral_change_writes_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(damage_is_told_from_a_torn_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(damage_of_the_last_record_is_no_torn_tail, setup,
						teardown),
		cmocka_unit_test(constraints_are_checked_at_the_end),
		cmocka_unit_test(history_knows_what_happened_since),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
