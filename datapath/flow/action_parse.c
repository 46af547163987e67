/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of action lists: the list itself, the table of names, actions with one plain argument.
 * The text comes from people and files; nesting and sizes are bounded. Stateless. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/flow/action_parse_priv.h"

static int need_text(struct parser *p, const struct arg *a)
{
	return a->text && *a->text ? 0 : parse_fail(p, a->key, "%s: needs an argument", a->key);
}

/* Cuts "left->right"; NULL when there is no arrow. */
static char *cut_arrow(char *text)
{
	char *arrow = strstr(text, "->");

	if (!arrow)
		return NULL;
	*arrow = '\0';
	return arrow + 2;
}

static int writable(struct parser *p, const char *at, const struct field_info *f)
{
	return f->writable ? 0 : parse_fail(p, at, "%s: is read-only", f->name);
}

static int parse_output(struct parser *p, struct arg *a)
{
	struct arg inner;
	uint64_t max_len = 0;
	uint32_t port = 0;
	bool has_port = false, has_len = false;
	char *pos;
	int rc;

	if (need_text(p, a))
		return -EINVAL;
	if (!a->parens && strchr(a->text, '[')) {
		struct action_output_reg *r;
		struct subfield sf;

		if (parse_subfield(p, a->text, &sf))
			return -EINVAL;
		r = action_buf_put(p->b, ACTION_OUTPUT_REG, sizeof *r);
		r->src = sf;
		r->max_len = UINT16_MAX;
		return 0;
	}
	if (!a->parens) {
		if (parse_port(p, a->text, &port))
			return -EINVAL;
		action_put_output(p->b, port, port == OFP_PORT_CONTROLLER ? UINT16_MAX : 0);
		return 0;
	}
	pos = a->text;
	while ((rc = arg_next(p, &pos, &inner)) > 0) {
		if (need_text(p, &inner))
			return -EINVAL;
		if (!strcmp(inner.key, "port")) {
			has_port = true;
			rc = parse_port(p, inner.text, &port);
		} else if (!strcmp(inner.key, "max_len")) {
			has_len = true;
			rc = parse_number(p, &inner, UINT32_MAX, &max_len);
		} else {
			rc = parse_fail(p, inner.key, "output: unknown key \"%s\"", inner.key);
		}
		if (rc)
			return rc;
	}
	if (rc < 0 || !has_port || !has_len)
		return parse_fail(p, a->key, "output: needs port and max_len");
	struct action_output_trunc *t = action_buf_put(p->b, ACTION_OUTPUT_TRUNC, sizeof *t);
	t->port = port;
	t->max_len = (uint32_t)max_len;
	return 0;
}

static int parse_group(struct parser *p, struct arg *a)
{
	struct action_group *g;
	uint64_t id;

	if (parse_number(p, a, UINT32_MAX, &id))
		return -EINVAL;
	g = action_buf_put(p->b, ACTION_GROUP, sizeof *g);
	g->group_id = (uint32_t)id;
	return 0;
}

static int parse_enqueue(struct parser *p, struct arg *a)
{
	struct action_enqueue *q;
	struct arg queue = {.key = a->key};
	uint64_t n;
	uint32_t port;

	if (need_text(p, a))
		return -EINVAL;
	queue.text = strpbrk(a->text, ":,");
	if (!queue.text)
		return parse_fail(p, a->text, "enqueue: needs a port and a queue");
	*queue.text++ = '\0';
	queue.text += strspn(queue.text, " ");
	if (parse_port(p, a->text, &port) || parse_number(p, &queue, UINT32_MAX, &n))
		return -EINVAL;
	q = action_buf_put(p->b, ACTION_ENQUEUE, sizeof *q);
	q->port = port;
	q->queue = (uint32_t)n;
	return 0;
}

static int parse_set_queue(struct parser *p, struct arg *a)
{
	struct action_queue *q;
	uint64_t n;

	if (parse_number(p, a, UINT32_MAX, &n))
		return -EINVAL;
	q = action_buf_put(p->b, ACTION_SET_QUEUE, sizeof *q);
	q->queue = (uint32_t)n;
	return 0;
}

static int parse_value(struct parser *p, const struct field_info *f, const char *text,
		       union field_value *v, union field_value *mask)
{
	struct err e = {0};
	uint32_t port;

