/* SPDX-License-Identifier: BSD-3-Clause */
/* Layouts of messages about rules. */
#include "control/openflow/flow_msg.h"

#include <string.h>

#include "control/openflow/spec.h"

/* Flags that a rule keeps and statistics tell. */
enum {
	FLAGS_SHOWN = OFPFF_SEND_FLOW_REM | OFPFF_CHECK_OVERLAP | OFPFF12_RESET_COUNTS |
		      OFPFF13_NO_PKT_COUNTS | OFPFF13_NO_BYT_COUNTS
};

void flow_mod_free(struct flow_mod *fm)
{
	action_buf_free(&fm->actions);
}

static void set_command10(struct flow_mod *fm, uint16_t command, bool has_table_id)
{
	fm->command = (uint8_t)command;
	fm->table = has_table_id ? (uint8_t)(command >> 8) : OFPTT_ALL;
	if (!has_table_id && command > UINT8_MAX)
		fm->command = UINT8_MAX;
}

static enum ofp_err check_flags10(struct flow_mod *fm)
{
	if (fm->flags & OFPFF10_EMERG)
		return fm->idle_timeout_s || fm->hard_timeout_s ? OFPERR_FMFC_BAD_EMERG_TIMEOUT
								: OFPERR_FMFC_TABLE_FULL;
	if (fm->flags & ~(OFPFF_SEND_FLOW_REM | OFPFF_CHECK_OVERLAP))
		return OFPERR_FMFC_BAD_FLAGS;
	if (fm->command == OFPFC_ADD)
		fm->flags |= OFPFF12_RESET_COUNTS;
	return OFPERR_OK;
}

static enum ofp_err check_flags11(struct flow_mod *fm, uint8_t version)
{
	uint16_t known = OFPFF_SEND_FLOW_REM | OFPFF_CHECK_OVERLAP;
	if (version >= OFP12)
		known |= OFPFF12_RESET_COUNTS;
	if (version >= OFP13)
		known |= OFPFF13_NO_PKT_COUNTS | OFPFF13_NO_BYT_COUNTS;
	if (fm->flags & ~known)
		return OFPERR_FMFC_BAD_FLAGS;
	if (version == OFP11 && fm->command == OFPFC_ADD)
		fm->flags |= OFPFF12_RESET_COUNTS;
	return OFPERR_OK;
}

static enum ofp_err get10(struct ofcur *c, bool has_table_id, struct flow_mod *fm)
{
	enum ofp_err err = match10_get(c, &fm->match);
	if (err)
		return err;
	fm->new_cookie = ofcur_u64(c);
	fm->sets_cookie = true;
	set_command10(fm, ofcur_u16(c), has_table_id);
	fm->idle_timeout_s = ofcur_u16(c);
	fm->hard_timeout_s = ofcur_u16(c);
	fm->priority = ofcur_u16(c);
	fm->buffer_id = ofcur_u32(c);
	uint16_t out_port = ofcur_u16(c), flags = ofcur_u16(c);
	if (c->short_read)
		return OFPERR_BRC_BAD_LEN;
	/* 1.0 §3.4: an entry without wildcards has the highest priority */
	static const uint8_t none[4];
	const uint8_t *wildcards = c->p - 64;
	if (!memcmp(wildcards, none, 4))
		fm->priority = UINT16_MAX;
	fm->flags = flags;
	ofp_port_from10(out_port, &fm->out_port);
	return OFPERR_OK;
}

static enum ofp_err get_nxm(struct ofcur *c, bool has_table_id, struct flow_mod *fm)
{
	fm->new_cookie = ofcur_u64(c);
	fm->sets_cookie = true;
	set_command10(fm, ofcur_u16(c), has_table_id);
	fm->idle_timeout_s = ofcur_u16(c);
	fm->hard_timeout_s = ofcur_u16(c);
	fm->priority = ofcur_u16(c);
	fm->buffer_id = ofcur_u32(c);
	uint16_t out_port = ofcur_u16(c), flags = ofcur_u16(c), match_len = ofcur_u16(c);
	ofcur_skip(c, 6);
	struct ofcur match = ofcur_sub(c, SL_ALIGN_UP((size_t)match_len, 8));
	if (c->short_read)
		return OFPERR_BRC_BAD_LEN;
	struct oxm_cookie cookie;
	enum ofp_err err = oxm_match_get(match.p, match_len, true, &fm->match, &cookie);
	if (err)
		return err;
	fm->cookie = cookie.value;
	fm->cookie_mask = cookie.mask;
	if (fm->command == OFPFC_ADD && cookie.mask)
		return OFPERR_NXBRC_NXM_INVALID;
	fm->flags = flags;
	ofp_port_from10(out_port, &fm->out_port);
	return OFPERR_OK;
}

