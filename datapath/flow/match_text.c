/* SPDX-License-Identifier: BSD-3-Clause */
/* Matches as text. Parsing follows the field table; printing has an order and short cuts of its own
 * (protocol names, dl_vlan, nw_src for either IPv4 or ARP …), which are those of ovs-ofctl, so that
 * people and scripts can compare. Stateless. */
#include "datapath/flow/match_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action.h"
#include "datapath/flow/field.h"
#include "datapath/flow/tun_opt.h"

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_RARP = 0x8035,
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_MCAST = 0x8848,
};

/* Short names of eth_type and ip_proto together, as they are read and printed. */
static const struct {
	const char *name;
	uint16_t eth_type;
	uint8_t ip_proto; /* 0: any */
} protocols[] = {
	{"ip", TYPE_IPV4, 0},          {"icmp", TYPE_IPV4, 1},   {"tcp", TYPE_IPV4, 6},
	{"udp", TYPE_IPV4, 17},        {"sctp", TYPE_IPV4, 132}, {"ipv6", TYPE_IPV6, 0},
	{"icmp6", TYPE_IPV6, 58},      {"tcp6", TYPE_IPV6, 6},   {"udp6", TYPE_IPV6, 17},
	{"sctp6", TYPE_IPV6, 132},     {"ip6", TYPE_IPV6, 0},    {"icmpv6", TYPE_IPV6, 58},
	{"arp", TYPE_ARP, 0},          {"rarp", TYPE_RARP, 0},   {"mpls", TYPE_MPLS, 0},
	{"mplsm", TYPE_MPLS_MCAST, 0},
};

bool text_port_parse(const struct text_ports *ports, const char *text, uint32_t *port)
{
	char bare[64];
	size_t len = strlen(text);

	if (of_port_parse(text, port))
		return true;
	if (!ports || !ports->by_name)
		return false;
	if (len >= 2 && len < sizeof bare && text[0] == '"' && text[len - 1] == '"') {
		memcpy(bare, text + 1, len - 2);
		bare[len - 2] = '\0';
		text = bare;
	}
	return ports->by_name(ports->aux, text, port);
}

void text_port_format(const struct text_ports *ports, uint32_t port, struct str *out)
{
	const char *name = of_port_name(port);

	if (!name && ports && ports->name_of)
		name = ports->name_of(ports->aux, port);
	if (name)
		str_puts(out, name);
	else
		str_printf(out, "%u", port);
}

/* ---- parsing ---- */

/* The next "key" or "key=value" of the text. Parentheses and quotes hide commas. */
struct token {
	char *key, *value;
	unsigned column; /* from 1 */
};

static bool next_token(char *text, char **pos, struct token *t)
{
	char *p = *pos;
	int depth = 0;
	bool quoted = false;

	p += strspn(p, ", \t\r\n");
	if (!*p)
		return false;
	t->key = p;
	t->value = NULL;
	t->column = (unsigned)(p - text) + 1;
	for (; *p; p++) {
		if (*p == '"')
			quoted = !quoted;
		if (quoted)
			continue;
		if (*p == '=' && !t->value) {
			*p = '\0';
			t->value = p + 1;
		} else if (*p == '(') {
			depth++;
		} else if (*p == ')') {
			depth--;
		} else if (depth <= 0 && strchr(", \t\r\n", *p)) {
			break;
		}
	}
	if (*p)
		*p++ = '\0';
	*pos = p;
	return true;
}

static bool parse_protocol(const char *key, struct match *m)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(protocols); i++) {
		if (strcmp(key, protocols[i].name))
			continue;
		m->value.key.eth_type = cpu_to_be16(protocols[i].eth_type);
		m->mask.key.eth_type = 0xffff;
		if (protocols[i].ip_proto) {
			m->value.key.ip_proto = protocols[i].ip_proto;
			m->mask.key.ip_proto = 0xff;
		}
		return true;
	}
	return !strcmp(key, "eth");
}

static int parse_in_port(const char *text, const struct text_ports *ports, struct match *m,
			 struct err *e)
{
	uint32_t port;

	if (!text_port_parse(ports, text, &port))
		return err_set(e, EINVAL, "in_port: no port \"%s\"", text);
	m->value.regs.in_port = cpu_to_be32(port);
	m->mask.regs.in_port = UINT32_MAX;
	return 0;
}