	if (f->format == FMT_OF_PORT) {
		if (parse_port(p, text, &port))
			return -EINVAL;
		if (f->n_bytes == 2 && port > UINT16_MAX && port < OFP_PORT_MAX)
			return parse_fail(p, text, "%s: \"%s\" has more than 16 bits", f->name,
					  text);
		if (f->n_bytes == 2)
			store_be16(v->b, (uint16_t)port);
		else
			store_be32(v->b, port);
		field_full_mask(f, mask);
		return 0;
	}
	return field_parse_value(f, text, v, mask, &e) ? parse_fail(p, text, "%s", e.text) : 0;
}

static int parse_set_field(struct parser *p, struct arg *a)
{
	const struct field_info *f;
	union field_value v, mask;
	char *name;

	if (need_text(p, a))
		return -EINVAL;
	name = cut_arrow(a->text);
	f = name ? field_by_name(name, strlen(name)) : NULL;
	if (!name)
		return parse_fail(p, a->text, "set_field: is written VALUE->FIELD");
	if (!f)
		return parse_fail(p, name, "unknown field \"%s\"", name);
	if (f->id == FIELD_IN_PORT && !strcmp(name, "in_port_oxm"))
		return parse_fail(p, name, "%s: is read-only", name);
	if (f->id == FIELD_IN_PORT)
		f = &fields[FIELD_IN_PORT16]; /* the one that OpenFlow writes */
	if (writable(p, name, f) || parse_value(p, f, a->text, &v, &mask))
		return -EINVAL;
	action_put_set_field(p->b, ACTION_SET_FIELD, f, &v, &mask);
	return 0;
}

static int parse_load(struct parser *p, struct arg *a)
{
	struct subfield sf;
	uint64_t v;
	char *dst;

	if (need_text(p, a))
		return -EINVAL;
	dst = cut_arrow(a->text);
	if (!dst)
		return parse_fail(p, a->text, "load: is written VALUE->FIELD[BITS]");
	if (parse_subfield(p, dst, &sf) || writable(p, dst, &fields[sf.field]) ||
	    parse_number(p, a, UINT64_MAX, &v))
		return -EINVAL;
	if (sf.n_bits < 64 && v >> sf.n_bits)
		return parse_fail(p, a->text, "load: \"%s\" has more than %u bits", a->text,
				  sf.n_bits);
	action_put_load(p->b, &sf, v);
	return 0;
}

static int parse_move(struct parser *p, struct arg *a)
{
	struct action_move *m;
	struct subfield src, dst;
	char *to;

	if (need_text(p, a))
		return -EINVAL;
	to = cut_arrow(a->text);
	if (!to)
		return parse_fail(p, a->text, "move: is written FIELD[BITS]->FIELD[BITS]");
	if (parse_subfield(p, a->text, &src) || parse_subfield(p, to, &dst) ||
	    writable(p, to, &fields[dst.field]))
		return -EINVAL;
	if (src.n_bits != dst.n_bits)
		return parse_fail(p, to, "move: %u bits into %u", src.n_bits, dst.n_bits);
	m = action_buf_put(p->b, ACTION_MOVE, sizeof *m);
	m->src = src;
	m->dst = dst;
	return 0;
}

static int parse_stack(struct parser *p, struct arg *a)
{
	bool pop = !strcmp(a->key, "pop");
	struct action_stack *s;
	struct subfield sf;

	if (need_text(p, a) || parse_subfield(p, a->text, &sf) ||
	    (pop && writable(p, a->text, &fields[sf.field])))
		return -EINVAL;
	s = action_buf_put(p->b, pop ? ACTION_STACK_POP : ACTION_STACK_PUSH, sizeof *s);
	s->sf = sf;
	return 0;
}

static int put_set_addr(struct parser *p, struct arg *a, enum field_id id)
{
	const struct field_info *f = &fields[id];
	struct action_set_addr *s;
	union field_value v, mask;

	if (need_text(p, a) || parse_value(p, f, a->text, &v, &mask))
		return -EINVAL;
	if (strchr(a->text, '/'))
		return parse_fail(p, a->text, "%s: takes no mask", a->key);
	s = action_buf_put(p->b, ACTION_SET_ADDR, sizeof *s);
	s->field = (uint16_t)id;
	s->n_bytes = f->n_bytes;
	memcpy(s->value, v.b, f->n_bytes);
	return 0;
}

