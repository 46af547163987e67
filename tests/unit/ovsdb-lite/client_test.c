/* SPDX-License-Identifier: BSD-3-Clause */
/* The client against the embedded server, over its socket pair: follow, write, verify, lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/server.h"

struct world {
	struct event_base *base;
	struct ovsdb_server *server;
	struct ovsdb_client *a, *b;
	char dir[64], path[96];
	unsigned inserted, modified, deleted, name_changes, states[4];
	bool done;
	enum ovsdb_client_txn_status status;
	struct uuid temporary, real;
	int64_t increment;
	char error[256];
};

static void on_change(struct ovsdb_client *c, const struct ovsdb_client_change *ch, size_t n,
		      void *aux)
{
	struct world *w = aux;

	for (size_t i = 0; i < n; i++) {
		w->inserted += ch[i].kind == OVSDB_ROW_INSERTED;
		w->modified += ch[i].kind == OVSDB_ROW_MODIFIED;
		w->deleted += ch[i].kind == OVSDB_ROW_DELETED;
		if (ch[i].kind == OVSDB_ROW_MODIFIED)
			w->name_changes += ovsdb_client_change_has(&ch[i], "fail_mode");
	}
}

static void on_state(struct ovsdb_client *c, enum ovsdb_client_state state, void *aux)
{
	((struct world *)aux)->states[state]++;
}

static void on_done(struct ovsdb_client *c, const struct ovsdb_client_txn_result *r, void *aux)
{
	struct world *w = aux;
	const struct uuid *u = ovsdb_client_txn_inserted(r, &w->temporary);

	w->done = true;
	w->status = r->status;
	w->increment = r->increment;
	snprintf(w->error, sizeof w->error, "%s", r->error);
	if (u)
		w->real = *u;
}

/* Runs the loop until *flag or 5 s are over. */
static void run_until(struct world *w, const bool *flag)
{
	for (int i = 0; i < 500 && !*flag; i++) {
		struct timeval tv = {0, 10000};

		event_base_loopexit(w->base, &tv);
		event_base_dispatch(w->base);
	}
	assert_true(*flag);
}

static void run_for(struct world *w, int ms)
{
	struct timeval tv = {0, ms * 1000};

	event_base_loopexit(w->base, &tv);
	event_base_dispatch(w->base);
}

static enum ovsdb_client_txn_status commit(struct world *w, struct ovsdb_client_txn *t)
{
	w->done = false;
	ovsdb_client_txn_commit(t, on_done, w);
	run_until(w, &w->done);
	return w->status;
}

static int setup(void **state)
{
	struct world *w = xzalloc(sizeof *w);
	struct ovsdb_schema *schema = ovsdb_builtin_schema("Open_vSwitch");
	struct err e = {0};

	snprintf(w->dir, sizeof w->dir, "/tmp/ovsdb_client_test.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof w->path, "%s/conf.db", w->dir);
	w->base = event_base_new();
	w->server = ovsdb_server_create(w->base, &(struct ovsdb_server_limits){0});
	assert_int_equal(ovsdb_server_open_or_create_db(w->server, w->path, schema, &e), 0);
	ovsdb_schema_unref(schema);
	struct ovsdb_client_config cfg = {.base = w->base,
					  .server = w->server,
					  .db = "Open_vSwitch",
					  .on_change = on_change,
					  .on_state = on_state,
					  .aux = w};
	assert_int_equal(ovsdb_client_create(&w->a, &cfg, &e), 0);
	run_for(w, 30);
	assert_true(ovsdb_client_is_connected(w->a));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char cmd[128];

	ovsdb_client_destroy(w->a);
	ovsdb_client_destroy(w->b);
	ovsdb_server_destroy(w->server);
	event_base_free(w->base);
	snprintf(cmd, sizeof cmd, "rm -r %s", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w);
	return 0;
}

/* A bridge with its port and interface, referring to each other before the server knew them. */
static struct uuid add_bridge(struct world *w, const char *name)
{
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->a);
	const struct ovsdb_row *root = ovsdb_client_singleton(w->a, "Open_vSwitch");
	struct uuid ovs = root ? *ovsdb_row_uuid(root) : ovsdb_client_txn_insert(t, "Open_vSwitch");
	struct uuid iface = ovsdb_client_txn_insert(t, "Interface");
	struct uuid port = ovsdb_client_txn_insert(t, "Port");
	struct uuid bridge = ovsdb_client_txn_insert(t, "Bridge");

	ovsdb_client_txn_set_string(t, iface, "Interface", "name", name);
	ovsdb_client_txn_set_string(t, port, "Port", "name", name);
	ovsdb_client_txn_set_refs(t, port, "Port", "interfaces", &iface, 1);
	ovsdb_client_txn_set_string(t, bridge, "Bridge", "name", name);
	ovsdb_client_txn_set_ref(t, bridge, "Bridge", "ports", port);
	ovsdb_client_txn_add_ref(t, ovs, "Open_vSwitch", "bridges", bridge);
	ovsdb_client_txn_comment(t, "add bridge");
	w->temporary = bridge;
	assert_int_equal(commit(w, t), OVSDB_TXN_SUCCESS);
	return w->real;
}

