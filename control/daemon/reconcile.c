/* SPDX-License-Identifier: BSD-3-Clause */
/* The circle: a change of the database becomes a desired configuration; when the engine has tried
 * it, the results go back together with cur_cfg.
 *
 * A client that waits for cur_cfg must not wait for a datapath that is not there: after GRACE_MS
 * the results say so. A restart of the datapath is much shorter than that and stays unseen. */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/link_watch.h"
#include "control/daemon/policy_run.h"
#include "control/daemon/metrics.h"
#include "control/daemon/sluiced.h"
#include "control/daemon/start_args.h"
#include "control/daemon/switches.h"
#include "control/state/knobs.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/client.h"

LOG_MODULE(reconcile);

enum { GRACE_MS = 3000 };

struct writeback reconcile_writeback(struct sluiced *d)
{
	return (struct writeback){
		.db = d->db,
		.engine = d->engine,
		.notes = &d->notes,
		.written = d->written,
		.dummies = d->options->dummy != DUMMY_NONE,
		.db_version =
			d->options->remote ? NULL : ovsdb_builtin_schema_version("Open_vSwitch")};
}

static void start_timer(struct event *ev, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	evtimer_add(ev, &tv);
}

void reconcile_soon(struct sluiced *d)
{
	start_timer(d->reconfigure, 0);
}

static uint64_t statistics_interval_ms(const struct sluiced *d)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(d->db, "Open_vSwitch");
	const char *text = root ? ovsdb_row_map(root, "other_config",
						knobs[KNOB_STATS_UPDATE_INTERVAL].key, NULL)
				: NULL;
	return (uint64_t)knob_int(KNOB_STATS_UPDATE_INTERVAL, text);
}

/* flow-restore-wait is a matter of the start: once it was false, it holds nothing back again. */
static void hold_bridges(struct sluiced *d, const struct config *desired)
{
	VEC_FOR_EACH (b, &desired->bridges) {
		d->flows_restored |= (*b)->open;
		if (d->flows_restored)
			(*b)->open = 1;
	}
}

static void reconfigure(evutil_socket_t fd, short what, void *aux)
{
	struct sluiced *d = aux;
	struct config desired = {0};

	if (!ovsdb_client_is_connected(d->db) || d->stopping ||
	    !ovsdb_client_singleton(d->db, "Open_vSwitch") || !policy_run_is_ready(d->policy))
		return; /* it is called again when that changes */
	rows_notes_free(&d->notes);
	rows_read(d->db, d->options->dummy, &desired, &d->notes);
	hold_bridges(d, &desired);
	d->seq = desired.generation;
	config_sort(&desired);
	switches_update(d->switches, &desired);
	start_args_write(d);
	if (d->metrics)
		metrics_update(d->metrics);
	engine_set_desired(d->engine, &desired, d->seq);
	if (!engine_client(d->engine) && !evtimer_pending(d->grace, NULL))
		start_timer(d->grace, GRACE_MS);
	if (!evtimer_pending(d->statistics, NULL))
		start_timer(d->statistics, statistics_interval_ms(d));
}

static void grace_over(evutil_socket_t fd, short what, void *aux)
{
	struct sluiced *d = aux;
	struct writeback w = reconcile_writeback(d);
	if (engine_client(d->engine) || !ovsdb_client_is_connected(d->db))
		return;
	LOG_LIMIT(log_warn, 1, "datapath: %s", engine_datapath_error(d->engine));
	writeback_commit(&w, d->seq);
	writeback_commit_identity(&w);
}

static void count(evutil_socket_t fd, short what, void *aux)
{
	struct sluiced *d = aux;
	struct writeback w = reconcile_writeback(d);
	if (ovsdb_client_is_connected(d->db)) {
		writeback_statistics(&w);
		start_timer(d->statistics, statistics_interval_ms(d));
	}
}

/* ---- from the engine ---- */

static void applied(uint64_t seq, void *aux)
{
	struct sluiced *d = aux;
	struct writeback w = reconcile_writeback(d);
	if (d->stopping) {
		event_base_loopbreak(d->base);
		return;
	}
	switches_ports_changed(d->switches);
	if (!ovsdb_client_is_connected(d->db))
		return;
	writeback_commit_identity(&w); /* by now the datapath's version is known */
	writeback_commit(&w, seq);
}

static void ports_changed(void *aux)
{
	struct sluiced *d = aux;
	struct writeback w = reconcile_writeback(d);
	switches_ports_changed(d->switches);
	if (!d->stopping && ovsdb_client_is_connected(d->db))
		writeback_commit(&w, 0);
}

static void put_rules(const char *bridge, struct msg *m, void *aux)
{
	struct sluiced *d = aux;
	switches_put_rules(d->switches, bridge, m);
}

static void bridge_made(const char *bridge, void *aux)
{
	struct sluiced *d = aux;
	switches_bridge_made(d->switches, bridge);
}

static void client_changed(struct api_client *client, void *aux)
{
	struct sluiced *d = aux;
	struct writeback w = reconcile_writeback(d);
	switches_set_client(d->switches, client);
	policy_run_client(d->policy, client);
	if (client) {
		log_info("datapath: connected");
		evtimer_del(d->grace);
	} else {
		start_timer(d->grace, GRACE_MS);
	}
	if (client && ovsdb_client_is_connected(d->db))
		writeback_commit_identity(&w);
}

static void datapath_event(struct attrs event, void *aux)
{
	struct sluiced *d = aux;
	switches_event(d->switches, event);
	policy_run_event(d->policy, event);
}

static const struct engine_ops engine_ops = {applied,     ports_changed,  put_rules,
					     bridge_made, client_changed, datapath_event};

void reconcile_create(struct sluiced *d)
{
	char *path = xasprintf("%s/datapath.sock", d->options->rundir);
	d->reconfigure = evtimer_new(d->base, reconfigure, d);
	d->grace = evtimer_new(d->base, grace_over, d);
	d->statistics = evtimer_new(d->base, count, d);
	d->switches = switches_create(d);
	d->policy = policy_run_create(d);
	d->engine = engine_create(d->base, path, "sluiced " SLUICE_VERSION,
				  switches_events() | policy_run_events(), &engine_ops, d);
	d->links = link_watch_create(d->base, d->engine);
	free(path);
}

void reconcile_destroy(struct sluiced *d)
{
	link_watch_destroy(d->links);
	switches_destroy(d->switches);
	d->switches = NULL;
	engine_destroy(d->engine);
	d->engine = NULL;
	policy_run_destroy(d->policy);
	d->policy = NULL;
	rows_notes_free(&d->notes);
	event_free(d->reconfigure);
	event_free(d->grace);
	event_free(d->statistics);
}