static int parse_mod(struct parser *p, struct arg *a)
{
	static const struct {
		const char *name;
		enum field_id id;
	} rows[] = {
		{"mod_dl_src", FIELD_ETH_SRC}, {"mod_dl_dst", FIELD_ETH_DST},
		{"mod_nw_src", FIELD_IP_SRC},  {"mod_nw_dst", FIELD_IP_DST},
		{"mod_nw_tos", FIELD_NW_TOS},  {"mod_nw_ecn", FIELD_IP_ECN},
		{"mod_tp_src", FIELD_TCP_SRC}, {"mod_tp_dst", FIELD_TCP_DST},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, a->key))
			return put_set_addr(p, a, rows[i].id);
	return parse_fail(p, a->key, "unknown action \"%s\"", a->key);
}

static int parse_vlan(struct parser *p, struct arg *a)
{
	bool vid = strstr(a->key, "vid");
	struct action_vlan *t;
	uint64_t n;

	if (parse_number(p, a, vid ? VLAN_VID_MASK : 7, &n))
		return -EINVAL;
	t = action_buf_put(p->b, vid ? ACTION_SET_VLAN_VID : ACTION_SET_VLAN_PCP, sizeof *t);
	t->value = (uint16_t)n;
	t->push_if_missing = a->key[0] == 'm';
	return 0;
}

static int parse_dec_ttl(struct parser *p, struct arg *a)
{
	size_t start = p->b->len;
	struct action_dec_ttl *d = action_buf_put(p->b, ACTION_DEC_TTL, sizeof *d);
	char *words[64];
	unsigned n;

	d->n_ids = a->parens ? 0 : 1; /* controller 0, as without a list */
	if (!a->parens) {
		uint16_t id = 0;

		action_buf_grow_last(p->b, start, &id, sizeof id);
		return 0;
	}
	d->explicit_ids = 1;
	n = split_words(a->text, words, SL_ARRAY_SIZE(words));
	for (unsigned i = 0; i < n; i++) {
		struct arg id = {.key = a->key, .text = words[i]};
		uint64_t v;
		uint16_t id16;

		if (parse_number(p, &id, UINT16_MAX, &v))
			return -EINVAL;
		id16 = (uint16_t)v;
		d = action_buf_grow_last(p->b, start, &id16, sizeof id16);
		d->n_ids++;
	}
	return 0;
}

static int put_ttl(struct parser *p, struct arg *a, enum action_type type)
{
	struct action_ttl *t;
	uint64_t n;

	if (parse_number(p, a, 255, &n))
		return -EINVAL;
	t = action_buf_put(p->b, type, sizeof *t);
	t->ttl = (uint8_t)n;
	return 0;
}

static int parse_nw_ttl(struct parser *p, struct arg *a)
{
	return put_ttl(p, a, ACTION_SET_TTL);
}

static int parse_mpls_ttl(struct parser *p, struct arg *a)
{
	return put_ttl(p, a, ACTION_SET_MPLS_TTL);
}

/* The 1.1 forms of a set_field. */
static int parse_mpls_field(struct parser *p, struct arg *a)
{
	const struct field_info *f =
		&fields[strcmp(a->key, "set_mpls_label") ? FIELD_MPLS_TC : FIELD_MPLS_LABEL];
	union field_value v, mask;

	if (need_text(p, a) || parse_value(p, f, a->text, &v, &mask))
		return -EINVAL;
	action_put_set_field(p->b, ACTION_SET_FIELD, f, &v, NULL);
	return 0;
}

