/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups (§5.10, §7.3.4.4, §7.3.5.4 to 6): mods to operations, statistics and descriptions from
 * dumps. */
#include <stdlib.h>
#include <string.h>

#include "control/openflow/action_check.h"
#include "control/openflow/object_mod.h"
#include "control/openflow/op.h"

/* COMMAND of GROUP_MOD beside enum api_mod */
enum { API_GROUP_ADD_OR_MODIFY = 2 };

void group_mod_free(struct group_mod *g)
{
	VEC_FOR_EACH (b, &g->buckets)
		action_buf_free(&b->actions);
	vec_free(&g->buckets);
}

static enum ofp_err get_bucket_actions(const void *p, size_t n, uint8_t version,
				       struct group_bucket *b)
{
	enum ofp_err err = ofp_actions_get(p, n, version, &b->actions);
	struct match any;
	match_init(&any);
	/* what a bucket needs of the packet is not known here: as in 1.0, it is not held against it
	 */
	return err ? err
	       : action_check(b->actions.data, b->actions.len, &any, ACTION_CHECK_NO_TABLE,
			      OFP10) == OFPERR_BAC_BAD_OUT_PORT
		       ? OFPERR_BAC_BAD_OUT_PORT
		       : OFPERR_OK;
}

/* 1.1 to 1.4: length, weight, watch port and group, actions. */
static enum ofp_err get_buckets11(struct ofcur c, uint8_t version, struct group_mod *g)
{
	while (ofcur_left(&c)) {
		struct group_bucket b = {0};
		if (ofcur_left(&c) < 16)
			return OFPERR_GMFC_BAD_BUCKET;
		size_t len = load_be16(c.p);
		if (len < 16 || len % 8 || len > ofcur_left(&c))
			return OFPERR_GMFC_BAD_BUCKET;
		struct ofcur one = ofcur_sub(&c, len);
		ofcur_skip(&one, 2);
		b.weight = ofcur_u16(&one);
		b.watch_port = ofcur_u32(&one);
		b.watch_group = ofcur_u32(&one);
		ofcur_skip(&one, 4);
		b.id = (uint32_t)g->buckets.len;
		if (!ofp_port_is_possible(b.watch_port))
			return OFPERR_GMFC_BAD_WATCH;
		enum ofp_err err = get_bucket_actions(one.p, ofcur_left(&one), version, &b);
		vec_push(&g->buckets, b);
		if (err)
			return err;
		if (g->buckets.len > BUCKETS_MAX)
			return OFPERR_GMFC_OUT_OF_BUCKETS;
	}
	return OFPERR_OK;
}

static enum ofp_err get_bucket_props(struct ofcur c, struct group_bucket *b)
{
	struct ofcur prop;
	uint16_t type;
	bool bad;
	while (ofcur_tlv(&c, &type, &prop, &bad)) {
		if (type == OFPGBP15_WEIGHT)
			b->weight = ofcur_u16(&prop);
		else if (type == OFPGBP15_WATCH_PORT)
			b->watch_port = ofcur_u32(&prop);
		else if (type == OFPGBP15_WATCH_GROUP)
			b->watch_group = ofcur_u32(&prop);
		else
			return OFPERR_BPC_BAD_TYPE;
		if (prop.short_read)
			return OFPERR_BPC_BAD_LEN;
	}
	return bad ? OFPERR_BPC_BAD_LEN : OFPERR_OK;
}

