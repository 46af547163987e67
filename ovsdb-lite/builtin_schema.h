/* SPDX-License-Identifier: BSD-3-Clause */
/* The schemas this project carries itself, kept as tables (schema_*.def). Event-loop thread. */
#pragma once
#include "ovsdb-lite/schema.h"

/* "Open_vSwitch" or "Sluice": a reference for the caller; NULL for another name. */
struct ovsdb_schema *ovsdb_builtin_schema(const char *name);
/* As the JSON of RFC 7047 §3.2; false for another name. */
bool ovsdb_builtin_schema_put_json(struct str *out, const char *name);
const char *ovsdb_builtin_schema_version(const char *name); /* NULL for another name */