static int parse_push(struct parser *p, struct arg *a)
{
	static const struct {
		const char *name;
		enum action_type type;
	} rows[] = {{"push_vlan", ACTION_PUSH_VLAN},
		    {"push_mpls", ACTION_PUSH_MPLS},
		    {"pop_mpls", ACTION_POP_MPLS}};
	struct action_push *push;
	uint64_t type;

	if (parse_number(p, a, UINT16_MAX, &type))
		return -EINVAL;
	if (!strcmp(a->key, "push_vlan") && type != 0x8100 && type != 0x88a8)
		return parse_fail(p, a->text, "push_vlan: 0x8100 or 0x88a8");
	if (!strcmp(a->key, "push_mpls") && type != 0x8847 && type != 0x8848)
		return parse_fail(p, a->text, "push_mpls: 0x8847 or 0x8848");
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, a->key)) {
			push = action_buf_put(p->b, rows[i].type, sizeof *push);
			push->ethertype = cpu_to_be16((uint16_t)type);
		}
	return 0;
}

static int parse_resubmit(struct parser *p, struct arg *a)
{
	struct action_resubmit *r;
	uint32_t port = OFP_PORT_IN_PORT;
	uint64_t table = 255;
	bool with_ct = false;

	if (need_text(p, a))
		return -EINVAL;
	if (a->parens) {
		char *comma = strchr(a->text, ','), *second = NULL, *third;

		if (comma) {
			*comma = '\0';
			second = comma + 1 + strspn(comma + 1, " ");
			third = strchr(second, ',');
			if (third) {
				*third++ = '\0';
				third += strspn(third, " ");
				if (strcmp(third, "ct"))
					return parse_fail(p, third, "resubmit: unknown \"%s\"",
							  third);
				with_ct = true;
			}
		}
		if (second && *second) {
			struct arg t = {.key = a->key, .text = second};

			if (parse_number(p, &t, 255, &table))
				return -EINVAL;
		}
	}
	if (*a->text && parse_port(p, a->text, &port))
		return -EINVAL;
	r = action_buf_put(p->b, ACTION_RESUBMIT, sizeof *r);
	r->in_port = port;
	r->table = (uint8_t)table;
	r->with_ct = with_ct;
	r->nxt_form = table == 255 && !with_ct && port != OFP_PORT_IN_PORT;
	return 0;
}

static int parse_conjunction(struct parser *p, struct arg *a)
{
	struct action_conjunction *c;
	char *words[2], *slash;
	uint64_t id, clause, n;

	if (need_text(p, a))
		return -EINVAL;
	if (split_words(a->text, words, 2) != 2 || !(slash = strchr(words[1], '/')))
		return parse_fail(p, a->text, "conjunction: is written (ID, K/N)");
	*slash = '\0';
	if (!parse_u64(words[0], 0, UINT32_MAX, &id))
		return parse_fail(p, words[0], "conjunction: bad id");
	if (!parse_u64(slash + 1, 10, 64, &n) || n < 2 || !parse_u64(words[1], 10, n, &clause) ||
	    !clause)
		return parse_fail(p, words[1],
				  "conjunction: K/N needs 1 <= K <= N and 2 <= N <= 64");
	c = action_buf_put(p->b, ACTION_CONJUNCTION, sizeof *c);
	c->id = (uint32_t)id;
	c->clause = (uint8_t)(clause - 1);
	c->n_clauses = (uint8_t)n;
	return 0;
}

/* Pairs of hexadecimal digits, dots between them or not. The wire form has whole 8-byte units, so
 * the text is filled up with zeros to what it will be read back as. */
static int parse_note(struct parser *p, struct arg *a)
{
	size_t start = p->b->len;
	struct action_note *n = action_buf_put(p->b, ACTION_NOTE, sizeof *n);
	const char *s = a->text ? a->text : "";
	uint8_t byte;

	while (*s) {
		if (*s == '.')
			s++;
		if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]))
			return parse_fail(p, s, "note: is written in pairs of hexadecimal digits");
		byte = (uint8_t)strtoul((char[]){s[0], s[1], '\0'}, NULL, 16);
		n = action_buf_grow_last(p->b, start, &byte, 1);
		if (!n)
			return parse_fail(p, s, "note: too long");
		n->n_bytes++;
		s += 2;
	}
	for (byte = 0; n->n_bytes % 8 != 6; n->n_bytes++)
		if (!(n = action_buf_grow_last(p->b, start, &byte, 1)))
			return parse_fail(p, a->key, "note: too long");
	return 0;
}

