/* SPDX-License-Identifier: BSD-3-Clause */
/* The meter op: a packet beyond a band's rate is dropped, or its DSCP remarked. Poll thread. */
#include "datapath/table/meter.h"

#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/exec/ops.h"
#include "datapath/exec/rewrite.h"
#include "datapath/flow/field.h"

static void remark(struct packet *p, const struct meter_band *band)
{
	struct prog_set set = {.anchor = HDR_L3, .n_bytes = 4};
	const uint8_t *ip;
	uint8_t dscp;
	bool v6;

	if (!rewrite_parse(p) || !p->ofs.ip_version)
		return;
	ip = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->ofs.l3);
	v6 = p->ofs.ip_version == 6;
	dscp = v6 ? (uint8_t)((load_be16(ip) >> 6) & 0x3f) : ip[1] >> 2;
	dscp = meter_remark_dscp(band, dscp);
	set.csum = v6 ? CSUM_NONE : CSUM_IP;
	/* First word: version, then class and label, or header length, class and length. */
	store_be32(set.mask, v6 ? 0x3fu << 22 : 0x3fu << 18);
	store_be32(set.value, v6 ? (uint32_t)dscp << 22 : (uint32_t)dscp << 18);
	rewrite_set(p, &set);
}

enum exec_next exec_METER(struct exec *x, struct packet *p, const union prog_word *w, bool last)
{
	const struct meter_band *band = meter_run(w[1].ptr, p->m->pkt_len, clock_mono_ns());

	if (!band)
		return EXEC_ON;
	if (band->type == METER_BAND_DROP)
		return exec_dropped(x, p, DROP_METER_EXCEEDED);
	remark(p, band);
	return EXEC_ON;
}