/* dl_vlan takes 0xffff for "no tag", which does not fit its 12 bits. */
static int parse_dl_vlan(const char *text, struct match *m, struct err *e)
{
	union field_value v;
	uint64_t vid;

	if (!parse_u64(text, 0, 0xffff, &vid) || (vid > VLAN_VID_MASK && vid != 0xffff))
		return err_set(e, EINVAL, "dl_vlan: \"%s\" is not a VLAN id", text);
	store_be16(v.b, (uint16_t)vid);
	field_match(&fields[FIELD_DL_VLAN], m, &v, NULL);
	return 0;
}

static int parse_field(const struct field_info *f, const char *text, const struct text_ports *ports,
		       struct match *m, struct err *e)
{
	union field_value v, mask, all;
	int rc;

	if (f->id == FIELD_IN_PORT || f->id == FIELD_IN_PORT16)
		return parse_in_port(text, ports, m, e);
	if (f->id == FIELD_DL_VLAN)
		return parse_dl_vlan(text, m, e);
	rc = field_parse_value(f, text, &v, &mask, e);
	if (rc)
		return rc;
	/* Ethernet goes without saying. */
	if (f->id == FIELD_PACKET_TYPE && !v.u32)
		return 0;
	field_full_mask(f, &all);
	if (f->mask_kind == FIELD_MASK_NONE) {
		bool none = true;

		for (size_t i = 0; i < f->n_bytes; i++)
			none &= !mask.b[i];
		if (none)
			return 0;
		if (memcmp(mask.b, all.b, f->n_bytes))
			return err_set(e, EINVAL, "%s: cannot be masked", f->name);
	}
	field_match(f, m, &v, &mask);
	return 0;
}

/* What was said of one field, to be checked when the whole match is known. */
struct seen {
	const struct field_info *f;
	unsigned column;
};
enum { MAX_SEEN = 256 };

static int check_prereqs(const struct seen *seen, size_t n, const struct match *m, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (!field_prereq_in_match(seen[i].f, m))
			return err_set(e, EINVAL, "column %u: %s: needs a match on %s",
				       seen[i].column, seen[i].f->name,
				       prereqs[seen[i].f->prereq].name);
	return 0;
}

/* ICMP types, codes and addresses are spelt alike for IPv4, IPv6 and ARP: take the row whose
 * prerequisites the match pins. */
static const struct field_info *by_context(const struct field_info *f, const struct match *m)
{
	static const enum field_id twins[][4] = {
		{FIELD_ICMP_TYPE, FIELD_ICMPV6_TYPE, FIELD_N, FIELD_N},
		{FIELD_ICMP_CODE, FIELD_ICMPV6_CODE, FIELD_N, FIELD_N},
		{FIELD_TCP_SRC, FIELD_UDP_SRC, FIELD_SCTP_SRC, FIELD_N},
		{FIELD_TCP_DST, FIELD_UDP_DST, FIELD_SCTP_DST, FIELD_N},
		{FIELD_IP_SRC, FIELD_ARP_SPA, FIELD_N, FIELD_N},
		{FIELD_IP_DST, FIELD_ARP_TPA, FIELD_N, FIELD_N},
		{FIELD_IP_PROTO, FIELD_ARP_OP, FIELD_N, FIELD_N},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(twins); i++) {
		if (twins[i][0] != f->id)
			continue;
		for (size_t k = 0; k < 4 && twins[i][k] != FIELD_N; k++)
			if (field_prereq_in_match(&fields[twins[i][k]], m))
				return &fields[twins[i][k]];
	}
	return f;
}

static int parse_token(const struct token *t, const struct text_ports *ports, match_key_fn *other,
		       void *aux, struct match *m, const struct field_info **field, struct err *e)
{
	int rc;

	*field = NULL;
	if (!t->value && parse_protocol(t->key, m))
		return 0;
	*field = field_by_name(t->key, strlen(t->key));
	if (*field && t->value)
		return parse_field(*field, t->value, ports, m, e);
	*field = NULL;
	rc = other ? other(aux, t->key, t->value, e) : 1;
	if (rc == 1)
		return err_set(e, EINVAL,
			       t->value ? "unknown field \"%s\"" : "\"%s\" needs a value", t->key);
	return rc;
}

