/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs as text, in the words that Open vSwitch uses for datapath actions. Ops that it has no
 * word for have their own. */
#include <arpa/inet.h>
#include <string.h>

#include "datapath/base/str.h"
#include "datapath/flow/action.h"
#include "datapath/flow/field.h"
#include "datapath/flow/program.h"

struct text {
	struct str *out;
	uint8_t ip_proto;
};

static void format_words(const struct text *t, const union prog_word *w, uint32_t n);

/* ---- set ---- */

enum set_format { SET_MAC, SET_IP4, SET_IP6, SET_DEC, SET_HEX, SET_TCI, SET_WORD6 };
/* What bytes of a header are called. One set may cover several neighbours. */
static const struct {
	uint8_t anchor, ofs, n_bytes, ip_version; /* 0: any */
	const char *header, *part;                /* header "": the L4 protocol's */
	enum set_format format;
} places[] = {
	{HDR_ETH, 6, 6, 0, "eth", "src", SET_MAC},
	{HDR_ETH, 0, 6, 0, "eth", "dst", SET_MAC},
	{HDR_VLAN, 0, 2, 0, "vlan", NULL, SET_TCI},
	{HDR_VLAN2, 0, 2, 0, "vlan", NULL, SET_TCI},
	{HDR_L3, 12, 4, 4, "ipv4", "src", SET_IP4},
	{HDR_L3, 16, 4, 4, "ipv4", "dst", SET_IP4},
	{HDR_L3, 1, 1, 4, "ipv4", "tos", SET_HEX},
	{HDR_L3, 8, 1, 4, "ipv4", "ttl", SET_DEC},
	{HDR_L3, 8, 16, 6, "ipv6", "src", SET_IP6},
	{HDR_L3, 24, 16, 6, "ipv6", "dst", SET_IP6},
	{HDR_L3, 7, 1, 6, "ipv6", "hlimit", SET_DEC},
	{HDR_L3, 0, 4, 6, "ipv6", NULL, SET_WORD6},
	{HDR_L4, 0, 2, 0, "", "src", SET_DEC},
	{HDR_L4, 2, 2, 0, "", "dst", SET_DEC},
	{HDR_L4, 0, 1, 0, "icmp", "type", SET_DEC},
	{HDR_L4, 1, 1, 0, "icmp", "code", SET_DEC},
	{HDR_ARP, 7, 1, 0, "arp", "op", SET_DEC},
	{HDR_ARP, 8, 6, 0, "arp", "sha", SET_MAC},
	{HDR_ARP, 14, 4, 0, "arp", "sip", SET_IP4},
	{HDR_ARP, 18, 6, 0, "arp", "tha", SET_MAC},
	{HDR_ARP, 24, 4, 0, "arp", "tip", SET_IP4},
	{HDR_ND, 8, 16, 0, "nd", "target", SET_IP6},
	{HDR_ND, 4, 4, 0, "nd_ext", "reserved", SET_HEX},
	{HDR_ND, 24, 1, 0, "nd_ext", "type", SET_DEC},
	{HDR_ND_SLL, 2, 6, 0, "nd", "sll", SET_MAC},
	{HDR_ND_TLL, 2, 6, 0, "nd", "tll", SET_MAC},
};

static uint32_t number(const uint8_t *b, unsigned n)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < n && i < 4; i++)
		v = v << 8 | b[i];
	return v;
}

static void format_bytes(enum set_format format, const uint8_t *b, unsigned n, struct str *out)
{
	char addr[INET6_ADDRSTRLEN];

	switch (format) {
	case SET_MAC:
		str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
			   b[5]);
		break;
	case SET_IP4:
	case SET_IP6:
		str_puts(out,
			 inet_ntop(format == SET_IP4 ? AF_INET : AF_INET6, b, addr, sizeof addr));
		break;
	case SET_DEC:
		str_printf(out, "%u", number(b, n));
		break;
	case SET_HEX:
	case SET_TCI:
	case SET_WORD6:
		str_printf(out, "%#x", number(b, n));
		break;
	}
}

static const char *l4_name(uint8_t ip_proto)
{
	return ip_proto == 6 ? "tcp" : ip_proto == 17 ? "udp" : ip_proto == 132 ? "sctp" : "l4";
}

static void format_tci(uint32_t tci, uint32_t mask, struct str *out)
{
	if (mask & VLAN_VID_MASK)
		str_printf(out, "vid=%u", tci & VLAN_VID_MASK);
	if (mask & VLAN_PCP_MASK)
		str_printf(out, "%spcp=%u", mask & VLAN_VID_MASK ? "," : "", tci >> VLAN_PCP_SHIFT);
}