/* 1.5: length, length of actions, id, actions, properties. */
static enum ofp_err get_buckets15(struct ofcur c, uint8_t version, struct group_mod *g)
{
	while (ofcur_left(&c)) {
		struct group_bucket b = {.weight = g->type == OFPGT_SELECT,
					 .watch_port = OFP_PORT_ANY,
					 .watch_group = OFPG_ANY};
		if (ofcur_left(&c) < 8)
			return OFPERR_GMFC_BAD_BUCKET;
		size_t len = load_be16(c.p), actions_len = load_be16(c.p + 2);
		if (len < 8 || len % 8 || len > ofcur_left(&c) || actions_len > len - 8)
			return OFPERR_GMFC_BAD_BUCKET;
		struct ofcur one = ofcur_sub(&c, len);
		ofcur_skip(&one, 4);
		b.id = ofcur_u32(&one);
		if (b.id > OFPG15_BUCKET_MAX)
			return OFPERR_GMFC_BAD_BUCKET;
		VEC_FOR_EACH (o, &g->buckets)
			if (o->id == b.id)
				return OFPERR_GMFC_BAD_BUCKET;
		struct ofcur actions = ofcur_sub(&one, actions_len);
		enum ofp_err err = get_bucket_actions(actions.p, actions_len, version, &b);
		vec_push(&g->buckets, b);
		if (!err)
			err = get_bucket_props(one, &vec_last(&g->buckets));
		if (err)
			return err;
		if (g->buckets.len > BUCKETS_MAX)
			return OFPERR_GMFC_OUT_OF_BUCKETS;
	}
	return OFPERR_OK;
}

/* Netronome's property: method, parameter, fields with masks. */
static enum ofp_err get_selection(struct ofcur c, struct group_mod *g)
{
	ofcur_skip(&c, 4);
	const uint8_t *method = ofcur_bytes(&c, NTR_SELECTION_METHOD_BYTES);
	g->method_param = ofcur_u64(&c);
	if (c.short_read)
		return OFPERR_BPC_BAD_LEN;
	memcpy(g->method, method, NTR_SELECTION_METHOD_BYTES);
	if (g->method[NTR_SELECTION_METHOD_BYTES - 1] ||
	    (strcmp(g->method, "hash") && strcmp(g->method, "dp_hash")))
		return OFPERR_BPC_BAD_VALUE;
	if (g->command > OFPGC_MODIFY && g->command != OFPGC_ADD_OR_MOD)
		return OFPERR_BPC_BAD_VALUE;
	match_init(&g->fields);
	while (ofcur_left(&c)) {
		struct oxm_header h;
		if (!oxm_header_get(&c, &h) || ofcur_left(&c) < h.length)
			return OFPERR_BPC_BAD_LEN;
		if (!h.field)
			return OFPERR_BMC_BAD_FIELD;
		union field_value zero = {0}, mask = {0};
		const uint8_t *p = ofcur_bytes(&c, h.length);
		size_t n = h.masked ? h.length / 2u : h.length;
		if (n != h.field->n_bytes || (h.masked && h.length % 2))
			return OFPERR_BPC_BAD_LEN;
		/* the value is the mask of what is hashed */
		memcpy(mask.b, h.masked ? p + n : p, n);
		if (ofcur_is_zero(mask.b, n))
			field_full_mask(h.field, &mask);
		field_match(h.field, &g->fields, &zero, &mask);
		g->has_fields = true;
	}
	if (g->has_fields && strcmp(g->method, "hash"))
		return OFPERR_BPC_BAD_VALUE;
	return OFPERR_OK;
}

static enum ofp_err get_props(struct ofcur c, struct group_mod *g)
{
	struct ofcur prop;
	uint16_t type;
	bool bad;
	while (ofcur_tlv(&c, &type, &prop, &bad)) {
		if (type != OFP_PROP_EXPERIMENTER)
			return OFPERR_BPC_BAD_TYPE;
		uint32_t experimenter = ofcur_u32(&prop), exp_type = ofcur_u32(&prop);
		if (prop.short_read)
			return OFPERR_BPC_BAD_LEN;
		if (experimenter != NTR_EXPERIMENTER && experimenter != NTR_COMPAT)
			return OFPERR_BPC_BAD_EXPERIMENTER;
		if (exp_type != NTRT_SELECTION_METHOD)
			return OFPERR_BPC_BAD_EXP_TYPE;
		enum ofp_err err = get_selection(prop, g);
		if (err)
			return err;
	}
	return bad ? OFPERR_BPC_BAD_LEN : OFPERR_OK;
}