static void follows_and_writes(void **state)
{
	struct world *w = *state;
	struct uuid bridge = add_bridge(w, "br0");
	const struct ovsdb_row *row = ovsdb_client_find(w->a, "Bridge", "name", "br0");

	assert_int_equal(w->inserted, 4);
	assert_non_null(row);
	assert_true(uuid_eq(ovsdb_row_uuid(row), &bridge));
	const struct ovsdb_row *port = ovsdb_row_ref_at(w->a, row, "ports", 0);
	assert_string_equal(ovsdb_row_string(port, "name", ""), "br0");
	assert_string_equal(
		ovsdb_row_string(ovsdb_row_ref_at(w->a, port, "interfaces", 0), "name", ""), "br0");

	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->a);
	ovsdb_client_txn_map_put(t, bridge, "Bridge", "other_config", "mac-aging-time", "17");
	ovsdb_client_txn_map_put(t, bridge, "Bridge", "other_config", "forward-bpdu", "true");
	ovsdb_client_txn_set_string(t, bridge, "Bridge", "fail_mode", "secure");
	assert_int_equal(commit(w, t), OVSDB_TXN_SUCCESS);
	assert_int_equal(w->modified, 1);
	assert_int_equal(w->name_changes, 1);
	assert_int_equal(ovsdb_row_map_int(row, "other_config", "mac-aging-time", 0), 17);
	assert_true(ovsdb_row_map_bool(row, "other_config", "forward-bpdu", false));
	assert_string_equal(ovsdb_row_string(row, "fail_mode", ""), "secure");

	t = ovsdb_client_txn_create(w->a);
	ovsdb_client_txn_map_put(t, bridge, "Bridge", "other_config", "mac-aging-time", "18");
	ovsdb_client_txn_map_delete(t, bridge, "Bridge", "other_config", "forward-bpdu");
	ovsdb_client_txn_set_string(t, bridge, "Bridge", "fail_mode", NULL);
	assert_int_equal(commit(w, t), OVSDB_TXN_SUCCESS);
	assert_int_equal(ovsdb_row_map_int(row, "other_config", "mac-aging-time", 0), 18);
	assert_int_equal(ovsdb_row_n(row, "other_config"), 1);
	assert_int_equal(ovsdb_row_n(row, "fail_mode"), 0);
}

static void leaves_out_what_is_there_already(void **state)
{
	struct world *w = *state;
	struct uuid bridge = add_bridge(w, "br0");
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->a);

	ovsdb_client_txn_set_string(t, bridge, "Bridge", "datapath_type", "");
	ovsdb_client_txn_set_bool(t, bridge, "Bridge", "stp_enable", false);
	ovsdb_client_txn_map_delete(t, bridge, "Bridge", "other_config", "x");
	assert_int_equal(commit(w, t), OVSDB_TXN_UNCHANGED);
}

