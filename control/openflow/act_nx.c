/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire forms of the smaller Nicira actions: conjunction, note, multipath, bundle, fin_timeout,
 * sample, check_pkt_larger, delete_field, exit. */
#include <string.h>

#include "control/openflow/action_codec_priv.h"

enum { SLAVE_TYPE_IN_PORT = 0x00000002, BUNDLE_PORTS_MAX = 2048 };
enum { NX_HASH_FIELDS_MAX = 6 }; /* symmetric_l3 */

enum ofp_err act_get_conjunction(struct act_decoding *d, struct ofcur *body)
{
	struct action_conjunction *a = action_buf_put(d->out, ACTION_CONJUNCTION, sizeof *a);
	a->clause = ofcur_u8(body);
	a->n_clauses = ofcur_u8(body);
	a->id = ofcur_u32(body);
	if (a->n_clauses < 2 || a->n_clauses > 64 || a->clause >= a->n_clauses)
		return OFPERR_NXBAC_BAD_CONJUNCTION;
	return OFPERR_OK;
}

void act_put_conjunction(struct act_encoding *e, const struct action *a)
{
	const struct action_conjunction *c = ACT_AS(action_conjunction, a);
	size_t at = act_begin(e, ACT_CONJUNCTION);
	ofbuf_u8(e->out, c->clause);
	ofbuf_u8(e->out, c->n_clauses);
	ofbuf_u32(e->out, c->id);
	act_end(e, at);
}

enum ofp_err act_get_note(struct act_decoding *d, struct ofcur *body)
{
	size_t n = ofcur_left(body);
	struct action_note *a = action_buf_put(d->out, ACTION_NOTE, sizeof *a + n);
	a->n_bytes = (uint32_t)n;
	if (n)
		memcpy(a->data, body->p, n);
	return OFPERR_OK;
}

void act_put_note(struct act_encoding *e, const struct action *a)
{
	const struct action_note *n = ACT_AS(action_note, a);
	size_t at = act_begin(e, ACT_NOTE);
	ofbuf_put(e->out, n->data, n->n_bytes);
	act_end(e, at);
}

enum ofp_err act_get_multipath(struct act_decoding *d, struct ofcur *body)
{
	struct action_multipath m = {0};
	m.fields = ofcur_u16(body);
	m.basis = ofcur_u16(body);
	ofcur_skip(body, 2);
	m.algorithm = ofcur_u16(body);
	m.max_link = ofcur_u16(body);
	m.arg = ofcur_u32(body);
	ofcur_skip(body, 2);
	uint16_t bits = ofcur_u16(body);
	enum ofp_err err = act_subfield_get(body, ofs_of(bits), n_bits_of(bits), &m.dst);
	if (err)
		return err;
	if (m.fields > NX_HASH_FIELDS_MAX || m.algorithm > 3)
		return OFPERR_BAC_BAD_ARGUMENT;
	if (m.dst.n_bits < 16 && (unsigned)m.max_link >> m.dst.n_bits)
		return OFPERR_BAC_BAD_ARGUMENT;
	if (!fields[m.dst.field].writable)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	struct action_multipath *a = action_buf_put(d->out, ACTION_MULTIPATH, sizeof *a);
	m.a = a->a;
	*a = m;
	return OFPERR_OK;
}

void act_put_multipath(struct act_encoding *e, const struct action *a)
{
	const struct action_multipath *m = ACT_AS(action_multipath, a);
	size_t at = act_begin(e, ACT_MULTIPATH);
	ofbuf_u16(e->out, m->fields);
	ofbuf_u16(e->out, m->basis);
	ofbuf_zeros(e->out, 2);
	ofbuf_u16(e->out, m->algorithm);
	ofbuf_u16(e->out, m->max_link);
	ofbuf_u32(e->out, m->arg);
	ofbuf_zeros(e->out, 2);
	ofbuf_u16(e->out, ofs_nbits(m->dst.ofs, m->dst.n_bits));
	act_field_put(e, m->dst.field);
	act_end(e, at);
}

