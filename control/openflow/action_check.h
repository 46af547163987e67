/* SPDX-License-Identifier: BSD-3-Clause */
/* Does an action list make sense for a match and a table (§7.2.6, §7.5.4.3)? Fields that an action
 * reads or writes must be there, ports and tables legal, conjunction alone. Also settles what an
 * action of 1.0 means for this match: the protocol of mod_tp_src, whether mod_vlan_vid finds a tag.
 * Pure. */
#pragma once
#include "control/openflow/ofp_error.h"
#include "datapath/flow/action.h"

enum { ACTION_CHECK_NO_TABLE = 255 }; /* packet-outs and buckets */

/* `list` must have passed the codec (its structure is trusted) and is adjusted in place. */
enum ofp_err action_check(void *list, size_t len, const struct match *m, uint8_t table,
			  uint8_t version);
