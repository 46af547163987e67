/* SPDX-License-Identifier: BSD-3-Clause */
/* The OpenFlow part of a bridge: made and destroyed with it. Under the version lock. */
#include "datapath/table/bridge_priv.h"

#include "datapath/table/bridge.h"
#include "datapath/table/flow_table_priv.h"
#include "datapath/table/group.h"
#include "datapath/table/meter.h"

void bridge_tables_create(struct bridge *b)
{
	b->tables = flow_tables_create(b->id);
	b->groups = group_table_create();
	b->meters = meter_table_create();
}

void bridge_tables_destroy(struct bridge *b)
{
	flow_tables_destroy(b->tables);
	group_table_destroy(b->groups);
	meter_table_destroy(b->meters);
}