static enum ofp_err get11(struct ofcur *c, uint8_t version, struct flow_mod *fm)
{
	fm->cookie = ofcur_u64(c);
	fm->cookie_mask = ofcur_u64(c);
	fm->table = ofcur_u8(c);
	fm->command = ofcur_u8(c);
	fm->idle_timeout_s = ofcur_u16(c);
	fm->hard_timeout_s = ofcur_u16(c);
	fm->priority = ofcur_u16(c);
	fm->buffer_id = ofcur_u32(c);
	fm->out_port = ofcur_u32(c);
	fm->out_group = ofcur_u32(c);
	fm->flags = ofcur_u16(c);
	uint16_t importance = ofcur_u16(c);
	if (c->short_read)
		return OFPERR_BRC_BAD_LEN;
	enum ofp_err err = ofp_match_get(c, version, &fm->match);
	if (err)
		return err;
	if (version >= OFP14)
		fm->importance = importance;
	/* §7.3.4.3: all tables at once are for deletions */
	if (fm->table == OFPTT_ALL && fm->command != OFPFC_DELETE &&
	    fm->command != OFPFC_DELETE_STRICT)
		return OFPERR_FMFC_BAD_TABLE_ID;
	/* a modify of 1.1 that does not select by cookie sets it, and adds, as in 1.0 */
	bool modify11 = version == OFP11 && fm->command <= OFPFC_MODIFY_STRICT && !fm->cookie_mask;
	if (fm->command == OFPFC_ADD || modify11) {
		fm->new_cookie = fm->cookie;
		fm->sets_cookie = true;
		fm->cookie = fm->cookie_mask = 0;
	}
	return ofp_port_is_possible(fm->out_port) ? OFPERR_OK : OFPERR_BAC_BAD_OUT_PORT;
}

/* Checks in the order of Open vSwitch: what is wrong with several parts is refused for the same
 * one. */
enum ofp_err flow_mod_get(struct ofcur body, struct flow_mod_format format, struct flow_mod *fm)
{
	*fm = (struct flow_mod){.out_group = OFPG_ANY};
	bool old = format.nxm || format.version == OFP10;
	enum ofp_err err = format.nxm ? get_nxm(&body, format.has_table_id, fm)
			   : old      ? get10(&body, format.has_table_id, fm)
				      : get11(&body, format.version, fm);
	/* 1.0 has no "keep": Nicira's clients write all ones */
	if (fm->command != OFPFC_ADD && fm->new_cookie == UINT64_MAX)
		fm->sets_cookie = false;
	/* filters of deletions mean nothing elsewhere (§7.3.4.3.1) */
	if (!err && fm->command < OFPFC_DELETE) {
		fm->out_port = OFP_PORT_ANY;
		fm->out_group = OFPG_ANY;
	}
	if (!err)
		err = ofp_rule_actions_get(body.p, ofcur_left(&body), format.version, &fm->actions);
	if (!err)
		err = old ? check_flags10(fm) : check_flags11(fm, format.version);
	fm->names_buffer = fm->command < OFPFC_DELETE && fm->buffer_id != OFP_NO_BUFFER;
	return !err && fm->command > OFPFC_DELETE_STRICT ? OFPERR_FMFC_BAD_COMMAND : err;
}