static int parse_nested_list(struct parser *p, struct arg *a, enum action_type type)
{
	size_t start;

	if (!a->parens)
		return parse_fail(p, a->key, "%s: needs a list in parentheses", a->key);
	start = action_buf_open(p->b, type, sizeof(struct action_nested));
	if (parse_actions(p, a->text))
		return -EINVAL;
	if (!action_buf_close(p->b, start))
		return parse_fail(p, a->key, "%s: too long", a->key);
	return 0;
}

static int parse_clone(struct parser *p, struct arg *a)
{
	return parse_nested_list(p, a, ACTION_CLONE);
}

static int parse_write_actions(struct parser *p, struct arg *a)
{
	return parse_nested_list(p, a, ACTION_WRITE_ACTIONS);
}

static int parse_check_pkt_larger(struct parser *p, struct arg *a)
{
	struct action_check_pkt_larger *c;
	struct subfield sf;
	uint64_t len;

	if (!a->parens || !a->rest || strncmp(a->rest, "->", 2))
		return parse_fail(p, a->key, "check_pkt_larger: is written (LEN)->FIELD[BIT]");
	if (parse_number(p, a, UINT16_MAX, &len) || parse_subfield(p, a->rest + 2, &sf) ||
	    writable(p, a->rest + 2, &fields[sf.field]))
		return -EINVAL;
	if (sf.n_bits != 1)
		return parse_fail(p, a->rest + 2, "check_pkt_larger: needs one bit");
	c = action_buf_put(p->b, ACTION_CHECK_PKT_LARGER, sizeof *c);
	c->pkt_len = (uint16_t)len;
	c->dst = sf;
	return 0;
}

static int parse_delete_field(struct parser *p, struct arg *a)
{
	const struct field_info *f;
	struct action_delete_field *d;

	if (need_text(p, a))
		return -EINVAL;
	f = field_by_name(a->text, strlen(a->text));
	if (!f || f->id < FIELD_TUN_METADATA0 || f->id > FIELD_TUN_METADATA63)
		return parse_fail(p, a->text, "delete_field: only tun_metadata fields can go");
	d = action_buf_put(p->b, ACTION_DELETE_FIELD, sizeof *d);
	d->field = (uint16_t)f->id;
	return 0;
}

static int parse_meter(struct parser *p, struct arg *a)
{
	struct action_meter *m;
	uint64_t id;

	if (parse_number(p, a, UINT32_MAX, &id))
		return -EINVAL;
	m = action_buf_put(p->b, ACTION_METER, sizeof *m);
	m->meter_id = (uint32_t)id;
	m->as_instruction = 1;
	return 0;
}

static int parse_write_metadata(struct parser *p, struct arg *a)
{
	union field_value v, mask;

	if (need_text(p, a) || parse_value(p, &fields[FIELD_METADATA], a->text, &v, &mask))
		return -EINVAL;
	action_put_set_field(p->b, ACTION_WRITE_METADATA, &fields[FIELD_METADATA], &v, &mask);
	return 0;
}

static int parse_goto_table(struct parser *p, struct arg *a)
{
	struct action_goto *g;
	uint64_t table;

	if (parse_number(p, a, 254, &table))
		return -EINVAL;
	g = action_buf_put(p->b, ACTION_GOTO_TABLE, sizeof *g);
	g->table = (uint8_t)table;
	return 0;
}

