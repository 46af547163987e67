/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of messages, the table of those we know, and multipart replies. */
#include "control/openflow/ofmsg.h"

#include <stdlib.h>
#include <string.h>

#include "control/openflow/spec.h"

struct row {
	uint8_t kind, first, last, flags;
	uint32_t number;
	uint16_t min_body;
};

enum { EXACT = OFMSG_EXACT, WRITES = OFMSG_WRITES, EIGHTS = OFMSG_EIGHTS };
static const struct row rows[OFMSG_ROW_N] = {
#define OFMSG(kind, number, first, last, len, flags, handler)                                      \
	{OFMSG_##kind, first, last, flags, number, len},
#define OFOP OFMSG
#include "control/openflow/messages.def"
#undef OFMSG
#undef OFOP
};

static enum ofp_err parse_multipart(struct ofmsg *m)
{
	m->kind = OFMSG_MP;
	m->number = ofcur_u16(&m->body);
	m->mp_flags = ofcur_u16(&m->body);
	if (m->version > OFP10)
		ofcur_skip(&m->body, 4);
	if (m->body.short_read)
		return OFPERR_BRC_BAD_LEN;
	if (m->number != OFPMP_EXPERIMENTER)
		return OFPERR_OK;
	uint32_t experimenter = ofcur_u32(&m->body);
	m->number = ofcur_u32(&m->body);
	if (m->version == OFP10)
		ofcur_skip(&m->body, 4);
	if (m->body.short_read)
		return OFPERR_BRC_BAD_LEN;
	m->kind = experimenter == NX_EXPERIMENTER ? OFMSG_NXMP : OFMSG_ONFMP;
	return experimenter == NX_EXPERIMENTER || experimenter == ONF_EXPERIMENTER
		       ? OFPERR_OK
		       : OFPERR_BRC_BAD_VENDOR;
}

static enum ofp_err parse_experimenter(struct ofmsg *m)
{
	uint32_t experimenter = ofcur_u32(&m->body);
	m->number = ofcur_u32(&m->body);
	if (m->body.short_read)
		return OFPERR_BRC_BAD_LEN;
	m->kind = experimenter == NX_EXPERIMENTER ? OFMSG_NX : OFMSG_ONF;
	return experimenter == NX_EXPERIMENTER || experimenter == ONF_EXPERIMENTER
		       ? OFPERR_OK
		       : OFPERR_BRC_BAD_VENDOR;
}

static enum ofp_err unknown(const struct ofmsg *m)
{
	switch (m->kind) {
	case OFMSG_OF:
		return OFPERR_BRC_BAD_TYPE;
	case OFMSG_MP:
		return OFPERR_BRC_BAD_STAT;
	case OFMSG_NX:
	case OFMSG_ONF:
	case OFMSG_NXMP:
	case OFMSG_ONFMP:
		break;
	}
	return OFPERR_BRC_BAD_SUBTYPE;
}

static enum ofp_err find_row(struct ofmsg *m)
{
	size_t left = ofcur_left(&m->body);
	for (unsigned i = 0; i < OFMSG_ROW_N; i++) {
		const struct row *r = &rows[i];
		if (r->kind != m->kind || r->number != m->number || m->version < r->first ||
		    m->version > r->last)
			continue;
		if (left < r->min_body || (r->flags & OFMSG_EXACT && left != r->min_body) ||
		    (r->flags & OFMSG_EIGHTS && (left - r->min_body) % 8))
			return OFPERR_BRC_BAD_LEN;
		m->row = (enum ofmsg_row)i;
		m->flags = r->flags;
		return OFPERR_OK;
	}
	return unknown(m);
}

enum ofp_err ofmsg_parse(const void *data, size_t len, struct ofmsg *m)
{
	*m = (struct ofmsg){.data = data, .len = len, .body = ofcur_of(data, len)};
	m->version = ofcur_u8(&m->body);
	m->type = ofcur_u8(&m->body);
	ofcur_skip(&m->body, 2);
	m->xid = ofcur_u32(&m->body);
	m->number = m->type;
	if (m->body.short_read)
		return OFPERR_BRC_BAD_LEN;
	enum ofp_err err = OFPERR_OK;
	if (m->type == (m->version == OFP10 ? OFPT10_STATS_REQUEST : OFPT11_STATS_REQUEST))
		err = parse_multipart(m);
	else if (m->type == OFPT_EXPERIMENTER)
		err = parse_experimenter(m);
	return err ? err : find_row(m);
}

static void begin_part(struct ofmulti *mp)
{
	struct ofbuf *b = &mp->b;
	uint8_t type = mp->version == OFP10 ? OFPT10_STATS_REPLY : OFPT11_STATS_REPLY;
	mp->part = ofbuf_begin(b, mp->version, type, mp->xid);
	ofbuf_u16(b, mp->kind == OFMSG_MP ? (uint16_t)mp->number : OFPMP_EXPERIMENTER);
	ofbuf_u16(b, 0);
	if (mp->version > OFP10)
		ofbuf_zeros(b, 4);
	if (mp->kind == OFMSG_MP)
		return;
	ofbuf_u32(b, mp->kind == OFMSG_NXMP ? NX_EXPERIMENTER : ONF_EXPERIMENTER);
	ofbuf_u32(b, mp->number);
	if (mp->version == OFP10)
		ofbuf_zeros(b, 4);
}

void ofmulti_init(struct ofmulti *mp, const struct ofmsg *request)
{
	*mp = (struct ofmulti){.version = request->version,
			       .xid = request->xid,
			       .kind = request->kind,
			       .number = request->number};
	begin_part(mp);
}

static void next_part(struct ofmulti *mp)
{
	ofbuf_set_u16(&mp->b, mp->part + OFP_HEADER_BYTES + 2, OFPMPF_MORE);
	ofbuf_end(&mp->b, mp->part);
	begin_part(mp);
}

void ofmulti_reserve(struct ofmulti *mp, size_t n)
{
	if (mp->b.len - mp->part + n > OFP_MESSAGE_MAX)
		next_part(mp);
}

void ofmulti_fit(struct ofmulti *mp, size_t at)
{
	if (mp->b.len - mp->part <= OFP_MESSAGE_MAX)
		return;
	size_t n = mp->b.len - at;
	uint8_t *entry = xmemdup(mp->b.data + at, n);
	mp->b.len = at;
	next_part(mp);
	if (n <= OFP_MESSAGE_MAX - 64) /* else it can be in no message at all */
		ofbuf_put(&mp->b, entry, n);
	free(entry);
}

void ofmulti_end(struct ofmulti *mp)
{
	ofbuf_end(&mp->b, mp->part);
}

struct ofbuf ofmulti_take_full(struct ofmulti *mp)
{
	struct ofbuf full = mp->b;
	mp->b = (struct ofbuf){0};
	ofbuf_put(&mp->b, full.data + mp->part, full.len - mp->part);
	full.len = mp->part;
	mp->part = 0;
	return full;
}
