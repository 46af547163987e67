/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/table/bridge_priv.h"

#include "datapath/table/bridge.h"

void bridge_tables_create(struct bridge *b)
{
}

void bridge_tables_destroy(struct bridge *b)
{
}