enum ofp_err flow_selection_get(struct ofcur body, struct flow_mod_format format,
				struct flow_selection *out)
{
	*out = (struct flow_selection){.out_group = OFPG_ANY};
	enum ofp_err err = OFPERR_OK;
	if (format.nxm) {
		uint16_t port = ofcur_u16(&body), match_len = ofcur_u16(&body);
		out->table = ofcur_u8(&body);
		ofcur_skip(&body, 3);
		struct ofcur match = ofcur_sub(&body, SL_ALIGN_UP((size_t)match_len, 8));
		if (body.short_read)
			return OFPERR_BRC_BAD_LEN;
		struct oxm_cookie cookie;
		err = oxm_match_get(match.p, match_len, true, &out->match, &cookie);
		out->cookie = cookie.value;
		out->cookie_mask = cookie.mask;
		ofp_port_from10(port, &out->out_port);
		return err;
	}
	if (format.version == OFP10) {
		err = match10_get(&body, &out->match);
		out->table = ofcur_u8(&body);
		ofcur_skip(&body, 1);
		uint16_t port = ofcur_u16(&body);
		if (body.short_read)
			return OFPERR_BRC_BAD_LEN;
		ofp_port_from10(port, &out->out_port);
		return err;
	}
	out->table = ofcur_u8(&body);
	ofcur_skip(&body, 3);
	out->out_port = ofcur_u32(&body);
	out->out_group = ofcur_u32(&body);
	ofcur_skip(&body, 4);
	out->cookie = ofcur_u64(&body);
	out->cookie_mask = ofcur_u64(&body);
	if (!body.short_read && !ofp_port_is_possible(out->out_port))
		return OFPERR_BAC_BAD_OUT_PORT;
	return body.short_read ? OFPERR_BRC_BAD_LEN
			       : ofp_match_get(&body, format.version, &out->match);
}

static void put_duration(struct ofbuf *b, uint64_t ms)
{
	ofbuf_u32(b, (uint32_t)(ms / 1000));
	ofbuf_u32(b, (uint32_t)(ms % 1000 * 1000000));
}

/* NXST_FLOW tells ages as seconds + 1, 0 for unknown. */
static uint16_t age(uint64_t ms)
{
	uint64_t s = ms / 1000 + 1;
	return (uint16_t)SL_MIN(s, (uint64_t)UINT16_MAX);
}

static void put_match_nxm(struct ofbuf *b, const struct match *m, size_t length_at)
{
	size_t at = b->len;
	oxm_match_put(b, m, OFP10);
	ofbuf_set_u16(b, length_at, (uint16_t)(b->len - at));
	ofbuf_pad(b, at, 8);
}

static void put_counters(struct ofbuf *b, const struct flow_stats *fs)
{
	ofbuf_u64(b, fs->packets);
	ofbuf_u64(b, fs->bytes);
}

static void put_stats10(struct ofbuf *b, const struct flow_stats *fs)
{
	match10_put(b, &fs->match);
	put_duration(b, fs->duration_ms);
	ofbuf_u16(b, fs->priority);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	ofbuf_zeros(b, 6);
	ofbuf_u64(b, fs->cookie);
	put_counters(b, fs);
}

static void put_stats_nxm(struct ofbuf *b, const struct flow_stats *fs)
{
	put_duration(b, fs->duration_ms);
	ofbuf_u16(b, fs->priority);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	size_t match_len_at = b->len;
	ofbuf_u16(b, 0);
	ofbuf_u16(b, age(fs->idle_age_ms));
	ofbuf_u16(b, age(fs->hard_age_ms));
	ofbuf_u64(b, fs->cookie);
	put_counters(b, fs);
	put_match_nxm(b, &fs->match, match_len_at);
}

static void put_stats11(struct ofbuf *b, uint8_t version, const struct flow_stats *fs)
{
	uint16_t flags = fs->flags & FLAGS_SHOWN;
	put_duration(b, fs->duration_ms);
	ofbuf_u16(b, fs->priority);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	ofbuf_u16(b, version >= OFP13 ? flags : 0);
	ofbuf_u16(b, version >= OFP14 ? fs->importance : 0);
	ofbuf_zeros(b, 2);
	ofbuf_u64(b, fs->cookie);
	put_counters(b, fs);
	ofp_match_put(b, &fs->match, version);
}

/* ---- OpenFlow 1.5: statistics as a list of OXS entries (§7.2.4) ---- */

enum { OXS_DURATION, OXS_IDLE_TIME, OXS_FLOW_COUNT = 3, OXS_PACKET_COUNT, OXS_BYTE_COUNT };

static void put_oxs(struct ofbuf *b, unsigned field, uint64_t value, unsigned n_bytes)
{
	ofbuf_u32(b, 0x80020000u | field << 9 | n_bytes);
	if (n_bytes == 8)
		ofbuf_u64(b, value);
	else
		ofbuf_u32(b, (uint32_t)value);
}

static uint64_t as_time(uint64_t ms)
{
	return ms / 1000 << 32 | ms % 1000 * 1000000;
}

static size_t oxs_begin(struct ofbuf *b)
{
	size_t at = b->len;
	ofbuf_u32(b, 0);
	return at;
}

static void oxs_end(struct ofbuf *b, size_t at)
{
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - at));
	ofbuf_pad(b, at, 8);
}

