/* SPDX-License-Identifier: BSD-3-Clause */
/* The walk through the tables of a bridge. */
#include "datapath/resolve/resolver_priv.h"

void resolve_table(struct resolver *r, uint8_t table, bool in_resubmit)
{
	resolve_normal(r);
}

void resolve_pipeline(struct resolver *r)
{
	resolve_table(r, 0, false);
}

void resolve_packet_out(struct resolver *r)
{
	note_drop(r, DROP_NO_ACTIONS);
}

void resolve_resume(struct resolver *r)
{
	note_drop(r, DROP_FROZEN_GONE);
}

void resolve_controller(struct resolver *r, const struct controller_args *args)
{
	note_drop(r, DROP_NO_ACTIONS);
}