/* Traffic class and label in the first word of an IPv6 header. */
static void format_word6(uint32_t v, uint32_t mask, struct str *out)
{
	if (mask & 0xff00000) {
		str_printf(out, "tclass=%#x", v >> 20 & 0xff);
		if ((mask & 0xff00000) != 0xff00000)
			str_printf(out, "/%#x", mask >> 20 & 0xff);
	}
	if (mask & 0xfffff)
		str_printf(out, "%slabel=%#x", mask & 0xff00000 ? "," : "", v & 0xfffff);
}

static void format_part(size_t i, const uint8_t *value, const uint8_t *mask, struct str *out)
{
	static const uint8_t full[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	enum set_format format = places[i].format;
	unsigned n = places[i].n_bytes;

	if (format == SET_TCI) {
		format_tci(number(value, 2), number(mask, 2), out);
		return;
	}
	if (format == SET_WORD6) {
		format_word6(number(value, 4), number(mask, 4), out);
		return;
	}
	str_printf(out, "%s=", places[i].part);
	format_bytes(format, value, n, out);
	if (memcmp(mask, full, n)) {
		str_putc(out, '/');
		format_bytes(format == SET_DEC ? SET_HEX : format, mask, n, out);
	}
}

/* Is place i written by the set? IP versions differ in the checksums that follow. */
static bool is_set(const struct text *t, const struct prog_set *s, size_t i)
{
	unsigned from = (unsigned)places[i].ofs - s->ofs, version = 6;
	bool icmp = t->ip_proto == 1 || t->ip_proto == 58;

	if (places[i].anchor != s->anchor || places[i].ofs < s->ofs ||
	    places[i].ofs + places[i].n_bytes > s->ofs + s->n_bytes)
		return false;
	if (s->csum == CSUM_IP || s->csum == CSUM_PSEUDO)
		version = 4;
	if (places[i].ip_version && places[i].ip_version != version)
		return false;
	if (s->anchor == HDR_L4 && icmp != !strcmp(places[i].header, "icmp"))
		return false;
	for (unsigned k = 0; k < places[i].n_bytes; k++)
		if (s->mask[from + k])
			return true;
	return false;
}

static void format_set(const struct text *t, const struct prog_set *s)
{
	const char *header = NULL;

	for (size_t i = 0; i < SL_ARRAY_SIZE(places); i++) {
		if (!is_set(t, s, i))
			continue;
		const char *of = places[i].header;
		if (header)
			str_putc(t->out, ',');
		else
			str_printf(t->out, "set(%s(", *of ? of : l4_name(t->ip_proto));
		header = of;
		format_part(i, s->value + (places[i].ofs - s->ofs),
			    s->mask + (places[i].ofs - s->ofs), t->out);
	}
	str_puts(t->out, header ? "))" : "set()");
}

/* ---- the rest ---- */

static void format_push_vlan(const struct prog_op *op, struct str *out)
{
	uint16_t tci = be16_to_cpu((be16_t)op->b), tpid = be16_to_cpu(op->a);

	str_puts(out, "push_vlan(");
	if (tpid != 0x8100)
		str_printf(out, "tpid=0x%04x,", tpid);
	str_printf(out, "vid=%u,pcp=%u)", tci & VLAN_VID_MASK, tci >> VLAN_PCP_SHIFT);
}

static void format_mpls(const char *name, uint32_t lse_bits, uint16_t type, struct str *out)
{
	uint32_t lse = be32_to_cpu(lse_bits);

	str_printf(out, "%s(label=%u,tc=%u,ttl=%u,bos=%u", name, lse >> 12, lse >> 9 & 7,
		   lse & 0xff, lse >> 8 & 1);
	if (type)
		str_printf(out, ",eth_type=0x%04x", be16_to_cpu(type));
	str_putc(out, ')');
}

static void format_ct(const struct prog_op *op, const struct prog_ct *c, struct str *out)
{
	str_printf(out, "ct(%szone=%u",
		   op->a & PROG_CT_FORCE    ? "force_commit,"
		   : op->a & PROG_CT_COMMIT ? "commit,"
					    : "",
		   c->zone);
	if (op->a & PROG_CT_MARK)
		str_printf(out, ",mark=%#x/%#x", c->mark, c->mark_mask);
	if (op->a & PROG_CT_LABEL) {
		str_puts(out, ",label=");
		bits_format_hex(c->label, sizeof c->label, out);
		str_putc(out, '/');
		bits_format_hex(c->label_mask, sizeof c->label_mask, out);
	}
	str_puts(out, op->a & PROG_CT_NAT ? ",nat)" : ")");
}

static void format_controller(const struct prog_op *op, const struct prog_controller *c,
			      struct str *out)
{
	str_printf(out,
		   "userspace(controller(reason=%u,table=%u,cookie=%#llx,controller_id=%u,"
		   "max_len=%u%s))",
		   op->a, c->table, (unsigned long long)c->cookie, op->b, c->max_len,
		   c->pause ? ",pause" : "");
}

static void format_select(const struct text *t, const struct prog_op *op, const union prog_word *w)
{
	const struct prog_select *s = (const struct prog_select *)(w + 1);
	uint32_t at = (uint32_t)(sizeof *s / sizeof *w);

	str_puts(t->out, "select(");
	for (unsigned i = 0; i < op->a && at < op->b; i++) {
		const struct prog_bucket *b = (const struct prog_bucket *)(w + 1 + at);
		uint32_t head = (uint32_t)(sizeof *b / sizeof *w), n = b->n_words;

		str_printf(t->out, "%sbucket(", i ? "," : "");
		format_words(t, &w[1 + at + head], SL_MIN(n, op->b - at - head));
		str_putc(t->out, ')');
		at += head + n;
	}
	str_putc(t->out, ')');
}

/* How many words after `w` belong to it and are not to be told again. */
static uint32_t format_op(const struct text *t, const union prog_word *w, uint32_t left)
{
	const struct prog_op *op = &w->op;
	struct str *out = t->out;

	switch ((enum prog_op_code)op->code) {
	case OP_OUTPUT:
		str_printf(out, "%u", op->b);
		break;
	case OP_DROP:
		str_puts(out, "drop");
		break;
	case OP_SET:
		format_set(t, (const struct prog_set *)(w + 1));
		break;
	case OP_PUSH_VLAN:
		format_push_vlan(op, out);
		break;
	case OP_POP_VLAN:
		str_puts(out, "pop_vlan");
		break;
	case OP_DEC_TTL:
		str_puts(out, "dec_ttl");
		break;
	case OP_PUSH_MPLS:
		format_mpls("push_mpls", op->b, op->a, out);
		break;
	case OP_POP_MPLS:
		str_printf(out, "pop_mpls(eth_type=0x%04x)", be16_to_cpu(op->a));
		break;
	case OP_SET_MPLS:
		str_puts(out, "set(");
		format_mpls("mpls", op->b, 0, out);
		str_putc(out, ')');
		break;
	case OP_TRUNC:
		str_printf(out, "trunc(%u)", op->b);
		break;
	case OP_COPY_BEGIN: {
		uint32_t n = SL_MIN(op->b, left);

		str_puts(out, "clone(");
		format_words(t, w + 1, n);
		str_putc(out, ')');
		return n;
	}
	case OP_COPY_END:
		break;
	case OP_CONTROLLER:
		format_controller(op, (const struct prog_controller *)(w + 1), out);
		break;
	case OP_METER:
		str_printf(out, "meter(%u)", op->b);
		break;
	case OP_GROUP_SELECT:
		format_select(t, op, w);
		return op->b;
	case OP_RECIRC:
		str_printf(out, "recirc(%#x)", op->b);
		break;
	case OP_CHECK_LEN: {
		uint32_t n = SL_MIN(op->b, left);

		str_printf(out, "check_pkt_len(size=%u,gt(", op->a);
		format_words(t, w + 1, n);
		str_puts(out, "))");
		return n;
	}
	case OP_SET_QUEUE:
		str_printf(out, "set(skb_priority(%#x))", op->b);
		break;
	case OP_CT:
		format_ct(op, (const struct prog_ct *)(w + 1), out);
		break;
	case OP_CT_CLEAR:
		str_puts(out, "ct_clear");
		break;
	case OP_POLICY_IN:
		str_printf(out, "policy(in_port=%u)", op->b);
		break;
	case OP_POLICY_OUT:
		str_printf(out, "policy(%u)", op->b);
		break;
	case OP_N:
		break;
	}
	return op->n_words;
}

static void format_words(const struct text *t, const union prog_word *w, uint32_t n)
{
	size_t begin = t->out->len;

	for (uint32_t i = 0; i < n;) {
		if (t->out->len != begin && w[i].op.code != OP_COPY_END)
			str_putc(t->out, ',');
		i += 1 + format_op(t, &w[i], n - i - 1);
	}
}

void program_format(const struct program *p, uint8_t ip_proto, struct str *out)
{
	struct text t = {out, ip_proto};

	format_words(&t, p->word, p->n_words);
}