static void put_oxs_stats(struct ofbuf *b, const struct flow_stats *fs)
{
	size_t at = oxs_begin(b);
	put_oxs(b, OXS_DURATION, as_time(fs->duration_ms), 8);
	put_oxs(b, OXS_IDLE_TIME, as_time(fs->idle_age_ms), 8);
	put_oxs(b, OXS_PACKET_COUNT, fs->packets, 8);
	put_oxs(b, OXS_BYTE_COUNT, fs->bytes, 8);
	oxs_end(b, at);
}

static void put_stats15(struct ofbuf *b, const struct flow_stats *fs)
{
	ofbuf_u8(b, fs->table);
	ofbuf_u8(b, 0);
	ofbuf_u16(b, fs->priority);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	ofbuf_u16(b, fs->flags & FLAGS_SHOWN);
	ofbuf_u16(b, fs->importance);
	ofbuf_u64(b, fs->cookie);
	ofp_match_put(b, &fs->match, OFP15);
	put_oxs_stats(b, fs);
}

void flow_counts_put(struct ofbuf *b, const struct flow_stats *fs)
{
	enum { REASON_REQUESTED };
	size_t at = b->len;
	ofbuf_zeros(b, 4);
	ofbuf_u8(b, fs->table);
	ofbuf_u8(b, REASON_REQUESTED);
	ofbuf_u16(b, fs->priority);
	ofp_match_put(b, &fs->match, OFP15);
	put_oxs_stats(b, fs);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

void flow_aggregate_put(struct ofbuf *b, uint8_t version, uint64_t packets, uint64_t bytes,
			uint32_t n_flows)
{
	if (version < OFP15) {
		ofbuf_u64(b, packets);
		ofbuf_u64(b, bytes);
		ofbuf_u32(b, n_flows);
		ofbuf_zeros(b, 4);
		return;
	}
	size_t at = oxs_begin(b);
	put_oxs(b, OXS_PACKET_COUNT, packets, 8);
	put_oxs(b, OXS_BYTE_COUNT, bytes, 8);
	put_oxs(b, OXS_FLOW_COUNT, n_flows, 4);
	oxs_end(b, at);
}

static void put_removed15(struct ofbuf *b, const struct flow_stats *fs)
{
	ofbuf_u8(b, fs->table);
	ofbuf_u8(b, fs->removed_reason);
	ofbuf_u16(b, fs->priority);
	ofbuf_u16(b, fs->idle_timeout_s);
	ofbuf_u16(b, fs->hard_timeout_s);
	ofbuf_u64(b, fs->cookie);
	ofp_match_put(b, &fs->match, OFP15);
	put_oxs_stats(b, fs);
}

/* ---- */

void flow_stats_put(struct ofbuf *b, struct flow_mod_format format, const struct flow_stats *fs)
{
	size_t at = b->len;
	ofbuf_u16(b, 0);
	if (format.version >= OFP15) {
		ofbuf_zeros(b, 2);
		put_stats15(b, fs);
	} else {
		ofbuf_u8(b, fs->table);
		ofbuf_u8(b, 0);
		if (format.nxm)
			put_stats_nxm(b, fs);
		else if (format.version == OFP10)
			put_stats10(b, fs);
		else
			put_stats11(b, format.version, fs);
	}
	ofp_rule_actions_put(b, format.version, fs->actions, fs->actions_len);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

void flow_removed_put(struct ofbuf *b, struct flow_mod_format format, const struct flow_stats *fs)
{
	bool old = format.version == OFP10 && !format.nxm;
	if (format.version >= OFP15) {
		put_removed15(b, fs);
		return;
	}
	if (old)
		match10_put(b, &fs->match);
	ofbuf_u64(b, fs->cookie);
	ofbuf_u16(b, fs->priority);
	ofbuf_u8(b, fs->removed_reason);
	ofbuf_u8(b, old ? 0 : format.nxm ? (uint8_t)(fs->table + 1) : fs->table);
	put_duration(b, fs->duration_ms);
	ofbuf_u16(b, fs->idle_timeout_s);
	size_t next_at = b->len;
	ofbuf_u16(b, old || format.nxm ? 0 : fs->hard_timeout_s);
	put_counters(b, fs);
	if (format.nxm)
		put_match_nxm(b, &fs->match, next_at);
	else if (!old)
		ofp_match_put(b, &fs->match, format.version);
}
