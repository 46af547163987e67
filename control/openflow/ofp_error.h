/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenFlow errors: one enum for all versions, from ofp_errors.def. Immutable tables, any thread. */
#pragma once
#include "control/openflow/ofbuf.h"

enum ofp_err {
	OFPERR_OK, /* 0: no error, so that `if (err)` reads well */
#define OFP_ERR(id, ...) OFPERR_##id,
#include "control/openflow/ofp_errors.def"
#undef OFP_ERR
	OFPERR_N
};

const char *ofp_err_text(enum ofp_err err); /* "overlaps another rule" */
const char *ofp_err_name(enum ofp_err err); /* "FMFC_OVERLAP" */
/* The datapath's ERROR_OFP, type << 16 | code as OpenFlow 1.5 (or the last version that has it)
 * numbers it. Unknown numbers become FMFC_UNKNOWN. */
enum ofp_err ofp_err_from_number(uint32_t type_code);

/* Appends an OFPT_ERROR about `request`, which is quoted as far as it fits (§7.5.4 asks for 64
 * bytes). */
void ofp_err_put(struct ofbuf *b, uint8_t version, uint32_t xid, enum ofp_err err,
		 const void *request, size_t request_len);