enum ofp_err group_mod_check(const struct group_mod *g)
{
	bool known = g->command <= OFPGC15_INSERT_BUCKET || g->command == OFPGC15_REMOVE_BUCKET ||
		     g->command == OFPGC_ADD_OR_MOD;
	if (!known)
		return OFPERR_GMFC_BAD_COMMAND;
	bool defines = g->command == OFPGC_ADD || g->command == OFPGC_MODIFY ||
		       g->command == OFPGC_ADD_OR_MOD;
	bool names_all = g->command == OFPGC_DELETE && g->group_id == OFPG_ALL;
	if (g->group_id > OFPG_MAX && !names_all)
		return OFPERR_GMFC_INVALID_GROUP;
	if (!defines)
		return OFPERR_OK;
	if (g->type > OFPGT_FF)
		return OFPERR_GMFC_BAD_TYPE;
	if (g->type == OFPGT_INDIRECT && g->buckets.len != 1)
		return OFPERR_GMFC_INVALID_GROUP;
	VEC_FOR_EACH (b, &g->buckets) {
		bool watches = b->watch_port != OFP_PORT_ANY || b->watch_group != OFPG_ANY;
		if (b->weight && g->type != OFPGT_SELECT)
			return OFPERR_GMFC_INVALID_GROUP;
		if (watches && (g->type == OFPGT_ALL || g->type == OFPGT_INDIRECT))
			return OFPERR_GMFC_WATCH_UNSUPPORTED;
		if (g->type == OFPGT_FF && !watches)
			return OFPERR_GMFC_INVALID_GROUP;
	}
	if (*g->method && g->type != OFPGT_SELECT)
		return OFPERR_BPC_BAD_VALUE;
	return OFPERR_OK;
}

static enum ofp_err get_mod(const struct ofmsg *m, bool layout15, struct group_mod *g)
{
	struct ofcur c = m->body;
	*g = (struct group_mod){.command_bucket = OFPG15_BUCKET_ALL};
	g->command = ofcur_u16(&c);
	g->type = ofcur_u8(&c);
	ofcur_skip(&c, 1);
	g->group_id = ofcur_u32(&c);
	if (!layout15) {
		enum ofp_err err = get_buckets11(c, m->version, g);
		if (!err && m->version >= OFP13 && g->command == OFPGC_DELETE && g->buckets.len)
			err = OFPERR_GMFC_INVALID_GROUP;
		return err ? err : group_mod_check(g);
	}
	uint16_t buckets_len = ofcur_u16(&c);
	ofcur_skip(&c, 2);
	g->command_bucket = ofcur_u32(&c);
	struct ofcur buckets = ofcur_sub(&c, buckets_len);
	if (buckets.short_read)
		return OFPERR_BRC_BAD_LEN;
	enum ofp_err err = get_buckets15(buckets, m->version, g);
	if (!err)
		err = get_props(c, g);
	if (!err)
		err = group_mod_check(g);
	/* only insertions and removals are about one bucket */
	bool names_bucket =
		g->command == OFPGC15_INSERT_BUCKET || g->command == OFPGC15_REMOVE_BUCKET;
	return !err && !names_bucket && g->command_bucket != OFPG15_BUCKET_ALL
		       ? OFPERR_GMFC_BAD_BUCKET
		       : err;
}

static uint8_t api_command(uint16_t command)
{
	switch (command) {
	case OFPGC_ADD:
		return API_MOD_ADD;
	case OFPGC_DELETE:
		return API_MOD_DELETE;
	case OFPGC15_INSERT_BUCKET:
		return API_MOD_INSERT_BUCKET;
	case OFPGC15_REMOVE_BUCKET:
		return API_MOD_REMOVE_BUCKET;
	case OFPGC_ADD_OR_MOD:
		return API_GROUP_ADD_OR_MODIFY;
	default:
		return API_MOD_MODIFY;
	}
}