static void reports_what_is_wrong(void **state)
{
	struct world *w = *state;
	struct uuid bridge = add_bridge(w, "br0");
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->a);

	ovsdb_client_txn_set_string(t, bridge, "Bridge", "nosuch", "x");
	assert_int_equal(commit(w, t), OVSDB_TXN_ERROR);
	assert_string_equal(w->error, "Bridge: no column nosuch");

	t = ovsdb_client_txn_create(w->a);
	ovsdb_client_txn_set_int(t, bridge, "Bridge", "fail_mode", 3);
	assert_int_equal(commit(w, t), OVSDB_TXN_ERROR);

	t = ovsdb_client_txn_create(w->a);
	ovsdb_client_txn_set_string(t, bridge, "Bridge", "fail_mode", "open");
	assert_int_equal(commit(w, t), OVSDB_TXN_ERROR);
	assert_non_null(strstr(w->error, "constraint violation"));
}

static void increments_and_verifies(void **state)
{
	struct world *w = *state;

	add_bridge(w, "br0");
	struct uuid ovs = *ovsdb_row_uuid(ovsdb_client_singleton(w->a, "Open_vSwitch"));
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->a);
	ovsdb_client_txn_increment(t, ovs, "Open_vSwitch", "next_cfg");
	assert_int_equal(commit(w, t), OVSDB_TXN_SUCCESS);
	assert_int_equal(w->increment, 1);

	/* Two writers with the same idea of the present: the second has to try again. */
	struct ovsdb_client_txn *t1 = ovsdb_client_txn_create(w->a);
	struct ovsdb_client_txn *t2 = ovsdb_client_txn_create(w->a);
	ovsdb_client_txn_verify(t1, ovs, "Open_vSwitch", "cur_cfg");
	ovsdb_client_txn_verify(t2, ovs, "Open_vSwitch", "cur_cfg");
	ovsdb_client_txn_set_int(t1, ovs, "Open_vSwitch", "cur_cfg", 7);
	ovsdb_client_txn_set_int(t2, ovs, "Open_vSwitch", "cur_cfg", 8);
	ovsdb_client_txn_commit(t1, NULL, NULL);
	assert_int_equal(commit(w, t2), OVSDB_TXN_TRY_AGAIN);
	assert_int_equal(ovsdb_row_int(ovsdb_client_singleton(w->a, "Open_vSwitch"), "cur_cfg", 0),
			 7);
}

static void only_one_owns_the_lock(void **state)
{
	struct world *w = *state;
	struct err e = {0};
	struct ovsdb_client_config cfg = {
		.base = w->base, .server = w->server, .db = "Open_vSwitch"};

	assert_int_equal(ovsdb_client_create(&w->b, &cfg, &e), 0);
	run_for(w, 30);
	ovsdb_client_lock(w->a, "sluiced");
	run_for(w, 20);
	ovsdb_client_lock(w->b, "sluiced");
	run_for(w, 20);
	assert_true(ovsdb_client_has_lock(w->a));
	assert_false(ovsdb_client_has_lock(w->b));
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->b);
	ovsdb_client_txn_insert(t, "Queue");
	assert_int_equal(commit(w, t), OVSDB_TXN_NOT_LOCKED);
	ovsdb_client_lock(w->a, NULL);
	run_for(w, 20);
	assert_true(ovsdb_client_has_lock(w->b));
	t = ovsdb_client_txn_create(w->b);
	ovsdb_client_txn_insert(t, "Queue");
	ovsdb_client_txn_durable(t);
	assert_int_equal(commit(w, t), OVSDB_TXN_SUCCESS);
	assert_int_equal(ovsdb_client_count(w->a, "Queue"), 1);
}

static void garbage_goes_with_its_last_reference(void **state)
{
	struct world *w = *state;
	struct uuid bridge = add_bridge(w, "br0");
	struct uuid ovs = *ovsdb_row_uuid(ovsdb_client_singleton(w->a, "Open_vSwitch"));
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(w->a);

	w->deleted = 0;
	ovsdb_client_txn_remove_ref(t, ovs, "Open_vSwitch", "bridges", bridge);
	assert_int_equal(commit(w, t), OVSDB_TXN_SUCCESS);
	assert_int_equal(w->deleted, 3);
	assert_int_equal(ovsdb_client_count(w->a, "Interface"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(follows_and_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_out_what_is_there_already, setup, teardown),
		cmocka_unit_test_setup_teardown(reports_what_is_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(increments_and_verifies, setup, teardown),
		cmocka_unit_test_setup_teardown(only_one_owns_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_goes_with_its_last_reference, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
