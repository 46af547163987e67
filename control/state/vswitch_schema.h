/* SPDX-License-Identifier: BSD-3-Clause */
/* The Open_vSwitch schema, made from the short form in vswitch_schema.def. */
#pragma once
#include <jansson.h>

struct ovsdb_schema;

json_t *vswitch_schema_json(void);         /* a new reference */
struct ovsdb_schema *vswitch_schema(void); /* likewise */