void group_mod_to_op(const char *bridge, const struct group_mod *g, struct msg *out)
{
	size_t at = msg_op_begin(out, API_OP_GROUP_MOD);
	msg_put_str(out, ATTR_BRIDGE, bridge);
	msg_put_u8(out, ATTR_COMMAND, api_command(g->command));
	msg_put_u32(out, ATTR_GROUP_ID, g->group_id);
	msg_put_u8(out, ATTR_GROUP_TYPE, g->type);
	if (g->command == OFPGC15_INSERT_BUCKET || g->command == OFPGC15_REMOVE_BUCKET)
		msg_put_u32(out, ATTR_BUCKET_ID, g->command_bucket);
	if (*g->method) {
		msg_put_str(out, ATTR_SELECTION_METHOD, g->method);
		msg_put_u64(out, ATTR_SELECTION_PARAM, g->method_param);
		if (g->has_fields)
			api_put_match(out, ATTR_SELECTION_FIELDS, &g->fields);
	}
	VEC_FOR_EACH (b, &g->buckets) {
		size_t bucket = msg_nest_begin(out, ATTR_BUCKET);
		msg_put_u32(out, ATTR_BUCKET_ID, b->id);
		msg_put_u16(out, ATTR_WEIGHT, b->weight);
		msg_put_u32(out, ATTR_WATCH_PORT, b->watch_port);
		msg_put_u32(out, ATTR_WATCH_GROUP, b->watch_group);
		msg_put_bytes(out, ATTR_ACTIONS, b->actions.data, b->actions.len);
		msg_nest_end(out, bucket);
	}
	msg_nest_end(out, at);
}

static enum ofp_err group_mod_op(struct ofconn *c, const struct ofmsg *m, bool layout15,
				 struct msg *out)
{
	struct group_mod g;
	enum ofp_err err = get_mod(m, layout15, &g);
	if (!err)
		group_mod_to_op(c->sw->bridge, &g, out);
	group_mod_free(&g);
	return err;
}

enum ofp_err op_group_mod(struct ofconn *c, const struct ofmsg *m, struct msg *out)
{
	return group_mod_op(c, m, m->version >= OFP15, out);
}

enum ofp_err op_nx_group_mod(struct ofconn *c, const struct ofmsg *m, struct msg *out)
{
	return group_mod_op(c, m, true, out);
}

/* ---- statistics ---- */

struct group_dump {
	struct dump_request d;
	bool layout15;
};

static void put_stats(struct ofrequest *r, struct attrs a)
{
	struct ofbuf *b = &r->multi.b;
	size_t at = b->len;
	uint64_t ms = attrs_u64(a, ATTR_DURATION_MS, 0);
	ofbuf_zeros(b, 4);
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_GROUP_ID, 0));
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_REF_COUNT, 0));
	ofbuf_zeros(b, 4);
	ofbuf_u64(b, attrs_u64(a, ATTR_PKTS, 0));
	ofbuf_u64(b, attrs_u64(a, ATTR_BYTES_COUNT, 0));
	if (r->multi.version >= OFP13 || r->multi.kind == OFMSG_NXMP) {
		ofbuf_u32(b, (uint32_t)(ms / 1000));
		ofbuf_u32(b, (uint32_t)(ms % 1000 * 1000000));
	}
	ATTR_FOR_EACH (n, a)
		if (n->id == ATTR_BUCKET) {
			ofbuf_u64(b, attrs_u64(attr_nest(n), ATTR_PKTS, 0));
			ofbuf_u64(b, attrs_u64(attr_nest(n), ATTR_BYTES_COUNT, 0));
		}
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
	ofmulti_fit(&r->multi, at);
}

static void put_bucket11(struct ofbuf *b, uint8_t version, struct attrs a)
{
	size_t at = b->len, n;
	const void *actions = attrs_bytes(a, ATTR_ACTIONS, &n);
	ofbuf_u16(b, 0);
	ofbuf_u16(b, (uint16_t)attrs_u64(a, ATTR_WEIGHT, 0));
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_WATCH_PORT, OFP_PORT_ANY));
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_WATCH_GROUP, OFPG_ANY));
	ofbuf_zeros(b, 4);
	if (actions)
		ofp_actions_put(b, version, actions, n);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

static void put_prop32(struct ofbuf *b, uint16_t type, uint32_t value)
{
	ofbuf_u16(b, type);
	ofbuf_u16(b, 8);
	ofbuf_u32(b, value);
}

