/* SPDX-License-Identifier: BSD-3-Clause */
/* The databases: Open_vSwitch from the embedded server with its file, or from an external server,
 * and the replica of either; Sluice from the embedded server always. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/daemon/sluiced.h"
#include "datapath/base/log.h"
#include "ovsdb-lite/builtin_schema.h"
#include "ovsdb-lite/client.h"
#include "ovsdb-lite/schema.h"
#include "ovsdb-lite/server.h"

LOG_MODULE(database);

/* The columns that the configuration is made from; the others are mostly this daemon's own. */
static const char *const watched[] = {
	/* Open_vSwitch */
	"next_cfg",
	"bridges",
	"other_config",
	"ssl",
	"private_key",
	"certificate",
	"ca_cert",
	/* Bridge */
	"name",
	"ports",
	"fail_mode",
	"datapath_type",
	"flood_vlans",
	"controller",
	"protocols",
	/* Port, Interface */
	"interfaces",
	"vlan_mode",
	"tag",
	"trunks",
	"cvlans",
	"protected",
	"type",
	"options",
	"mtu_request",
	"ofport_request",
	"mac",
	/* Controller */
	"target",
	"inactivity_probe",
	"max_backoff",
	"controller_rate_limit",
	"controller_burst_limit",
	"enable_async_messages",
	/* Datapath, CT_Zone, CT_Timeout_Policy, Flow_Table */
	"datapaths",
	"ct_zones",
	"timeout_policy",
	"timeouts",
	"flow_tables",
/* those that are reported as not acted on */
#define INERT(table, column, why) column,
#include "control/state/inert_columns.def"
#undef INERT
};

static bool is_watched(const char *column)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(watched); i++)
		if (!strcmp(watched[i], column))
			return true;
	return false;
}

static bool matters(const struct ovsdb_client_change *change)
{
	const char *column;
	size_t at = 0;
	if (change->kind != OVSDB_ROW_MODIFIED)
		return true;
	while ((column = ovsdb_client_change_next(change, &at)))
		if (is_watched(column))
			return true;
	return false;
}

static void changed(struct ovsdb_client *c, const struct ovsdb_client_change *changes, size_t n,
		    void *aux)
{
	struct sluiced *d = aux;
	bool matter = false;
	commands_net_check(d);
	for (size_t i = 0; i < n; i++) {
		written_forget(d->written, &changes[i]);
		matter = matter || matters(&changes[i]);
	}
	if (matter)
		reconcile_soon(d);
}

/* A new database has no row yet; clients of this schema expect one. */
static void make_root(struct ovsdb_client *c)
{
	struct ovsdb_client_txn *t = ovsdb_client_txn_create(c);
	ovsdb_client_txn_insert(t, "Open_vSwitch");
	ovsdb_client_txn_comment(t, "sluiced: first start");
	ovsdb_client_txn_commit(t, NULL, NULL);
}

static void state_changed(struct ovsdb_client *c, enum ovsdb_client_state state, void *aux)
{
	struct sluiced *d = aux;
	switch (state) {
	case OVSDB_CLIENT_CONNECTED:
		if (!ovsdb_client_singleton(c, "Open_vSwitch"))
			make_root(c);
		reconcile_soon(d);
		break;
	case OVSDB_CLIENT_LOCKED:
		reconcile_soon(d);
		break;
	case OVSDB_CLIENT_LOCK_LOST:
		log_warn("another ovs-vswitchd or sluiced has this database's lock");
		break;
	case OVSDB_CLIENT_DISCONNECTED:
		log_info("database: disconnected: %s", ovsdb_client_last_error(c));
		break;
	}
}

static int open_file(struct sluiced *d, const char *schema_name, const char *file, struct err *e)
{
	char *path = xasprintf("%s/%s", d->options->dbdir, file);
	struct ovsdb_schema *schema = ovsdb_builtin_schema(schema_name);
	int rc = ovsdb_server_open_or_create_db(d->server, path, schema, e);
	ovsdb_schema_unref(schema);
	free(path);
	return rc;
}

static int listen_on(struct sluiced *d, const char *socket, struct err *e)
{
	char *remote = xasprintf("punix:%s/%s", d->options->rundir, socket);
	int rc = ovsdb_server_add_remote(d->server, remote, e);
	free(remote);
	return rc;
}

static int open_open_vswitch(struct sluiced *d, struct err *e)
{
	int rc = open_file(d, "Open_vSwitch", "conf.db", e);
	if (!rc)
		rc = ovsdb_server_add_remote(d->server,
					     "db:Open_vSwitch,Open_vSwitch,manager_options", e);
	if (!rc)
		ovsdb_server_set_tls(d->server, "db:Open_vSwitch,SSL,private_key",
				     "db:Open_vSwitch,SSL,certificate",
				     "db:Open_vSwitch,SSL,ca_cert");
	return rc;
}

/* db.sock belongs to an external server, which may well use this run directory. */
static int open_embedded(struct sluiced *d, struct err *e)
{
	bool external = d->options->remote;
	int rc;
	d->server = ovsdb_server_create(d->base, &(struct ovsdb_server_limits){0});
	rc = open_file(d, "Sluice", "sluice.db", e);
	if (!rc && !external)
		rc = open_open_vswitch(d, e);
	if (!rc)
		rc = listen_on(d, external ? "sluice-db.sock" : "db.sock", e);
	if (!rc)
		rc = policy_store_create(&d->policies, d->base, d->server, e);
	return rc;
}

int database_open(struct sluiced *d, struct err *e)
{
	struct ovsdb_client_config cfg = {.base = d->base,
					  .remote = d->options->remote,
					  .db = "Open_vSwitch",
					  .on_change = changed,
					  .on_state = state_changed,
					  .aux = d};
	int rc = open_embedded(d, e);
	d->written = written_create();
	if (rc)
		return rc;
	if (!d->options->remote)
		cfg.server = d->server;
	rc = ovsdb_client_create(&d->db, &cfg, e);
	if (!rc && d->options->remote)
		ovsdb_client_lock(d->db, "ovs_vswitchd");
	return rc;
}

void database_close(struct sluiced *d)
{
	ovsdb_client_destroy(d->db);
	policy_store_destroy(d->policies);
	ovsdb_server_destroy(d->server);
	written_destroy(d->written);
	d->written = NULL;
	d->db = NULL;
	d->policies = NULL;
	d->server = NULL;
}