static enum ofp_err bundle(struct act_decoding *d, struct ofcur *body, bool load)
{
	struct action_bundle b = {0};
	b.algorithm = ofcur_u16(body);
	b.fields = ofcur_u16(body);
	b.basis = ofcur_u16(body);
	uint32_t type = ofcur_u32(body);
	b.n_ports = ofcur_u16(body);
	uint16_t bits = ofcur_u16(body);
	if (load) {
		enum ofp_err err = act_subfield_get(body, ofs_of(bits), n_bits_of(bits), &b.dst);
		if (err)
			return err;
		if (b.dst.n_bits < 16)
			return OFPERR_BAC_BAD_ARGUMENT;
		if (!fields[b.dst.field].writable)
			return OFPERR_BAC_BAD_SET_ARGUMENT;
	} else if (ofcur_u32(body) || bits) {
		return OFPERR_BAC_BAD_ARGUMENT;
	}
	const uint8_t *zero = ofcur_bytes(body, 4);
	if (body->short_read || ofcur_left(body) < b.n_ports * 2u)
		return OFPERR_BAC_BAD_LEN;
	if (type != SLAVE_TYPE_IN_PORT || b.fields > NX_HASH_FIELDS_MAX || b.algorithm > 1 ||
	    !ofcur_is_zero(zero, 4) || b.n_ports > BUNDLE_PORTS_MAX)
		return OFPERR_BAC_BAD_ARGUMENT;
	struct action_bundle *a = action_buf_put(d->out, ACTION_BUNDLE, sizeof *a + b.n_ports * 4u);
	b.a = a->a;
	*a = b;
	for (unsigned i = 0; i < b.n_ports; i++)
		if (!ofp_port_from10(ofcur_u16(body), &a->ports[i]))
			return OFPERR_BAC_BAD_OUT_PORT;
	return OFPERR_OK;
}

enum ofp_err act_get_bundle(struct act_decoding *d, struct ofcur *body)
{
	return bundle(d, body, false);
}

enum ofp_err act_get_bundle_load(struct act_decoding *d, struct ofcur *body)
{
	return bundle(d, body, true);
}

void act_put_bundle(struct act_encoding *e, const struct action *a)
{
	const struct action_bundle *b = ACT_AS(action_bundle, a);
	bool load = b->dst.n_bits;
	size_t at = act_begin(e, load ? ACT_BUNDLE_LOAD : ACT_BUNDLE);
	ofbuf_u16(e->out, b->algorithm);
	ofbuf_u16(e->out, b->fields);
	ofbuf_u16(e->out, b->basis);
	ofbuf_u32(e->out, SLAVE_TYPE_IN_PORT);
	ofbuf_u16(e->out, b->n_ports);
	ofbuf_u16(e->out, load ? ofs_nbits(b->dst.ofs, b->dst.n_bits) : 0);
	if (load)
		act_field_put(e, b->dst.field);
	ofbuf_pad(e->out, at, 32);
	for (unsigned i = 0; i < b->n_ports; i++)
		ofbuf_u16(e->out, ofp_port_to10(b->ports[i]));
	act_end(e, at);
}

enum ofp_err act_get_fin_timeout(struct act_decoding *d, struct ofcur *body)
{
	struct action_fin_timeout *a = action_buf_put(d->out, ACTION_FIN_TIMEOUT, sizeof *a);
	a->idle_s = ofcur_u16(body);
	a->hard_s = ofcur_u16(body);
	return OFPERR_OK;
}

void act_put_fin_timeout(struct act_encoding *e, const struct action *a)
{
	const struct action_fin_timeout *f = ACT_AS(action_fin_timeout, a);
	size_t at = act_begin(e, ACT_FIN_TIMEOUT);
	ofbuf_u16(e->out, f->idle_s);
	ofbuf_u16(e->out, f->hard_s);
	act_end(e, at);
}