static void put_bucket15(struct ofbuf *b, uint8_t version, uint8_t group_type, struct attrs a)
{
	size_t at = b->len, n;
	const void *actions = attrs_bytes(a, ATTR_ACTIONS, &n);
	uint32_t port = (uint32_t)attrs_u64(a, ATTR_WATCH_PORT, OFP_PORT_ANY);
	uint32_t group = (uint32_t)attrs_u64(a, ATTR_WATCH_GROUP, OFPG_ANY);
	ofbuf_u32(b, 0);
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_BUCKET_ID, 0));
	size_t list = b->len;
	if (actions)
		ofp_actions_put(b, version, actions, n);
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - list));
	if (group_type == OFPGT_SELECT)
		put_prop32(b, OFPGBP15_WEIGHT, (uint32_t)attrs_u64(a, ATTR_WEIGHT, 1) << 16);
	if (port != OFP_PORT_ANY)
		put_prop32(b, OFPGBP15_WATCH_PORT, port);
	if (group != OFPG_ANY)
		put_prop32(b, OFPGBP15_WATCH_GROUP, group);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

/* The hashed fields: a header without mask, and the mask as its value. */
static void put_hash_fields(struct ofbuf *b, uint8_t version, struct attrs a)
{
	struct match m;
	if (!api_get_match(a, ATTR_SELECTION_FIELDS, &m))
		return;
	struct flow left = m.mask;
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];
		union field_value mask;
		static const union field_value zero;
		field_get(f, &left, &mask);
		if (f->overlay || ofcur_is_zero(mask.b, f->n_bytes))
			continue;
		oxm_field_put(b, f, version, &mask, NULL);
		field_set(f, &left, &zero);
	}
}

static void put_selection_prop(struct ofbuf *b, uint8_t version, struct attrs a)
{
	const char *method = attrs_str(a, ATTR_SELECTION_METHOD, "");
	if (!*method)
		return;
	size_t at = b->len;
	ofbuf_u16(b, OFP_PROP_EXPERIMENTER);
	ofbuf_u16(b, 0);
	ofbuf_u32(b, NTR_EXPERIMENTER);
	ofbuf_u32(b, NTRT_SELECTION_METHOD);
	ofbuf_zeros(b, 4);
	ofbuf_string(b, method, NTR_SELECTION_METHOD_BYTES);
	ofbuf_u64(b, attrs_u64(a, ATTR_SELECTION_PARAM, 0));
	put_hash_fields(b, version, a);
	ofbuf_set_u16(b, at + 2, (uint16_t)(b->len - at));
	ofbuf_pad(b, at, 8);
}

static void put_desc(struct ofrequest *r, struct attrs a)
{
	struct group_dump *d = SL_CONTAINER_OF(r, struct group_dump, d.r);
	struct ofbuf *b = &r->multi.b;
	size_t at = b->len;
	uint8_t type = (uint8_t)attrs_u64(a, ATTR_GROUP_TYPE, 0);
	ofbuf_u16(b, 0);
	ofbuf_u8(b, type);
	ofbuf_u8(b, 0);
	ofbuf_u32(b, (uint32_t)attrs_u64(a, ATTR_GROUP_ID, 0));
	size_t len_at = b->len;
	if (d->layout15)
		ofbuf_zeros(b, 8);
	size_t buckets = b->len;
	ATTR_FOR_EACH (n, a)
		if (n->id == ATTR_BUCKET && d->layout15)
			put_bucket15(b, r->multi.version, type, attr_nest(n));
		else if (n->id == ATTR_BUCKET)
			put_bucket11(b, r->multi.version, attr_nest(n));
	if (d->layout15) {
		ofbuf_set_u16(b, len_at, (uint16_t)(b->len - buckets));
		put_selection_prop(b, r->multi.version, a);
	}
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
	ofmulti_fit(&r->multi, at);
}

static enum ofp_err dump(struct ofconn *c, const struct ofmsg *m, uint32_t group_id,
			 dump_entry_fn entry)
{
	struct group_dump *d = xzalloc(sizeof *d);
	struct msg api;
	d->d.entry = entry;
	d->layout15 = m->version >= OFP15 || m->kind == OFMSG_NXMP;
	msg_init(&api, API_GROUPS, 0);
	msg_put_str(&api, ATTR_BRIDGE, c->sw->bridge);
	if (group_id != OFPG_ALL)
		msg_put_u32(&api, ATTR_GROUP_ID, group_id);
	return dump_start(&d->d, c, m, &api);
}

