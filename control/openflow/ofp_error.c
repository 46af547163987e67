/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and texts of OpenFlow errors, and the error message. */
#include "control/openflow/ofp_error.h"

#include "control/openflow/spec.h"

enum { N_VERSIONS = 6, QUOTED_BYTES = OFP_MESSAGE_MAX - 20 };

/* domain << 32 | type << 16 | code */
enum { DOMAIN_OF, DOMAIN_NX_VENDOR, DOMAIN_NX_EXPERIMENTER, DOMAIN_ONF_EXPERIMENTER, DOMAIN_NONE };
#define WIRE(domain, type, code) ((uint64_t)(domain) << 32 | (uint64_t)(type) << 16 | (code))
#define OF(type, code)           WIRE(DOMAIN_OF, type, code)
#define NXV(type, code)          WIRE(DOMAIN_NX_VENDOR, type, code)
#define NXE(code)                WIRE(DOMAIN_NX_EXPERIMENTER, 0, code)
#define ONF(code)                WIRE(DOMAIN_ONF_EXPERIMENTER, 0, code)
#define NA                       WIRE(DOMAIN_NONE, 0, 0)

static const struct {
	const char *name, *text;
	uint64_t wire[N_VERSIONS]; /* by wire version - 1 */
} rows[OFPERR_N] = {
	[OFPERR_OK] = {"OK", "no error", {NA, NA, NA, NA, NA, NA}},
#define OFP_ERR(id, v10, v11, v12, v13, v14, v15, text)                                            \
	[OFPERR_##id] = {#id, text, {v10, v11, v12, v13, v14, v15}},
#include "control/openflow/ofp_errors.def"
#undef OFP_ERR
};

const char *ofp_err_text(enum ofp_err err)
{
	return err < OFPERR_N ? rows[err].text : "unknown error";
}

const char *ofp_err_name(enum ofp_err err)
{
	return err < OFPERR_N ? rows[err].name : "?";
}

enum ofp_err ofp_err_from_number(uint32_t type_code)
{
	uint64_t wanted = WIRE(DOMAIN_OF, type_code >> 16, type_code & 0xffff);
	for (int v = N_VERSIONS - 1; v >= 0; v--)
		for (int i = OFPERR_OK + 1; i < OFPERR_N; i++)
			if (rows[i].wire[v] == wanted)
				return (enum ofp_err)i;
	return OFPERR_FMFC_UNKNOWN;
}

void ofp_err_put(struct ofbuf *b, uint8_t version, uint32_t xid, enum ofp_err err,
		 const void *request, size_t request_len)
{
	unsigned column = version >= 1 && version <= N_VERSIONS ? version - 1u : 0;
	uint64_t w = rows[err].wire[column];
	if (w >> 32 == DOMAIN_NONE)
		w = rows[OFPERR_NXBRC_UNENCODABLE_ERROR].wire[column];
	uint16_t type = (uint16_t)(w >> 16), code = (uint16_t)w;

	size_t at = ofbuf_begin(b, version, OFPT_ERROR, xid);
	if (w >> 32 == DOMAIN_OF) {
		ofbuf_u16(b, type);
		ofbuf_u16(b, code);
	} else if (w >> 32 == DOMAIN_NX_VENDOR) {
		ofbuf_u16(b, NXET_VENDOR);
		ofbuf_u16(b, 0);
		ofbuf_u32(b, NX_EXPERIMENTER);
		ofbuf_u16(b, type);
		ofbuf_u16(b, code);
	} else {
		ofbuf_u16(b, OFPET_EXPERIMENTER);
		ofbuf_u16(b, code);
		ofbuf_u32(b,
			  w >> 32 == DOMAIN_ONF_EXPERIMENTER ? ONF_EXPERIMENTER : NX_EXPERIMENTER);
	}
	ofbuf_put(b, request, SL_MIN(request_len, (size_t)QUOTED_BYTES));
	ofbuf_end(b, at);
}
