/* SPDX-License-Identifier: BSD-3-Clause */
/* A net.yaml: parsed and checked (net_yaml.c, pure), compared with and written to the Open_vSwitch
 * database (net_db.c), written back as text (net_export.c).
 *
 *	poll: {cores: [1, 2]}
 *	profiles:
 *	  guest: {tag: 10, mtu: 1500}
 *	bridges:
 *	  br0:
 *	    mac-ageing: 300
 *	    ports:
 *	      vm1: {profile: guest, type: dpdkvhostuserclient, path: /run/vm1.sock}
 */
#pragma once
#include "datapath/base/err.h"
#include "datapath/base/vec.h"

struct ovsdb_client;
struct ovsdb_client_txn;
struct ovsdb_row;
struct str;

enum net_scope { NET_POLL, NET_BRIDGE, NET_PORT };
enum net_kind {
	NET_STRING,
	NET_INT,
	NET_BOOL,
	NET_ENUM,
	NET_VLANS,
	NET_CORES,
	NET_MAC,
	NET_WORDS,
	NET_TARGETS,
	NET_MAP
};
struct net_key {
	enum net_scope scope;
	const char *name, *table, *column, *map_key;
	enum net_kind kind;
	int64_t min, max;
	const char *choices, *def, *doc;
};
extern const struct net_key net_keys[];
extern const size_t net_n_keys;
const struct net_key *net_key_find(enum net_scope scope, const char *name);

struct net_where { /* from 1; 0: not from a file */
	unsigned line, column;
};

struct net_setting {
	const struct net_key *key;
	char *sub;   /* MAP: which entry; else NULL */
	char *value; /* canonical: "10", "true", "1,10-20", "a b"; NULL: the default again */
	struct net_where where;
};

struct net_object {
	char *name;
	struct net_where where;
	VEC(struct net_setting) settings;
};

struct net_bridge {
	struct net_object o;
	VEC(struct net_object) ports;
};

struct net_owner { /* of a row of Bridge or Port */
	const char *table;
	char *name, *owner; /* owner NULL: nobody */
};

struct net {
	char *file;                   /* for messages; "" when the text is not a file's */
	VEC(struct net_owner) owners; /* NET_RESTORE: whose the rows are */
	bool has_poll;
	struct net_object poll;
	VEC(struct net_bridge) bridges;
};

/* `whole`: the text describes its ports completely; else it may be a part, as `sluice port set`
 * sends. 0 or -EINVAL with "file:line:column: what is wrong". *out is zeroed by the caller, and
 * freed by it with net_free() in both cases. At most NET_TEXT_MAX bytes. */
enum { NET_TEXT_MAX = 16 << 20 };
int net_parse(struct net *out, const char *file, const char *text, size_t len, bool whole,
	      struct err *e);
void net_free(struct net *n);
const struct net_setting *net_setting_find(const struct net_object *o, const char *key,
					   const char *sub);

/* Puts "file:line:column: " in front; returns -code. */
int net_err(const struct net *n, struct net_where where, struct err *e, int code, const char *fmt,
	    ...) SL_PRINTF(5, 6);

/* ---- text forms of values ---- */
enum { NET_CORE_MAX = 1023 };
/* The canonical form; NULL: not allowed, and `why` says it. Caller frees. Not for MAP. */
char *net_canonical(const struct net_key *k, const char *value, struct str *why);
/* "1,10-20" into bits; false: not that. `bits` has max / 8 + 1 bytes, numbers are 0 .. max. */
bool net_ranges_parse(const char *text, uint8_t *bits, unsigned max);
void net_ranges_format(const uint8_t *bits, unsigned max, struct str *out);

/* ---- database ---- */
enum net_flags {
	NET_MERGE = 1,       /* leave what the text does not mention: no defaults, no deletions */
	NET_PRUNE = 2,       /* take over and remove what others own */
	NET_CREATE = 4,      /* every port, or bridge without ports, must be new */
	NET_EXISTING = 8,    /* … must exist */
	NET_NO_DEVICES = 16, /* do not look whether network devices and cores exist */
	NET_RESTORE = 32,    /* back to what net_snapshot() saw: everything, and whose it is */
};
/* Compares with the replica. Appends one line per difference to `text`; when `txn` is not NULL,
 * adds the operations to it. `owner` is written to what is made, and owns it. */
int net_diff(const struct net *n, const struct ovsdb_client *db, unsigned flags, const char *owner,
	     struct ovsdb_client_txn *txn, struct str *text, struct err *e);
/* One port or bridge (with its ports). -ENOENT, -ENOTSUP: a bridge's own port. */
int net_delete(const struct ovsdb_client *db, enum net_scope scope, const char *name,
	       struct ovsdb_client_txn *txn, struct err *e);
/* The database as YAML that net_parse() reads. */
void net_export(const struct ovsdb_client *db, struct str *out);
/* All that net.yaml can say, for net_diff() with NET_RESTORE. *out is zeroed by the caller, who
 * frees it with net_free(). -EINVAL: the database has something that a file may not say. */
int net_snapshot(struct net *out, const struct ovsdb_client *db, struct err *e);
/* Canonical text of a key in a row; NULL: not set. Caller frees. */
char *net_row_value(const struct ovsdb_client *db, const struct ovsdb_row *row,
		    const struct net_key *key, const char *sub);