enum ofp_err handle_group_stats(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	return dump(c, m, ofcur_u32(&body), put_stats);
}

enum ofp_err handle_group_desc(struct ofconn *c, const struct ofmsg *m)
{
	struct ofcur body = m->body;
	bool one = m->version >= OFP15 || m->kind == OFMSG_NXMP;
	return dump(c, m, one ? ofcur_u32(&body) : OFPG_ALL, put_desc);
}

enum ofp_err handle_group_features(struct ofconn *c, const struct ofmsg *m)
{
	enum { TYPES = 1 << OFPGT_ALL | 1 << OFPGT_SELECT | 1 << OFPGT_INDIRECT | 1 << OFPGT_FF };
	/* standard actions that a bucket may hold: bit per number of 1.1+ (output, 11, 12, 15 to
	 * 25, and copy-field and meter of 1.5) */
	uint32_t actions = 1u << 0 | 1u << 11 | 1u << 12 | 0x1ffu << 15 | 1u << 24;
	if (m->version >= OFP12)
		actions |= 1u << 25;
	if (m->version >= OFP15)
		actions |= 1u << 28 | 1u << 29;
	if (m->version == OFP10)
		actions = 0xfff; /* all of 1.0 */
	if (m->version == OFP11)
		actions = 0x01ffe7ff; /* all of 1.1 but copying TTLs */
	struct ofmulti mp;
	ofmulti_init(&mp, m);
	ofbuf_u32(&mp.b, TYPES);
	ofbuf_u32(&mp.b, OFPGFC_SELECT_WEIGHT | OFPGFC_SELECT_LIVENESS | OFPGFC_CHAINING);
	for (int i = 0; i < 4; i++)
		ofbuf_u32(&mp.b, OFPG_MAX);
	for (int i = 0; i < 4; i++)
		ofbuf_u32(&mp.b, actions);
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	return OFPERR_OK;
}

/* ---- the same mod in another version's words ---- */

static bool has_words(uint8_t version, uint16_t command)
{
	return version >= OFP15 ||
	       (command != OFPGC15_INSERT_BUCKET && command != OFPGC15_REMOVE_BUCKET);
}

static void put_mod(struct ofbuf *b, uint8_t version, const struct group_mod *g, struct attrs op)
{
	bool layout15 = version >= OFP15;
	ofbuf_u16(b, g->command);
	ofbuf_u8(b, g->type);
	ofbuf_u8(b, 0);
	ofbuf_u32(b, g->group_id);
	size_t len_at = b->len;
	if (layout15) {
		ofbuf_u32(b, 0);
		ofbuf_u32(b, g->command_bucket);
	}
	size_t buckets = b->len;
	ATTR_FOR_EACH (a, op)
		if (a->id == ATTR_BUCKET && layout15)
			put_bucket15(b, version, g->type, attr_nest(a));
		else if (a->id == ATTR_BUCKET)
			put_bucket11(b, version, attr_nest(a));
	if (layout15) {
		ofbuf_set_u16(b, len_at, (uint16_t)(b->len - buckets));
		put_selection_prop(b, version, op);
	}
}

bool group_mod_translate(const struct ofmsg *m, uint8_t version, struct ofbuf *out)
{
	struct group_mod g;
	struct msg api;
	bool ok = !get_mod(m, m->version >= OFP15 || m->kind == OFMSG_NX, &g) &&
		  has_words(version, g.command);
	if (ok) {
		msg_init(&api, API_TRANSACTION, 0);
		size_t start = api.len, at = ofbuf_begin(out, version, OFPT11_GROUP_MOD, m->xid);
		group_mod_to_op("", &g, &api);
		put_mod(out, version, &g, attr_nest((const void *)(api.data + start)));
		ofbuf_end(out, at);
		msg_free(&api);
	}
	group_mod_free(&g);
	return ok;
}
