/* SPDX-License-Identifier: BSD-3-Clause */
/* sluiced/status: this daemon's view as JSON, for `sluice status`. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/daemon/ask.h"
#include "control/daemon/metrics.h"
#include "control/daemon/sluiced.h"
#include "control/daemon/start_args.h"
#include "control/daemon/switches.h"
#include "control/openflow/ofswitch.h"
#include "control/state/policy_store.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/unixctl.h"

/* Documents of the network policy that are not in force. */
static void note_policy(const struct policy_document *doc, void *list)
{
	if (!strncmp(doc->status, "rejected", 8))
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "table", "Policy", "name",
						      doc->name, "text", doc->status));
}

static json_t *notes_json(const struct sluiced *d)
{
	json_t *list = json_array();
	const struct engine_problem *problems;
	size_t n_problems = engine_problems(d->engine, &problems);
	for (size_t i = 0; i < n_problems; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "table", "datapath", "name",
						problems[i].subject, "text", problems[i].text));
	if (start_args_are_newer(d))
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s}", "table", "datapath", "name", "", "text",
					"restart needed: settings of its next start have "
					"changed"));
	if (metrics_error(d->metrics))
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "table", "Open_vSwitch", "name",
						"", "text", metrics_error(d->metrics)));
	if (d->policies)
		policy_store_each(d->policies, note_policy, list);
	VEC_FOR_EACH (n, &d->notes.notes)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s}", "table", n->table,
					"name", n->name, "column", n->column, "key", n->key, "kind",
					rows_note_kind_name(n->kind), "text", n->text));
	VEC_FOR_EACH (p, &engine_desired(d->engine)->ports) {
		const struct port_state *st = engine_port(d->engine, (*p)->name);
		if (st && port_state_error(st))
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "table", "Interface",
						"name", (*p)->name, "bridge", (*p)->bridge, "type",
						(*p)->type, "text", port_state_error(st)));
	}
	return list;
}

/* Those that we are to connect to. */
static void add_controllers(struct ofswitch *of, void *list)
{
	struct ofswitch_status st;

	for (size_t i = 0; ofswitch_controller_status(of, i, &st); i++)
		if (st.role[0])
			json_array_append_new(list,
					      json_pack("{s:s, s:s, s:b, s:s, s:i}", "bridge",
							ofswitch_bridge(of), "target", st.target,
							"connected", st.is_connected, "error",
							st.last_error, "disconnected_s",
							st.sec_since_disconnect));
}

static json_t *controllers_json(const struct sluiced *d)
{
	json_t *list = json_array();

	if (d->switches)
		switches_for_each(d->switches, add_controllers, list);
	return list;
}

static void status(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct sluiced *d = aux;
	const struct engine_counts *n = engine_counts(d->engine);
	const struct ovsdb_row *root = ovsdb_client_singleton(d->db, "Open_vSwitch");
	json_t *o = json_pack(
		"{s:i, s:s, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:o, s:o}",
		"pid", (int)getpid(), "version", SLUICE_VERSION, "database",
		ovsdb_client_is_connected(d->db), "datapath", engine_client(d->engine) != NULL,
		"datapath_error", engine_datapath_error(d->engine), "next_cfg",
		(json_int_t)(root ? ovsdb_row_int(root, "next_cfg", 0) : 0), "cur_cfg",
		(json_int_t)(root ? ovsdb_row_int(root, "cur_cfg", 0) : 0), "transactions",
		(json_int_t)n->transactions, "operations", (json_int_t)n->operations, "replays",
		(json_int_t)n->replays, "failures", (json_int_t)n->failures, "bridges",
		(int)engine_desired(d->engine)->bridges.len, "ports",
		(int)engine_desired(d->engine)->ports.len, "notes", notes_json(d), "controllers",
		controllers_json(d));
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (text)
		unixctl_reply(call, text);
	else
		unixctl_error(call, "sluiced/status: a name is not UTF-8");
	free(text);
	json_decref(o);
}

static void put_level(struct ask *a, struct attrs o)
{
	str_printf(&a->text, "%s %s\n", attrs_str(o, ATTR_NAME, ""), attrs_str(o, ATTR_LEVEL, ""));
}

/* datapath/log [SPEC]: sets and lists log levels of the datapath, whose lease is ours. */
static void datapath_log(struct unixctl_call *call, int argc, const char *argv[], void *aux)
{
	struct ask *a = ask_begin(aux, call);
	struct msg m;
	if (!a)
		return;
	msg_init(&m, API_LOG, 0);
	if (argc > 1)
		msg_put_str(&m, ATTR_LEVEL, argv[1]);
	ask_send(a, &m, put_level);
	ask_end(a);
}

void commands_status_register(struct sluiced *d, struct unixctl *ctl)
{
	unixctl_register(ctl, "sluiced/status", "", 0, 0, status, d);
	unixctl_register(ctl, "datapath/log", "[spec]", 0, 1, datapath_log, d);
}