int match_parse(const char *text, const struct text_ports *ports, match_key_fn *other, void *aux,
		struct match *m, struct err *e)
{
	char *copy = xstrdup(text), *pos = copy;
	struct seen seen[MAX_SEEN];
	struct token t;
	size_t n = 0;
	int rc = 0;

	match_init(m);
	while (!rc && next_token(copy, &pos, &t)) {
		const struct field_info *f;

		rc = parse_token(&t, ports, other, aux, m, &f, e);
		if (rc)
			err_prefix(e, "column %u", t.column);
		else if (f && n == MAX_SEEN)
			rc = err_set(e, E2BIG, "column %u: more than %d fields", t.column,
				     MAX_SEEN);
		else if (f)
			seen[n++] = (struct seen){f, t.column};
	}
	for (size_t i = 0; i < n; i++)
		seen[i].f = by_context(seen[i].f, m);
	if (!rc)
		rc = check_prereqs(seen, n, m, e);
	free(copy);
	return rc;
}

/* ---- printing ---- */

/* What a printing pass carries. Every item ends with a comma; the last one is taken off. */
struct printer {
	const struct match *m;
	const struct text_ports *ports;
	struct str *out;
};

static void put_field_as(struct printer *p, enum field_id id, const char *name)
{
	const struct field_info *f = &fields[id];
	union field_value v, mask;

	if (field_is_wildcard(f, p->m))
		return;
	field_get_match(f, p->m, &v, &mask);
	str_printf(p->out, "%s=", name);
	field_format_value(f, &v, &mask, p->out);
	str_putc(p->out, ',');
}

static void put_field(struct printer *p, enum field_id id)
{
	put_field_as(p, id, fields[id].name);
}

/* A field of up to 4 bytes as a number. */
static uint32_t number(const struct field_info *f, const struct flow *flow)
{
	union field_value v;
	uint32_t n = 0;

	field_get(f, flow, &v);
	for (size_t i = 0; i < f->n_bytes; i++)
		n = n << 8 | v.b[i];
	return n;
}

/* Decimal when exact, both in hexadecimal when masked. */
static void put_be16(struct printer *p, enum field_id id, const char *name)
{
	uint32_t v = number(&fields[id], &p->m->value), mask = number(&fields[id], &p->m->mask);

	if (mask == 0xffff)
		str_printf(p->out, "%s=%u,", name, v);
	else if (mask)
		str_printf(p->out, "%s=0x%x/0x%x,", name, v, mask);
}

/* A zero is printed without "0x". */
static void put_u32(struct printer *p, enum field_id id)
{
	uint32_t v = number(&fields[id], &p->m->value), mask = number(&fields[id], &p->m->mask);

	if (mask == UINT32_MAX)
		str_printf(p->out, "%s=%#x,", fields[id].name, v);
	else if (mask)
		str_printf(p->out, "%s=%#x/%#x,", fields[id].name, v, mask);
}

static void put_port(struct printer *p, enum field_id id)
{
	if (field_is_wildcard(&fields[id], p->m))
		return;
	str_printf(p->out, "%s=", fields[id].name);
	text_port_format(p->ports, number(&fields[id], &p->m->value), p->out);
	str_putc(p->out, ',');
}

static void put_context(struct printer *p)
{
	put_u32(p, FIELD_PKT_MARK);
	put_u32(p, FIELD_DP_HASH);
	put_field(p, FIELD_CONJ_ID);
	put_port(p, FIELD_ACTSET_OUTPUT);
	put_field(p, FIELD_CT_STATE);
	if (p->m->mask.key.ct_zone)
		str_printf(p->out, "ct_zone=%u,", be16_to_cpu(p->m->value.key.ct_zone));
	put_u32(p, FIELD_CT_MARK);
	put_field(p, FIELD_CT_LABEL);
	put_field(p, FIELD_CT_NW_SRC);
	put_field(p, FIELD_CT_IPV6_SRC);
	put_field(p, FIELD_CT_NW_DST);
	put_field(p, FIELD_CT_IPV6_DST);
	put_field(p, FIELD_CT_NW_PROTO);
	put_be16(p, FIELD_CT_TP_SRC, "ct_tp_src");
	put_be16(p, FIELD_CT_TP_DST, "ct_tp_dst");
	if (p->m->mask.regs.packet_type && p->m->value.regs.packet_type)
		put_field(p, FIELD_PACKET_TYPE);
}

