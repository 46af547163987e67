/* SPDX-License-Identifier: BSD-3-Clause */
/* Action lists: the table of actions, the check of lists that came from outside, and building.
 * Stateless; any thread. The checks never trust a length that they have not compared first. */
#include "datapath/flow/action.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"

const struct action_info action_infos[ACTION_N] = {
#define ACTION(ID, NAME, STRUCT, FLAGS, ORDER, DOC)                                                \
	[ACTION_##ID] = {ACTION_##ID, NAME, sizeof(struct STRUCT), FLAGS, ORDER, DOC},
#include "datapath/flow/actions.def"
#undef ACTION
};

const uint8_t *action_nested(const struct action *a, size_t *len)
{
	size_t head;

	*len = 0;
	if (a->type >= ACTION_N || !(action_infos[a->type].flags & ACT_NESTS))
		return NULL;
	head = action_infos[a->type].min_len;
	*len = a->len - head;
	return (const uint8_t *)a + head;
}

static int bad(struct err *e, const struct action *a, const char *what)
{
	return err_set(e, EINVAL, "%s: %s", action_infos[a->type].name, what);
}

static int check_tail(const struct action *a, size_t need, struct err *e)
{
	if (a->len - (size_t)action_infos[a->type].min_len != need)
		return bad(e, a, "length does not fit its contents");
	return 0;
}

static int check_sf(const struct action *a, const struct subfield *sf, struct err *e)
{
	return subfield_is_valid(sf) ? 0 : bad(e, a, "bits outside the field");
}

static int check_set_field(const struct action *a, struct err *e)
{
	const struct action_set_field *s = (const void *)a;

	if (s->field >= FIELD_N || s->n_bytes != fields[s->field].n_bytes)
		return bad(e, a, "unknown field or wrong width");
	if (a->type == ACTION_LOAD) {
		struct subfield sf = {.field = s->field, .ofs = s->ofs, .n_bits = s->n_bits};

		if (!subfield_is_valid(&sf))
			return bad(e, a, "bits outside the field");
	}
	return check_tail(a, 2u * s->n_bytes, e);
}

static int check_set_addr(const struct action *a, struct err *e)
{
	const struct action_set_addr *s = (const void *)a;

	if (s->field >= FIELD_N || s->n_bytes != fields[s->field].n_bytes ||
	    s->n_bytes > sizeof s->value)
		return bad(e, a, "unknown field or wrong width");
	return 0;
}

static int check_learn(const struct action *a, struct err *e)
{
	const struct action_learn *l = (const void *)a;
	const uint8_t *p = l->specs, *end = (const uint8_t *)a + a->len;

	if ((l->result_dst.n_bits || (l->flags & LEARN_WRITE_RESULT)) &&
	    !subfield_is_valid(&l->result_dst))
		return bad(e, a, "result outside the field");
	while (p < end) {
		const struct learn_spec *s = (const void *)p;
		size_t left = (size_t)(end - p), value_bytes;

		if (left < sizeof *s || s->len < sizeof *s || s->len > left ||
		    ACTION_PADDED(s->len) > left)
			return bad(e, a, "truncated specification");
		value_bytes = s->src_is_value ? (s->n_bits + 7u) / 8u : 0;
		if (s->len != sizeof *s + value_bytes || value_bytes > FIELD_MAX_BYTES)
			return bad(e, a, "length of a specification does not fit its contents");
		if (!s->n_bits || s->dst_type > LEARN_DST_OUTPUT)
			return bad(e, a, "unknown kind of specification");
		if (!s->src_is_value && (!subfield_is_valid(&s->src) || s->src.n_bits != s->n_bits))
			return bad(e, a, "source bits outside the field");
		if (s->dst_type == LEARN_DST_OUTPUT
			    ? s->dst.field >= FIELD_N
			    : !subfield_is_valid(&s->dst) || s->dst.n_bits != s->n_bits)
			return bad(e, a, "destination bits outside the field");
		p += ACTION_PADDED(s->len);
	}
	return 0;
}

static int check_nat(const struct action *a, struct err *e)
{
	const struct action_nat *n = (const void *)a;

	if (n->family != 0 && n->family != 4 && n->family != 6)
		return bad(e, a, "unknown address family");
	if (n->port_max < n->port_min)
		return bad(e, a, "port range is empty");
	return 0;
}

static int check_list(const void *data, size_t len, unsigned depth, uint16_t need_flag,
		      struct err *e);

static int check_nested(const struct action *a, unsigned depth, uint16_t need_flag, struct err *e)
{
	size_t len;
	const uint8_t *list = action_nested(a, &len);

	if (depth + 1 > ACTION_MAX_DEPTH)
		return bad(e, a, "nested too deeply");
	return check_list(list, len, depth + 1, need_flag, e);
}

static int check_ct(const struct action *a, unsigned depth, struct err *e)
{
	const struct action_ct *c = (const void *)a;

	if (c->has_zone_src && (!subfield_is_valid(&c->zone_src) || c->zone_src.n_bits != 16))
		return bad(e, a, "zone is not 16 bits of a field");
	return check_nested(a, depth, ACT_IN_CT, e);
}

static int check_one(const struct action *a, unsigned depth, struct err *e)
{
	switch ((enum action_type)a->type) {
	case ACTION_OUTPUT_REG:
		return check_sf(a, &((const struct action_output_reg *)(const void *)a)->src, e);
	case ACTION_CONTROLLER:
		return check_tail(
			a, ((const struct action_controller *)(const void *)a)->userdata_len, e);
	case ACTION_SET_FIELD:
	case ACTION_LOAD:
	case ACTION_WRITE_METADATA:
		return check_set_field(a, e);
	case ACTION_SET_ADDR:
		return check_set_addr(a, e);
	case ACTION_MOVE: {
		const struct action_move *m = (const void *)a;

		if (m->src.n_bits != m->dst.n_bits)
			return bad(e, a, "source and destination differ in width");
		return check_sf(a, &m->src, e) ? -EINVAL : check_sf(a, &m->dst, e);
	}
	case ACTION_STACK_PUSH:
	case ACTION_STACK_POP:
		return check_sf(a, &((const struct action_stack *)(const void *)a)->sf, e);
	case ACTION_DEC_TTL:
		return check_tail(a, ((const struct action_dec_ttl *)(const void *)a)->n_ids * 2u,
				  e);
	case ACTION_LEARN:
		return check_learn(a, e);
	case ACTION_NOTE:
		return check_tail(a, ((const struct action_note *)(const void *)a)->n_bytes, e);
	case ACTION_CLONE:
		return check_nested(a, depth, 0, e);
	case ACTION_WRITE_ACTIONS:
		return check_nested(a, depth, ACT_IN_SET, e);
	case ACTION_CT:
		return check_ct(a, depth, e);
	case ACTION_NAT:
		return check_nat(a, e);
	case ACTION_MULTIPATH:
		return check_sf(a, &((const struct action_multipath *)(const void *)a)->dst, e);
	case ACTION_BUNDLE: {
		const struct action_bundle *b = (const void *)a;

		if (b->dst.n_bits && check_sf(a, &b->dst, e))
			return -EINVAL;
		return check_tail(a, b->n_ports * 4u, e);
	}
	case ACTION_CHECK_PKT_LARGER:
		return check_sf(a, &((const struct action_check_pkt_larger *)(const void *)a)->dst,
				e);
	case ACTION_DELETE_FIELD: {
		const struct action_delete_field *d = (const void *)a;

		return d->field < FIELD_N ? 0 : bad(e, a, "unknown field");
	}
	case ACTION_CONJUNCTION: {
		const struct action_conjunction *c = (const void *)a;

		if (c->n_clauses < 2 || c->n_clauses > 64 || c->clause >= c->n_clauses)
			return bad(e, a, "clause out of range");
		return 0;
	}
	case ACTION_OUTPUT:
	case ACTION_OUTPUT_TRUNC:
	case ACTION_GROUP:
	case ACTION_ENQUEUE:
	case ACTION_SET_QUEUE:
	case ACTION_POP_QUEUE:
	case ACTION_SET_TTL:
	case ACTION_SET_MPLS_TTL:
	case ACTION_DEC_MPLS_TTL:
	case ACTION_COPY_TTL_OUT:
	case ACTION_COPY_TTL_IN:
	case ACTION_PUSH_VLAN:
	case ACTION_POP_VLAN:
	case ACTION_STRIP_VLAN:
	case ACTION_SET_VLAN_VID:
	case ACTION_SET_VLAN_PCP:
	case ACTION_PUSH_MPLS:
	case ACTION_POP_MPLS:
	case ACTION_RESUBMIT:
	case ACTION_FIN_TIMEOUT:
	case ACTION_SAMPLE:
	case ACTION_EXIT:
	case ACTION_CT_CLEAR:
	case ACTION_METER:
	case ACTION_CLEAR_ACTIONS:
	case ACTION_GOTO_TABLE:
	case ACTION_N:
		break;
	}
	return check_tail(a, 0, e);
}

/* need_flag: ACT_IN_SET or ACT_IN_CT when the list is the inside of one of those, else 0. */
static int check_list(const void *data, size_t len, unsigned depth, uint16_t need_flag,
		      struct err *e)
{
	const uint8_t *p = data, *end = len ? p + len : p;

	if (len % 8 || (uintptr_t)p % 8)
		return err_set(e, EINVAL, "actions: list is not a multiple of 8 bytes");
	while (p < end) {
		const struct action *a = (const void *)p;
		size_t left = (size_t)(end - p);
		uint16_t flags;
		int rc;

		if (a->type >= ACTION_N)
			return err_set(e, EINVAL, "actions: unknown type %u", a->type);
		flags = action_infos[a->type].flags;
		if (a->len < action_infos[a->type].min_len || ACTION_PADDED(a->len) > left)
			return bad(e, a, "truncated");
		if (need_flag && !(flags & need_flag))
			return bad(e, a,
				   need_flag == ACT_IN_CT ? "not allowed inside ct()"
							  : "not allowed in an action set");
		if (!need_flag && a->type == ACTION_NAT)
			return bad(e, a, "only allowed inside ct()");
		if (depth && (flags & ACT_INSTRUCTION) && !(flags & ACT_IN_SET))
			return bad(e, a, "is an instruction: not allowed in a nested list");
		rc = check_one(a, depth, e);
		if (rc)
			return rc;
		p += ACTION_PADDED(a->len);
	}
	return 0;
}

int action_list_check(const void *data, size_t len, struct err *e)
{
	return check_list(data, len, 0, 0, e);
}

static uint8_t *reserve(struct action_buf *b, size_t n)
{
	uint8_t *p;

	if (b->len + n > b->cap) {
		b->cap = SL_MAX(b->len + n, SL_MAX(b->cap * 2, (size_t)128));
		b->data = xrealloc(b->data, b->cap);
	}
	p = b->data + b->len;
	memset(p, 0, n);
	b->len += n;
	return p;
}

void *action_buf_put(struct action_buf *b, enum action_type type, size_t struct_size)
{
	struct action *a = (void *)reserve(b, ACTION_PADDED(struct_size));

	a->type = (uint16_t)type;
	a->len = (uint16_t)struct_size;
	return a;
}

void *action_buf_grow_last(struct action_buf *b, size_t start, const void *tail, size_t n)
{
	struct action *a = (void *)(b->data + start);
	size_t old = a->len;

	if (old + n > ACTION_MAX_LEN)
		return NULL;
	reserve(b, ACTION_PADDED(old + n) - (b->len - start));
	if (n)
		memcpy(b->data + start + old, tail, n);
	a = (void *)(b->data + start);
	a->len = (uint16_t)(old + n);
	return a;
}

size_t action_buf_open(struct action_buf *b, enum action_type type, size_t struct_size)
{
	size_t start = b->len;

	action_buf_put(b, type, struct_size);
	return start;
}

bool action_buf_close(struct action_buf *b, size_t start)
{
	struct action *a = (void *)(b->data + start);

	if (b->len - start > ACTION_MAX_LEN)
		return false;
	a->len = (uint16_t)(b->len - start);
	return true;
}

void action_buf_free(struct action_buf *b)
{
	free(b->data);
	*b = (struct action_buf){0};
}

void action_put_output(struct action_buf *b, uint32_t port, uint16_t max_len)
{
	struct action_output *o = action_buf_put(b, ACTION_OUTPUT, sizeof *o);

	o->port = port;
	o->max_len = max_len;
}

void action_put_set_field(struct action_buf *b, enum action_type type, const struct field_info *f,
			  const union field_value *value, const union field_value *mask)
{
	struct action_set_field *s = action_buf_put(b, type, sizeof *s + 2u * f->n_bytes);
	union field_value all;

	s->field = (uint16_t)f->id;
	s->n_bytes = f->n_bytes;
	field_full_mask(f, &all);
	for (size_t i = 0; i < f->n_bytes; i++) {
		uint8_t m = mask ? (uint8_t)(mask->b[i] & all.b[i]) : all.b[i];

		s->data[i] = value->b[i] & m;
		s->data[f->n_bytes + i] = m;
	}
}

void action_put_load(struct action_buf *b, const struct subfield *sf, uint64_t value)
{
	const struct field_info *f = &fields[sf->field];
	struct action_set_field *s = action_buf_put(b, ACTION_LOAD, sizeof *s + 2u * f->n_bytes);
	uint8_t word[8], ones[8];

	store_be64(word, value);
	memset(ones, 0xff, sizeof ones);
	s->field = sf->field;
	s->n_bytes = f->n_bytes;
	s->ofs = sf->ofs;
	s->n_bits = sf->n_bits;
	bits_copy(word, 8, 0, s->data, f->n_bytes, sf->ofs, SL_MIN(sf->n_bits, 64));
	bits_copy(ones, 8, 0, s->data + f->n_bytes, f->n_bytes, sf->ofs, SL_MIN(sf->n_bits, 64));
}
