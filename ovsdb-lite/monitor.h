/* SPDX-License-Identifier: BSD-3-Clause */
/* What monitors say (RFC 7047 §4.1.5–4.1.6 and the monitor_cond forms). Sessions that ask for the
 * same tables, columns and conditions share one spec, whose text is made once per transaction
 * however many they are: a hundred identical monitors cost one serialisation. */
#pragma once
#include "ovsdb-lite/condition.h"
#include "ovsdb-lite/stream.h"
#include "ovsdb-lite/txn.h"

enum ovsdb_select {
	OVSDB_SELECT_INITIAL = 1,
	OVSDB_SELECT_INSERT = 2,
	OVSDB_SELECT_DELETE = 4,
	OVSDB_SELECT_MODIFY = 8,
	OVSDB_SELECT_ALL = 15,
};

struct ovsdb_monitor_column {
	int index;
	unsigned select;
};

struct ovsdb_monitor_table {
	struct list node; /* in table->monitors */
	struct ovsdb_monitor_spec *spec;
	struct ovsdb_table *table;
	unsigned select; /* of any request */
	VEC(struct ovsdb_monitor_column) columns;
	struct ovsdb_condition condition; /* no clauses = every row */
	bool every_row;                   /* while parsing: a request had no condition */
};

struct ovsdb_monitor_spec {
	struct hmap_node node; /* in set->specs, by key */
	struct ovsdb_monitor_set *set;
	unsigned refs;
	int version; /* 1: update; 2: update2 and update3 */
	char *key;
	struct ovsdb_monitor_table **tables; /* by table number; NULL = not monitored */
	struct list subscribers;             /* whatever the server hangs here */
	bool is_marked;
	struct ovsdb_buf *initial; /* cache of the initial contents … */
	uint64_t initial_commit;   /* … as of this commit */
};

/* The specs of one database. */
struct ovsdb_monitor_set {
	struct ovsdb_db *db;
	struct hmap specs;
};

/* One row of a committed transaction; `old` is a picture of it before. */
struct ovsdb_change {
	struct ovsdb_table *table;
	struct ovsdb_row *old, *new; /* NULL: did not exist, does not exist any more */
};

/* <monitor-requests>: finds an equal spec or makes one; a reference either way. */
struct ovsdb_error *ovsdb_monitor_parse(struct ovsdb_monitor_spec **out,
					struct ovsdb_monitor_set *set, const json_t *requests,
					int version);
void ovsdb_monitor_unref(struct ovsdb_monitor_spec *s); /* NULL is fine */
/* The spec with other conditions for the tables named in `requests` (monitor_cond_change). */
struct ovsdb_error *ovsdb_monitor_with_conditions(struct ovsdb_monitor_spec **out,
						  const struct ovsdb_monitor_spec *from,
						  const json_t *requests);

/* <table-updates> of the present contents; shared, one reference for the caller. */
struct ovsdb_buf *ovsdb_monitor_initial(struct ovsdb_monitor_spec *s);
/* <table-updates> of a transaction (changes grouped by table); NULL if it says nothing to this
 * spec. One reference. */
struct ovsdb_buf *ovsdb_monitor_update(const struct ovsdb_monitor_spec *s,
				       const struct ovsdb_change *changes, size_t n);
/* What a client of `from` must hear to be a client of `to`; the two differ in conditions only. */
struct ovsdb_buf *ovsdb_monitor_transition(const struct ovsdb_monitor_spec *from,
					   const struct ovsdb_monitor_spec *to);