static void put_tunnel(struct printer *p)
{
	put_field(p, FIELD_TUN_ID);
	put_field(p, FIELD_TUN_SRC);
	put_field(p, FIELD_TUN_DST);
	put_field(p, FIELD_TUN_IPV6_SRC);
	put_field(p, FIELD_TUN_IPV6_DST);
	put_be16(p, FIELD_TUN_GBP_ID, "tun_gbp_id");
	put_field(p, FIELD_TUN_GBP_FLAGS);
	put_field(p, FIELD_TUN_ERSPAN_VER);
	put_field(p, FIELD_TUN_ERSPAN_IDX);
	put_field(p, FIELD_TUN_ERSPAN_DIR);
	put_field(p, FIELD_TUN_ERSPAN_HWID);
	put_field_as(p, FIELD_TUN_GTPU_FLAGS, "gtpu_flags");
	put_field_as(p, FIELD_TUN_GTPU_MSGTYPE, "gtpu_msgtype");
	put_field(p, FIELD_TUN_FLAGS);
	for (unsigned i = 0; i < TUN_OPT_FIELDS; i++)
		if (tun_opt_is_there(i))
			put_field(p, (enum field_id)(FIELD_TUN_METADATA0 + i));
}

static void put_vlan(struct printer *p)
{
	uint16_t v = be16_to_cpu(p->m->value.key.vlan[0].tci);
	uint16_t mask = be16_to_cpu(p->m->mask.key.vlan[0].tci);
	uint16_t vid = mask & VLAN_VID_MASK, pcp = mask & VLAN_PCP_MASK;

	if (!mask)
		return;
	if ((v & VLAN_CFI) && (vid || pcp) && (!vid || vid == VLAN_VID_MASK) &&
	    (!pcp || pcp == VLAN_PCP_MASK)) {
		if (vid)
			str_printf(p->out, "dl_vlan=%u,", v & VLAN_VID_MASK);
		if (pcp)
			str_printf(p->out, "dl_vlan_pcp=%u,", v >> VLAN_PCP_SHIFT);
	} else if (mask == 0xffff) {
		str_printf(p->out, "vlan_tci=0x%04x,", v);
	} else {
		str_printf(p->out, "vlan_tci=0x%04x/0x%04x,", v, mask);
	}
}

static uint16_t eth_type(const struct match *m)
{
	return m->mask.key.eth_type ? be16_to_cpu(m->value.key.eth_type) : 0;
}

/* The protocol's short name; says what it stands for, so that it is not printed again. */
static void put_protocol(struct printer *p, bool *said_type, bool *said_proto)
{
	const struct match *m = p->m;
	uint16_t type = eth_type(m);
	uint8_t proto = m->mask.key.ip_proto ? m->value.key.ip_proto : 0;
	const char *name = NULL;

	*said_type = *said_proto = false;
	if (!m->mask.key.eth_type)
		return;
	for (size_t i = 0; i < SL_ARRAY_SIZE(protocols); i++) {
		if (protocols[i].eth_type != type)
			continue;
		if (protocols[i].ip_proto == 0 && !*said_type) {
			name = protocols[i].name;
			*said_type = true;
		} else if (proto && protocols[i].ip_proto == proto && !*said_proto) {
			name = protocols[i].name;
			*said_type = *said_proto = true;
		}
	}
	if (name)
		str_printf(p->out, "%s,", name);
}

static void put_ipv6_label(struct printer *p)
{
	uint32_t v = be32_to_cpu(p->m->value.key.ipv6_label);
	uint32_t mask = be32_to_cpu(p->m->mask.key.ipv6_label);

	if (mask == 0xfffff)
		str_printf(p->out, "ipv6_label=0x%05x,", v);
	else if (mask)
		str_printf(p->out, "ipv6_label=0x%05x/0x%05x,", v, mask);
}