static enum ofp_err sample(struct act_decoding *d, struct ofcur *body, uint8_t form)
{
	struct action_sample *a = action_buf_put(d->out, ACTION_SAMPLE, sizeof *a);
	a->form = form;
	a->sampling_port = OFP_PORT_ANY;
	a->probability = ofcur_u16(body);
	a->collector_set = ofcur_u32(body);
	a->obs_domain = ofcur_u32(body);
	a->obs_point = ofcur_u32(body);
	if (form > 1) {
		bool ok = ofp_port_from10(ofcur_u16(body), &a->sampling_port);
		a->direction = ofcur_u8(body);
		if (!ok)
			return OFPERR_BAC_BAD_OUT_PORT;
		if (a->direction > 2 || (form == 2 && a->direction))
			return OFPERR_BAC_BAD_ARGUMENT;
	}
	return a->probability ? OFPERR_OK : OFPERR_BAC_BAD_ARGUMENT;
}

enum ofp_err act_get_sample(struct act_decoding *d, struct ofcur *body)
{
	return sample(d, body, 1);
}

enum ofp_err act_get_sample2(struct act_decoding *d, struct ofcur *body)
{
	return sample(d, body, 2);
}

enum ofp_err act_get_sample3(struct act_decoding *d, struct ofcur *body)
{
	return sample(d, body, 3);
}

void act_put_sample(struct act_encoding *e, const struct action *a)
{
	const struct action_sample *s = ACT_AS(action_sample, a);
	size_t at = act_begin(e, s->form >= 3   ? ACT_SAMPLE3
				 : s->form == 2 ? ACT_SAMPLE2
						: ACT_SAMPLE);
	ofbuf_u16(e->out, s->probability);
	ofbuf_u32(e->out, s->collector_set);
	ofbuf_u32(e->out, s->obs_domain);
	ofbuf_u32(e->out, s->obs_point);
	if (s->form > 1) {
		ofbuf_u16(e->out, ofp_port_to10(s->sampling_port));
		ofbuf_u8(e->out, s->direction);
	}
	act_end(e, at);
}

enum ofp_err act_get_check_pkt_larger(struct act_decoding *d, struct ofcur *body)
{
	struct subfield dst;
	uint16_t pkt_len = ofcur_u16(body), ofs = ofcur_u16(body);
	enum ofp_err err = act_subfield_get(body, ofs, 1, &dst);
	if (err)
		return err;
	if (!fields[dst.field].writable)
		return OFPERR_BAC_BAD_SET_ARGUMENT;
	struct action_check_pkt_larger *a =
		action_buf_put(d->out, ACTION_CHECK_PKT_LARGER, sizeof *a);
	a->pkt_len = pkt_len;
	a->dst = dst;
	return OFPERR_OK;
}

void act_put_check_pkt_larger(struct act_encoding *e, const struct action *a)
{
	const struct action_check_pkt_larger *c = ACT_AS(action_check_pkt_larger, a);
	size_t at = act_begin(e, ACT_CHECK_PKT_LARGER);
	ofbuf_u16(e->out, c->pkt_len);
	ofbuf_u16(e->out, c->dst.ofs);
	act_field_put(e, c->dst.field);
	ofbuf_pad(e->out, at, 24);
	act_end(e, at);
}

enum ofp_err act_get_delete_field(struct act_decoding *d, struct ofcur *body)
{
	const struct field_info *f = NULL;
	enum ofp_err err = act_field_get(body, &f);
	if (err)
		return err;
	if (f->id < FIELD_TUN_METADATA0 || f->id > FIELD_TUN_METADATA63)
		return OFPERR_BAC_BAD_SET_TYPE;
	struct action_delete_field *a = action_buf_put(d->out, ACTION_DELETE_FIELD, sizeof *a);
	a->field = (uint16_t)f->id;
	return OFPERR_OK;
}

void act_put_delete_field(struct act_encoding *e, const struct action *a)
{
	size_t at = act_begin(e, ACT_DELETE_FIELD);
	act_field_put(e, ACT_AS(action_delete_field, a)->field);
	ofbuf_pad(e->out, at, 24);
	act_end(e, at);
}

enum ofp_err act_get_exit(struct act_decoding *d, struct ofcur *body)
{
	(void)body;
	action_buf_put(d->out, ACTION_EXIT, sizeof(struct action));
	return OFPERR_OK;
}

void act_put_exit(struct act_encoding *e, const struct action *a)
{
	(void)a;
	act_end(e, act_begin(e, ACT_EXIT));
}