static const struct {
	const char *name;
	parse_action_fn *parse;
} parsers[] = {
	{"output", parse_output},
	{"group", parse_group},
	{"controller", parse_controller},
	{"enqueue", parse_enqueue},
	{"set_queue", parse_set_queue},
	{"set_field", parse_set_field},
	{"load", parse_load},
	{"move", parse_move},
	{"push", parse_stack},
	{"pop", parse_stack},
	{"mod_dl_src", parse_mod},
	{"mod_dl_dst", parse_mod},
	{"mod_nw_src", parse_mod},
	{"mod_nw_dst", parse_mod},
	{"mod_nw_tos", parse_mod},
	{"mod_nw_ecn", parse_mod},
	{"mod_tp_src", parse_mod},
	{"mod_tp_dst", parse_mod},
	{"mod_vlan_vid", parse_vlan},
	{"mod_vlan_pcp", parse_vlan},
	{"set_vlan_vid", parse_vlan},
	{"set_vlan_pcp", parse_vlan},
	{"mod_nw_ttl", parse_nw_ttl},
	{"dec_ttl", parse_dec_ttl},
	{"set_mpls_ttl", parse_mpls_ttl},
	{"set_mpls_label", parse_mpls_field},
	{"set_mpls_tc", parse_mpls_field},
	{"push_vlan", parse_push},
	{"push_mpls", parse_push},
	{"pop_mpls", parse_push},
	{"resubmit", parse_resubmit},
	{"conjunction", parse_conjunction},
	{"learn", parse_learn},
	{"note", parse_note},
	{"clone", parse_clone},
	{"multipath", parse_multipath},
	{"bundle", parse_bundle},
	{"bundle_load", parse_bundle_load},
	{"fin_timeout", parse_fin_timeout},
	{"check_pkt_larger", parse_check_pkt_larger},
	{"sample", parse_sample},
	{"ct", parse_ct},
	{"nat", parse_nat},
	{"delete_field", parse_delete_field},
	{"meter", parse_meter},
	{"write_actions", parse_write_actions},
	{"write_metadata", parse_write_metadata},
	{"goto_table", parse_goto_table},
};

/* Actions that are their name. */
static bool is_bare(enum action_type type)
{
	return action_infos[type].min_len == sizeof(struct action) &&
	       !(action_infos[type].flags & ACT_NESTS) && type != ACTION_COPY_TTL_OUT &&
	       type != ACTION_COPY_TTL_IN; /* refused: nobody can do them */
}

static bool parse_bare(struct parser *p, const struct arg *a)
{
	for (unsigned t = 0; t < ACTION_N; t++)
		if (is_bare((enum action_type)t) && !strcmp(a->key, action_infos[t].name)) {
			action_buf_put(p->b, (enum action_type)t, sizeof(struct action));
			return true;
		}
	return false;
}

const char *action_text_name(size_t i)
{
	if (i < SL_ARRAY_SIZE(parsers))
		return parsers[i].name;
	i -= SL_ARRAY_SIZE(parsers);
	for (unsigned t = 0; t < ACTION_N; t++)
		if (is_bare((enum action_type)t) && i-- == 0)
			return action_infos[t].name;
	return NULL;
}

static int parse_one(struct parser *p, struct arg *a)
{
	uint32_t port;

	for (size_t i = 0; i < SL_ARRAY_SIZE(parsers); i++)
		if (!strcasecmp(a->key, parsers[i].name)) {
			if (a->rest && strcmp(a->key, "check_pkt_larger"))
				return parse_fail(p, a->rest, "%s: \"%s\" is too much", a->key,
						  a->rest);
			return parsers[i].parse(p, a);
		}
	if (a->text)
		return parse_fail(p, a->key, "unknown action \"%s\"", a->key);
	if (parse_bare(p, a))
		return 0;
	if (!text_port_parse(p->ports, a->key, &port))
		return parse_fail(p, a->key, "unknown action \"%s\"", a->key);
	action_put_output(p->b, port, port == OFP_PORT_CONTROLLER ? UINT16_MAX : 0);
	return 0;
}

int parse_actions(struct parser *p, char *text)
{
	struct arg a;
	unsigned n = 0;
	const char *drop = NULL;
	int rc;

	if (++p->depth > ACTION_MAX_DEPTH)
		return parse_fail(p, text, "nested too deeply");
	while ((rc = arg_next(p, &text, &a)) > 0) {
		if (drop || (n && !strcmp(a.key, "drop")))
			return parse_fail(p, drop ? drop : a.key, "drop goes with no other action");
		if (!strcmp(a.key, "drop") && !a.text)
			drop = a.key;
		else
			rc = parse_one(p, &a);
		if (rc < 0)
			return rc;
		n++;
	}
	p->depth--;
	return rc;
}

int actions_parse(const char *text, const struct text_ports *ports, struct action_buf *out,
		  struct err *e)
{
	char *copy = xstrdup(text);
	struct parser p = {.base = copy, .ports = ports, .b = out, .e = e};
	size_t start = out->len;
	int rc = parse_actions(&p, copy);

	if (!rc && out->len > start)
		rc = action_list_check(out->data + start, out->len - start, e);
	if (rc)
		out->len = start;
	free(copy);
	return rc;
}
