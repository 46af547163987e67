/* SPDX-License-Identifier: BSD-3-Clause */
/* Printing of action lists: one function per kind, in the words of ovs-ofctl. Works on lists that
 * have been checked. Stateless. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"

const char *const action_hash_fields[] = {
	"eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp",
	"nw_src",  "nw_dst",       "symmetric_l3",   NULL,
};
const char *const action_multipath_algs[] = {"modulo_n", "hash_threshold", "hrw", "iter_hash",
					     NULL};
const char *const action_bundle_algs[] = {"active_backup", "hrw", NULL};
const char *const action_controller_reasons[] = {
	"no_match",   "action",        "invalid_ttl",   "action_set", "group",
	"packet_out", "explicit_miss", "implicit_miss", NULL,
};

enum { DEFAULT_PRIORITY = 0x8000, MAX_LEN_ALL = 0xffff, REASON_ACTION = 1 };

struct printer {
	const struct text_ports *ports;
	struct str *out;
};

static void put_list(struct printer *p, const uint8_t *list, size_t len, const char *separator);

static const char *nth_name(const char *const *names, unsigned i)
{
	for (unsigned k = 0; names[k]; k++)
		if (k == i)
			return names[k];
	return "unknown";
}

static void put_port(struct printer *p, uint32_t port)
{
	text_port_format(p->ports, port, p->out);
}

static void put_output(struct printer *p, const struct action_output *o)
{
	if (o->port < OFP_PORT_MAX)
		str_puts(p->out, "output:");
	put_port(p, o->port);
	if (o->port == OFP_PORT_CONTROLLER)
		str_printf(p->out, ":%u", o->max_len);
}

static void put_controller(struct printer *p, const struct action_controller *c)
{
	struct str *out = p->out;

	if (c->reason == REASON_ACTION && !c->controller_id && !c->userdata_len && !c->pause &&
	    c->meter_id == UINT32_MAX) {
		str_printf(out, "CONTROLLER:%u", c->max_len);
		return;
	}
	str_puts(out, "controller(");
	if (c->reason != REASON_ACTION)
		str_printf(out, "reason=%s,", nth_name(action_controller_reasons, c->reason));
	if (c->max_len != MAX_LEN_ALL)
		str_printf(out, "max_len=%u,", c->max_len);
	if (c->controller_id)
		str_printf(out, "id=%u,", c->controller_id);
	if (c->userdata_len) {
		str_puts(out, "userdata=");
		for (unsigned i = 0; i < c->userdata_len; i++)
			str_printf(out, "%s%02x", i ? "." : "", c->userdata[i]);
		str_putc(out, ',');
	}
	if (c->pause)
		str_puts(out, "pause,");
	if (c->meter_id != UINT32_MAX)
		str_printf(out, "meter_id=%u,", c->meter_id);
	str_chomp(out, ',');
	str_putc(out, ')');
}

static void put_set_field(struct printer *p, const struct action_set_field *s)
{
	const struct field_info *f = &fields[s->field];
	union field_value v, mask;

	memcpy(v.b, s->data, f->n_bytes);
	memcpy(mask.b, s->data + f->n_bytes, f->n_bytes);
	str_puts(p->out, "set_field:");
	if (f->format == FMT_OF_PORT) {
		uint32_t port = f->n_bytes == 4 ? load_be32(v.b) : load_be16(v.b);

		put_port(p, f->n_bytes == 2 && port >= 0xff00 ? port | 0xffff0000u : port);
	} else {
		field_format_value(f, &v, &mask, p->out);
	}
	str_printf(p->out, "->%s", f->id == FIELD_IN_PORT16 ? "in_port" : f->name);
}

static void put_load(struct printer *p, const struct action_set_field *s)
{
	const struct field_info *f = &fields[s->field];
	struct subfield sf = {.field = s->field, .ofs = s->ofs, .n_bits = s->n_bits};
	uint8_t bits[FIELD_MAX_BYTES] = {0};

	bits_copy(s->data, f->n_bytes, s->ofs, bits, sizeof bits, 0, s->n_bits);
	str_puts(p->out, "load:");
	bits_format_hex(bits, sizeof bits, p->out);
	str_puts(p->out, "->");
	subfield_format(&sf, p->out);
}

static const char *mod_name(enum field_id field)
{
	static const struct {
		enum field_id field;
		const char *name;
	} names[] = {
		{FIELD_ETH_SRC, "mod_dl_src"}, {FIELD_ETH_DST, "mod_dl_dst"},
		{FIELD_IP_SRC, "mod_nw_src"},  {FIELD_IP_DST, "mod_nw_dst"},
		{FIELD_NW_TOS, "mod_nw_tos"},  {FIELD_IP_ECN, "mod_nw_ecn"},
		{FIELD_TCP_SRC, "mod_tp_src"}, {FIELD_TCP_DST, "mod_tp_dst"},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (names[i].field == field)
			return names[i].name;
	return "mod_field";
}

static void put_set_addr(struct printer *p, const struct action_set_addr *s)
{
	const struct field_info *f = &fields[s->field];
	union field_value v;

	memcpy(v.b, s->value, f->n_bytes);
	str_printf(p->out, "%s:", mod_name((enum field_id)s->field));
	field_format_value(f, &v, NULL, p->out);
}

static void put_resubmit(struct printer *p, const struct action_resubmit *r)
{
	struct str *out = p->out;

	if (r->in_port != OFP_PORT_IN_PORT && r->table == 255 && !r->with_ct) {
		str_puts(out, "resubmit:");
		put_port(p, r->in_port);
		return;
	}
	str_puts(out, "resubmit(");
	if (r->in_port != OFP_PORT_IN_PORT)
		put_port(p, r->in_port);
	str_putc(out, ',');
	if (r->table != 255)
		str_printf(out, "%u", r->table);
	if (r->with_ct)
		str_puts(out, ",ct");
	str_putc(out, ')');
}

static void put_dec_ttl(struct printer *p, const struct action_dec_ttl *d)
{
	str_puts(p->out, "dec_ttl");
	if (!d->explicit_ids)
		return;
	for (unsigned i = 0; i < d->n_ids; i++)
		str_printf(p->out, "%c%u", i ? ',' : '(', d->ids[i]);
	str_puts(p->out, d->n_ids ? ")" : "()");
}

static void put_learn_spec(struct printer *p, const struct learn_spec *s)
{
	const struct field_info *f = &fields[s->dst.field];
	bool whole = s->dst.ofs == 0 && s->dst.n_bits == f->n_bits;
	struct str *out = p->out;
	union field_value v = {0};

	str_putc(out, ',');
	if (s->dst_type == LEARN_DST_OUTPUT) {
		str_puts(out, "output:");
		subfield_format(&s->src, out);
		return;
	}
	if (s->dst_type == LEARN_DST_LOAD) {
		str_puts(out, "load:");
		if (s->src_is_value)
			bits_format_hex(s->value, (s->n_bits + 7u) / 8u, out);
		else
			subfield_format(&s->src, out);
		str_puts(out, "->");
		subfield_format(&s->dst, out);
		return;
	}
	if (!s->src_is_value) {
		subfield_format(&s->dst, out);
		if (memcmp(&s->src, &s->dst, sizeof s->src)) {
			str_putc(out, '=');
			subfield_format(&s->src, out);
		}
		return;
	}
	if (whole) {
		size_t n = (s->n_bits + 7u) / 8u;

		memcpy(v.b + f->n_bytes - n, s->value, n);
		str_printf(out, "%s=", f->name);
		if (f->format == FMT_OF_PORT && f->n_bytes == 4)
			put_port(p, load_be32(v.b));
		else
			field_format_value(f, &v, NULL, out);
	} else {
		subfield_format(&s->dst, out);
		str_putc(out, '=');
		bits_format_hex(s->value, (s->n_bits + 7u) / 8u, out);
	}
}

static void put_learn(struct printer *p, const struct action_learn *l)
{
	const uint8_t *spec = l->specs, *end = (const uint8_t *)l + l->a.len;
	struct str *out = p->out;

	str_printf(out, "learn(table=%u", l->table);
	if (l->idle_timeout_s)
		str_printf(out, ",idle_timeout=%u", l->idle_timeout_s);
	if (l->hard_timeout_s)
		str_printf(out, ",hard_timeout=%u", l->hard_timeout_s);
	if (l->fin_idle_s)
		str_printf(out, ",fin_idle_timeout=%u", l->fin_idle_s);
	if (l->fin_hard_s)
		str_printf(out, ",fin_hard_timeout=%u", l->fin_hard_s);
	if (l->priority != DEFAULT_PRIORITY)
		str_printf(out, ",priority=%u", l->priority);
	if (l->flags & LEARN_SEND_FLOW_REM)
		str_puts(out, ",send_flow_rem");
	if (l->flags & LEARN_DELETE_LEARNED)
		str_puts(out, ",delete_learned");
	if (l->cookie)
		str_printf(out, ",cookie=%#" PRIx64, be64_to_cpu(l->cookie));
	if (l->limit)
		str_printf(out, ",limit=%u", l->limit);
	if (l->flags & LEARN_WRITE_RESULT) {
		str_puts(out, ",result_dst=");
		subfield_format(&l->result_dst, out);
	}
	while (spec < end) {
		const struct learn_spec *s = (const void *)spec;

		put_learn_spec(p, s);
		spec += ACTION_PADDED(s->len);
	}
	str_putc(out, ')');
}

static void put_multipath(struct printer *p, const struct action_multipath *m)
{
	str_printf(p->out, "multipath(%s,%u,%s,%u,%u,", nth_name(action_hash_fields, m->fields),
		   m->basis, nth_name(action_multipath_algs, m->algorithm), m->max_link + 1u,
		   m->arg);
	subfield_format(&m->dst, p->out);
	str_putc(p->out, ')');
}

static void put_bundle(struct printer *p, const struct action_bundle *b)
{
	struct str *out = p->out;

	str_printf(out, "%s(%s,%u,%s,ofport,", b->dst.n_bits ? "bundle_load" : "bundle",
		   nth_name(action_hash_fields, b->fields), b->basis,
		   nth_name(action_bundle_algs, b->algorithm));
	if (b->dst.n_bits) {
		subfield_format(&b->dst, out);
		str_putc(out, ',');
	}
	str_puts(out, "members:");
	for (unsigned i = 0; i < b->n_ports; i++) {
		if (i)
			str_putc(out, ',');
		put_port(p, b->ports[i]);
	}
	str_putc(out, ')');
}

static void put_sample(struct printer *p, const struct action_sample *s)
{
	struct str *out = p->out;

	str_printf(out,
		   "sample(probability=%u,collector_set_id=%u,obs_domain_id=%u,obs_point_id=%u",
		   s->probability, s->collector_set, s->obs_domain, s->obs_point);
	if (s->sampling_port != OFP_PORT_ANY) {
		str_puts(out, ",sampling_port=");
		put_port(p, s->sampling_port);
	}
	if (s->direction)
		str_puts(out, s->direction == 1 ? ",ingress" : ",egress");
	str_putc(out, ')');
}

static void put_nat_address(struct str *out, const struct action_nat *n, const uint8_t *addr)
{
	char text[INET6_ADDRSTRLEN];

	str_puts(out, inet_ntop(n->family == 4 ? AF_INET : AF_INET6, addr, text, sizeof text));
}

static void put_nat(struct printer *p, const struct action_nat *n)
{
	static const uint8_t none[16];
	struct str *out = p->out;
	size_t bytes = n->family == 4 ? 4 : 16;

	str_puts(out, "nat");
	if (!(n->flags & (NAT_SRC | NAT_DST)))
		return;
	str_printf(out, "(%s", n->flags & NAT_SRC ? "src" : "dst");
	if (n->family) {
		bool brackets = n->family == 6 && n->port_min;

		str_puts(out, brackets ? "=[" : "=");
		put_nat_address(out, n, n->addr_min);
		if (memcmp(n->addr_max, none, bytes) && memcmp(n->addr_max, n->addr_min, bytes)) {
			str_putc(out, '-');
			put_nat_address(out, n, n->addr_max);
		}
		if (brackets)
			str_putc(out, ']');
		if (n->port_min) {
			str_printf(out, ":%u", n->port_min);
			if (n->port_max > n->port_min)
				str_printf(out, "-%u", n->port_max);
		}
	}
	if (n->flags & NAT_PERSISTENT)
		str_puts(out, ",persistent");
	if (n->flags & NAT_HASH)
		str_puts(out, ",hash");
	if (n->flags & NAT_RANDOM)
		str_puts(out, ",random");
	str_putc(out, ')');
}

static void put_ct(struct printer *p, const struct action_ct *c)
{
	struct str *out = p->out;
	size_t len;
	const uint8_t *list = action_nested(&c->a, &len);
	const struct action *first = len ? (const void *)list : NULL;

	str_puts(out, "ct(");
	if (c->commit)
		str_puts(out, "commit,");
	if (c->force)
		str_puts(out, "force,");
	if (c->recirc_table != 255)
		str_printf(out, "table=%u,", c->recirc_table);
	if (c->has_zone_src) {
		str_puts(out, "zone=");
		subfield_format(&c->zone_src, out);
		str_putc(out, ',');
	} else if (c->zone) {
		str_printf(out, "zone=%u,", c->zone);
	}
	if (first && first->type == ACTION_NAT) {
		put_nat(p, (const void *)first);
		str_putc(out, ',');
		list += ACTION_PADDED(first->len);
		len -= ACTION_PADDED(first->len);
	}
	if (len) {
		str_puts(out, "exec(");
		put_list(p, list, len, ",");
		str_puts(out, "),");
	}
	if (c->alg == 21)
		str_puts(out, "alg=ftp,");
	else if (c->alg == 69)
		str_puts(out, "alg=tftp,");
	else if (c->alg)
		str_printf(out, "alg=%u,", c->alg);
	str_chomp(out, ',');
	str_putc(out, ')');
}

static void put_note(struct printer *p, const struct action_note *n)
{
	str_puts(p->out, "note:");
	for (unsigned i = 0; i < n->n_bytes; i++)
		str_printf(p->out, "%s%02x", i ? "." : "", n->data[i]);
}

static void put_nested(struct printer *p, const struct action *a)
{
	size_t len;
	const uint8_t *list = action_nested(a, &len);

	str_printf(p->out, "%s(", action_infos[a->type].name);
	put_list(p, list, len, ",");
	str_putc(p->out, ')');
}

static void put_write_metadata(struct printer *p, const struct action_set_field *s)
{
	uint64_t value = load_be64(s->data), mask = load_be64(s->data + 8);

	str_printf(p->out, "write_metadata:%#" PRIx64, value);
	if (mask != UINT64_MAX)
		str_printf(p->out, "/%#" PRIx64, mask);
}

static void put_stack(struct printer *p, const struct action *a)
{
	str_printf(p->out, "%s:", action_infos[a->type].name);
	subfield_format(&((const struct action_stack *)(const void *)a)->sf, p->out);
}

static void put_fin_timeout(struct printer *p, const struct action_fin_timeout *f)
{
	str_puts(p->out, "fin_timeout(");
	if (f->idle_s)
		str_printf(p->out, "idle_timeout=%u,", f->idle_s);
	if (f->hard_s)
		str_printf(p->out, "hard_timeout=%u,", f->hard_s);
	str_chomp(p->out, ',');
	str_putc(p->out, ')');
}

static void put_one(struct printer *p, const struct action *a)
{
	const void *v = a;
	struct str *out = p->out;
	const char *name = action_infos[a->type].name;

	switch ((enum action_type)a->type) {
	case ACTION_OUTPUT:
		put_output(p, v);
		break;
	case ACTION_OUTPUT_REG:
		str_puts(out, "output:");
		subfield_format(&((const struct action_output_reg *)v)->src, out);
		break;
	case ACTION_OUTPUT_TRUNC: {
		const struct action_output_trunc *t = v;

		str_puts(out, "output(port=");
		put_port(p, t->port);
		str_printf(out, ",max_len=%u)", t->max_len);
		break;
	}
	case ACTION_GROUP:
		str_printf(out, "group:%u", ((const struct action_group *)v)->group_id);
		break;
	case ACTION_CONTROLLER:
		put_controller(p, v);
		break;
	case ACTION_ENQUEUE: {
		const struct action_enqueue *q = v;

		str_puts(out, "enqueue:");
		put_port(p, q->port);
		str_printf(out, ":%u", q->queue);
		break;
	}
	case ACTION_SET_QUEUE:
		str_printf(out, "set_queue:%u", ((const struct action_queue *)v)->queue);
		break;
	case ACTION_SET_FIELD:
		put_set_field(p, v);
		break;
	case ACTION_LOAD:
		put_load(p, v);
		break;
	case ACTION_SET_ADDR:
		put_set_addr(p, v);
		break;
	case ACTION_MOVE: {
		const struct action_move *m = v;

		str_puts(out, "move:");
		subfield_format(&m->src, out);
		str_puts(out, "->");
		subfield_format(&m->dst, out);
		break;
	}
	case ACTION_STACK_PUSH:
	case ACTION_STACK_POP:
		put_stack(p, a);
		break;
	case ACTION_DEC_TTL:
		put_dec_ttl(p, v);
		break;
	case ACTION_SET_TTL:
		str_printf(out, "mod_nw_ttl:%u", ((const struct action_ttl *)v)->ttl);
		break;
	case ACTION_SET_MPLS_TTL:
		str_printf(out, "set_mpls_ttl(%u)", ((const struct action_ttl *)v)->ttl);
		break;
	case ACTION_PUSH_VLAN:
	case ACTION_PUSH_MPLS:
	case ACTION_POP_MPLS:
		str_printf(out, "%s:0x%04x", name,
			   be16_to_cpu(((const struct action_push *)v)->ethertype));
		break;
	case ACTION_SET_VLAN_VID:
	case ACTION_SET_VLAN_PCP: {
		const struct action_vlan *t = v;

		str_printf(out, "%s_vlan_%s:%u", t->push_if_missing ? "mod" : "set",
			   a->type == ACTION_SET_VLAN_VID ? "vid" : "pcp", t->value);
		break;
	}
	case ACTION_RESUBMIT:
		put_resubmit(p, v);
		break;
	case ACTION_CONJUNCTION: {
		const struct action_conjunction *c = v;

		str_printf(out, "conjunction(%u,%u/%u)", c->id, c->clause + 1u, c->n_clauses);
		break;
	}
	case ACTION_LEARN:
		put_learn(p, v);
		break;
	case ACTION_NOTE:
		put_note(p, v);
		break;
	case ACTION_CLONE:
	case ACTION_WRITE_ACTIONS:
		put_nested(p, a);
		break;
	case ACTION_MULTIPATH:
		put_multipath(p, v);
		break;
	case ACTION_BUNDLE:
		put_bundle(p, v);
		break;
	case ACTION_FIN_TIMEOUT:
		put_fin_timeout(p, v);
		break;
	case ACTION_CHECK_PKT_LARGER: {
		const struct action_check_pkt_larger *c = v;

		str_printf(out, "check_pkt_larger(%u)->", c->pkt_len);
		subfield_format(&c->dst, out);
		break;
	}
	case ACTION_SAMPLE:
		put_sample(p, v);
		break;
	case ACTION_CT:
		put_ct(p, v);
		break;
	case ACTION_NAT:
		put_nat(p, v);
		break;
	case ACTION_DELETE_FIELD:
		str_printf(out, "delete_field:%s",
			   fields[((const struct action_delete_field *)v)->field].name);
		break;
	case ACTION_METER:
		str_printf(out, "meter:%u", ((const struct action_meter *)v)->meter_id);
		break;
	case ACTION_WRITE_METADATA:
		put_write_metadata(p, v);
		break;
	case ACTION_GOTO_TABLE:
		str_printf(out, "goto_table:%u", ((const struct action_goto *)v)->table);
		break;
	case ACTION_POP_QUEUE:
	case ACTION_DEC_MPLS_TTL:
	case ACTION_COPY_TTL_OUT:
	case ACTION_COPY_TTL_IN:
	case ACTION_POP_VLAN:
	case ACTION_STRIP_VLAN:
	case ACTION_EXIT:
	case ACTION_CT_CLEAR:
	case ACTION_CLEAR_ACTIONS:
		str_puts(out, name);
		break;
	case ACTION_N:
		break;
	}
}

static void put_list(struct printer *p, const uint8_t *list, size_t len, const char *separator)
{
	bool first = true;

	if (!len) {
		str_puts(p->out, "drop");
		return;
	}
	ACTION_FOR_EACH(a, list, len)
	{
		if (!first)
			str_puts(p->out, separator);
		put_one(p, a);
		first = false;
	}
}

void actions_format(const void *list, size_t len, const struct text_ports *ports, struct str *out)
{
	struct printer p = {ports, out};

	put_list(&p, list, len, ",");
}