static void put_l3(struct printer *p, bool said_proto)
{
	const struct match *m = p->m;
	uint16_t type = eth_type(m);
	bool arp = type == TYPE_ARP || type == TYPE_RARP;

	if (type == TYPE_IPV6) {
		put_field(p, FIELD_IPV6_SRC);
		put_field(p, FIELD_IPV6_DST);
		put_ipv6_label(p);
	} else {
		put_field_as(p, FIELD_IP_SRC, arp ? "arp_spa" : "nw_src");
		put_field_as(p, FIELD_IP_DST, arp ? "arp_tpa" : "nw_dst");
	}
	if (!said_proto)
		put_field_as(p, FIELD_IP_PROTO, arp ? "arp_op" : "nw_proto");
	if (arp) {
		put_field(p, FIELD_ARP_SHA);
		put_field(p, FIELD_ARP_THA);
	}
	put_field(p, FIELD_NW_TOS);
	put_field(p, FIELD_IP_ECN);
	put_field(p, FIELD_IP_TTL);
	put_field(p, FIELD_MPLS_LABEL);
	put_field(p, FIELD_MPLS_TC);
	put_field(p, FIELD_MPLS_TTL);
	put_field(p, FIELD_MPLS_BOS);
	put_field_as(p, FIELD_IP_FRAG, "nw_frag");
}

static void put_l4(struct printer *p)
{
	const struct flow_key *v = &p->m->value.key;
	uint16_t type = eth_type(p->m);
	bool icmp = type == TYPE_IPV4 && v->ip_proto == 1;
	bool icmp6 = type == TYPE_IPV6 && v->ip_proto == 58;

	if (icmp || icmp6) {
		put_field(p, FIELD_ICMP_TYPE);
		put_field(p, FIELD_ICMP_CODE);
	} else {
		put_be16(p, FIELD_TCP_SRC, "tp_src");
		put_be16(p, FIELD_TCP_DST, "tp_dst");
	}
	if (icmp6) {
		put_field(p, FIELD_ND_TARGET);
		put_field(p, FIELD_ND_SLL);
		put_field(p, FIELD_ND_TLL);
		put_field(p, FIELD_ND_RESERVED);
		put_field(p, FIELD_ND_OPTIONS_TYPE);
	}
	if (v->ip_proto == 6 && (type == TYPE_IPV4 || type == TYPE_IPV6))
		put_field(p, FIELD_TCP_FLAGS);
}

void match_format(const struct match *m, const struct text_ports *ports, struct str *out)
{
	struct printer p = {m, ports, out};
	size_t start = out->len;
	bool said_type, said_proto;

	put_context(&p);
	put_protocol(&p, &said_type, &said_proto);
	for (unsigned i = 0; i < 16; i++)
		put_u32(&p, (enum field_id)(FIELD_REG0 + i));
	put_tunnel(&p);
	put_field(&p, FIELD_METADATA);
	put_port(&p, FIELD_IN_PORT);
	put_vlan(&p);
	put_field_as(&p, FIELD_ETH_SRC, "dl_src");
	put_field_as(&p, FIELD_ETH_DST, "dl_dst");
	if (!said_type && m->mask.key.eth_type)
		str_printf(out, "dl_type=0x%04x,", be16_to_cpu(m->value.key.eth_type));
	put_l3(&p, said_proto);
	put_l4(&p);
	if (out->len > start)
		str_chomp(out, ',');
}

void flow_to_match(const struct flow *flow, struct match *m)
{
	match_init(m);
	for (unsigned id = 0; id < FIELD_N; id++) {
		const struct field_info *f = &fields[id];
		union field_value v;
		bool zero = true;

		if (f->overlay || !field_prereq_ok(f, flow, NULL))
			continue;
		field_get(f, flow, &v);
		for (size_t i = 0; i < f->n_bytes; i++)
			zero &= !v.b[i];
		if (!zero || id == FIELD_ETH_TYPE || id == FIELD_IN_PORT)
			field_match(f, m, &v, NULL);
	}
}

void flow_format(const struct flow *flow, const struct text_ports *ports, struct str *out)
{
	struct match m;

	flow_to_match(flow, &m);
	match_format(&m, ports, out);
}
