/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/flow/key_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/field.h"
#include "datapath/flow/tun_opt.h"

/* ---- rows ---- */

enum part_format { AS_DEC, AS_HEX, AS_MAC, AS_IP4, AS_IP6, AS_FRAG, AS_FIELD };

/* One value. Groups follow each other in the order in which they are printed; a part named "" is
 * all of its group: "eth_type(0x0800)". */
struct part {
	const char *group, *name;
	uint16_t offset;
	uint8_t n_bytes, shift, n_bits; /* of the number, from its lowest bit */
	enum part_format format;
	enum field_id field; /* AS_FIELD */
	uint16_t eth_type;   /* of the group; 0: any */
	uint8_t ip_proto;    /* of the group; 0: any */
};

#define AT(member) offsetof(struct flow_key, member), sizeof(((struct flow_key *)0)->member), 0, 0
#define BITS(member, shift, bits)                                                                  \
	offsetof(struct flow_key, member), sizeof(((struct flow_key *)0)->member), shift, bits
#define AS(id) AS_FIELD, FIELD_##id
enum { IP4 = 0x0800, IP6 = 0x86dd, ARP = 0x0806, MPLS = 0x8847, TCP = 6, UDP = 17, SCTP = 132 };
enum { ICMP = 1, ICMP6 = 58 };

static const struct part parts[] = {
	{"tunnel", "tun_id", AT(tun_id), AS_HEX, 0, 0, 0},
	{"tunnel", "src", AT(tun_src), AS_IP4, 0, 0, 0},
	{"tunnel", "dst", AT(tun_dst), AS_IP4, 0, 0, 0},
	{"tunnel", "ipv6_src", AT(tun_ipv6_src), AS_IP6, 0, 0, 0},
	{"tunnel", "ipv6_dst", AT(tun_ipv6_dst), AS_IP6, 0, 0, 0},
	{"tunnel", "tos", AT(tun_tos), AS_HEX, 0, 0, 0},
	{"tunnel", "ttl", AT(tun_ttl), AS_DEC, 0, 0, 0},
	{"tunnel", "gbp_id", AT(tun_gbp_id), AS_DEC, 0, 0, 0},
	{"tunnel", "gbp_flags", AT(tun_gbp_flags), AS_HEX, 0, 0, 0},
	{"tunnel", "flags", AT(tun_flags), AS(TUN_FLAGS), 0, 0},
	{"ct_state", "", AT(ct_state), AS(CT_STATE), 0, 0},
	{"ct_zone", "", AT(ct_zone), AS_HEX, 0, 0, 0},
	{"ct_mark", "", AT(ct_mark), AS_HEX, 0, 0, 0},
	{"ct_label", "", AT(ct_label), AS(CT_LABEL), 0, 0},
	{"ct_tuple4", "src", AT(ct_ip_src), AS_IP4, 0, IP4, 0},
	{"ct_tuple4", "dst", AT(ct_ip_dst), AS_IP4, 0, IP4, 0},
	{"ct_tuple4", "proto", AT(ct_ip_proto), AS_DEC, 0, IP4, 0},
	{"ct_tuple4", "tp_src", AT(ct_tp_src), AS_DEC, 0, IP4, 0},
	{"ct_tuple4", "tp_dst", AT(ct_tp_dst), AS_DEC, 0, IP4, 0},
	{"ct_tuple6", "src", AT(ct_ipv6_src), AS_IP6, 0, IP6, 0},
	{"ct_tuple6", "dst", AT(ct_ipv6_dst), AS_IP6, 0, IP6, 0},
	{"ct_tuple6", "proto", AT(ct_ip_proto), AS_DEC, 0, IP6, 0},
	{"ct_tuple6", "tp_src", AT(ct_tp_src), AS_DEC, 0, IP6, 0},
	{"ct_tuple6", "tp_dst", AT(ct_tp_dst), AS_DEC, 0, IP6, 0},
	{"eth", "src", AT(eth_src), AS_MAC, 0, 0, 0},
	{"eth", "dst", AT(eth_dst), AS_MAC, 0, 0, 0},
	/* the tags come here */
	{"eth_type", "", AT(eth_type), AS_HEX, 0, 0, 0},
	{"mpls", "label", BITS(mpls_lse[0], 12, 20), AS_DEC, 0, MPLS, 0},
	{"mpls", "tc", BITS(mpls_lse[0], 9, 3), AS_DEC, 0, MPLS, 0},
	{"mpls", "ttl", BITS(mpls_lse[0], 0, 8), AS_DEC, 0, MPLS, 0},
	{"mpls", "bos", BITS(mpls_lse[0], 8, 1), AS_DEC, 0, MPLS, 0},
	{"ipv4", "src", AT(ip_src), AS_IP4, 0, IP4, 0},
	{"ipv4", "dst", AT(ip_dst), AS_IP4, 0, IP4, 0},
	{"ipv4", "proto", AT(ip_proto), AS_DEC, 0, IP4, 0},
	{"ipv4", "tos", AT(ip_tos), AS_HEX, 0, IP4, 0},
	{"ipv4", "ttl", AT(ip_ttl), AS_DEC, 0, IP4, 0},
	{"ipv4", "frag", AT(ip_frag), AS_FRAG, 0, IP4, 0},
	{"ipv6", "src", AT(ipv6_src), AS_IP6, 0, IP6, 0},
	{"ipv6", "dst", AT(ipv6_dst), AS_IP6, 0, IP6, 0},
	{"ipv6", "label", BITS(ipv6_label, 0, 20), AS_HEX, 0, IP6, 0},
	{"ipv6", "proto", AT(ip_proto), AS_DEC, 0, IP6, 0},
	{"ipv6", "tclass", AT(ip_tos), AS_HEX, 0, IP6, 0},
	{"ipv6", "hlimit", AT(ip_ttl), AS_DEC, 0, IP6, 0},
	{"ipv6", "frag", AT(ip_frag), AS_FRAG, 0, IP6, 0},
	{"arp", "sip", AT(ip_src), AS_IP4, 0, ARP, 0},
	{"arp", "tip", AT(ip_dst), AS_IP4, 0, ARP, 0},
	{"arp", "op", AT(ip_proto), AS_DEC, 0, ARP, 0},
	{"arp", "sha", AT(arp_sha), AS_MAC, 0, ARP, 0},
	{"arp", "tha", AT(arp_tha), AS_MAC, 0, ARP, 0},
	{"tcp", "src", AT(tp_src), AS_DEC, 0, 0, TCP},
	{"tcp", "dst", AT(tp_dst), AS_DEC, 0, 0, TCP},
	{"tcp_flags", "", AT(tcp_flags), AS(TCP_FLAGS), 0, TCP},
	{"udp", "src", AT(tp_src), AS_DEC, 0, 0, UDP},
	{"udp", "dst", AT(tp_dst), AS_DEC, 0, 0, UDP},
	{"sctp", "src", AT(tp_src), AS_DEC, 0, 0, SCTP},
	{"sctp", "dst", AT(tp_dst), AS_DEC, 0, 0, SCTP},
	{"icmp", "type", AT(tp_src), AS_DEC, 0, 0, ICMP},
	{"icmp", "code", AT(tp_dst), AS_DEC, 0, 0, ICMP},
	{"icmpv6", "type", AT(tp_src), AS_DEC, 0, 0, ICMP6},
	{"icmpv6", "code", AT(tp_dst), AS_DEC, 0, 0, ICMP6},
	{"nd", "target", AT(nd_target), AS_IP6, 0, 0, ICMP6},
	{"nd", "sll", AT(arp_sha), AS_MAC, 0, 0, ICMP6},
	{"nd", "tll", AT(arp_tha), AS_MAC, 0, 0, ICMP6},
};

static bool applies(const struct part *p, const struct match *m)
{
	uint16_t eth_type = be16_to_cpu(m->value.key.eth_type);

	if (p->eth_type == MPLS && eth_type == MPLS + 1)
		return true;
	return (!p->eth_type || p->eth_type == eth_type) &&
	       (!p->ip_proto || (p->ip_proto == m->value.key.ip_proto && eth_type != ARP));
}

/* ---- values ---- */

static uint64_t number_of(const struct part *p, const struct flow_key *k)
{
	const uint8_t *b = (const uint8_t *)k + p->offset;
	uint64_t v = 0;

	for (unsigned i = 0; i < p->n_bytes; i++)
		v = v << 8 | b[i];
	return p->n_bits ? v >> p->shift & ((1u << p->n_bits) - 1) : v;
}

static uint64_t full_number(const struct part *p)
{
	unsigned bits = p->n_bits ? p->n_bits : p->n_bytes * 8u;

	return bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
}

static void put_number(const struct part *p, struct flow_key *k, uint64_t v)
{
	uint8_t *b = (uint8_t *)k + p->offset;

	v <<= p->shift;
	for (unsigned i = p->n_bytes; i--; v >>= 8)
		b[i] |= (uint8_t)v;
}

static void format_bytes(const struct part *p, const uint8_t *b, struct str *out)
{
	char text[INET6_ADDRSTRLEN];

	if (p->format == AS_MAC) {
		str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
			   b[5]);
		return;
	}
	inet_ntop(p->format == AS_IP4 ? AF_INET : AF_INET6, b, text, sizeof text);
	str_puts(out, text);
}

static bool is_full(const uint8_t *mask, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (mask[i] != 0xff)
			return false;
	return true;
}

static void format_field(const struct part *p, const struct match *m, struct str *out)
{
	const struct field_info *f = &fields[p->field];
	union field_value v, mask, full;

	field_get_match(f, m, &v, &mask);
	field_full_mask(f, &full);
	/* Flags are told one by one even when all are matched. */
	bool flags = f->format == FMT_CT_STATE || f->format == FMT_TCP_FLAGS;
	bool exact = !memcmp(mask.b, full.b, f->n_bytes) && !flags;
	field_format_value(f, &v, exact ? NULL : &mask, out);
}

static const char *frag_name(uint8_t frag)
{
	return frag & FLOW_FRAG_LATER ? "later" : frag & FLOW_FRAG_ANY ? "first" : "no";
}

static void format_value(const struct part *p, const struct match *m, struct str *out)
{
	const uint8_t *v = (const uint8_t *)&m->value + p->offset,
		      *mask = (const uint8_t *)&m->mask + p->offset;
	uint64_t n = number_of(p, &m->value.key), nm = number_of(p, &m->mask.key);

	switch (p->format) {
	case AS_MAC:
	case AS_IP4:
	case AS_IP6:
		format_bytes(p, v, out);
		if (!is_full(mask, p->n_bytes)) {
			str_putc(out, '/');
			format_bytes(p, mask, out);
		}
		return;
	case AS_FIELD:
		format_field(p, m, out);
		return;
	case AS_FRAG:
		str_puts(out, frag_name(*v));
		return;
	case AS_DEC:
	case AS_HEX:
		break;
	}
	if (p->format == AS_DEC)
		str_printf(out, "%llu", (unsigned long long)n);
	else if (!strcmp(p->group, "eth_type"))
		str_printf(out, "0x%04llx", (unsigned long long)n);
	else
		str_printf(out, "%#llx", (unsigned long long)n);
	if (nm != full_number(p))
		str_printf(out, "/%#llx", (unsigned long long)nm);
}

/* ---- formatting ---- */

static bool is_masked(const struct part *p, const struct match *m)
{
	const uint8_t *mask = (const uint8_t *)&m->mask + p->offset;

	if (p->n_bits)
		return number_of(p, &m->mask.key);
	for (unsigned i = 0; i < p->n_bytes; i++)
		if (mask[i])
			return true;
	return false;
}

/* Text that follows a bracket begins without the comma. */
static void separate(struct str *out)
{
	if (out->len && out->s[out->len - 1] != '(')
		str_putc(out, ',');
}

/* Opens tags; returns how many brackets are to be closed. */
static unsigned format_tags(const struct match *m, struct str *out)
{
	unsigned open = 0;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(m->value.key.vlan); i++) {
		const struct flow_vlan *v = &m->value.key.vlan[i], *mask = &m->mask.key.vlan[i];
		uint16_t tci = be16_to_cpu(v->tci), bits = be16_to_cpu(mask->tci);
		const char *comma = "";

		if (!(tci & VLAN_CFI))
			break;
		separate(out);
		str_printf(out, "eth_type(0x%04x),vlan(", v->tpid ? be16_to_cpu(v->tpid) : 0x8100);
		if (bits & VLAN_VID_MASK) {
			str_printf(out, "vid=%u", tci & VLAN_VID_MASK);
			if ((bits & VLAN_VID_MASK) != VLAN_VID_MASK)
				str_printf(out, "/%#x", bits & VLAN_VID_MASK);
			comma = ",";
		}
		if (bits & VLAN_PCP_MASK)
			str_printf(out, "%spcp=%u", comma, tci >> VLAN_PCP_SHIFT);
		str_puts(out, "),encap(");
		open++;
	}
	return open;
}

/* The options of a Geneve packet, by the fields that they are mapped to: the map itself is the
 * bridge's. `group`: what is open. Returns what is open then. */
static const char *format_options(const struct match *m, const char *group, struct str *out)
{
	const uint8_t *value = (const uint8_t *)&m->value, *mask = (const uint8_t *)&m->mask;
	bool some = false;

	for (unsigned f = 0; f < TUN_OPT_FIELDS; f++) {
		struct tun_opt_place at = tun_opt_place(f);
		bool read = false, all = true;

		for (unsigned i = 0; i < at.n_bytes; i++) {
			read |= mask[at.offset + i] != 0;
			all &= mask[at.offset + i] == 0xff;
		}
		if (!read || !tun_opt_is_there(f))
			continue;
		if (!group || strcmp(group, "tunnel")) {
			separate(out);
			str_puts(out, "tunnel(");
			group = "tunnel";
		}
		separate(out);
		str_printf(out, some ? "tun_metadata%u=0x" : "geneve(tun_metadata%u=0x", f);
		some = true;
		for (unsigned i = 0; i < at.n_bytes; i++)
			str_printf(out, "%02x", value[at.offset + i]);
		for (unsigned i = 0; !all && i < at.n_bytes; i++)
			str_printf(out, i ? "%02x" : "/0x%02x", mask[at.offset + i]);
	}
	if (some)
		str_putc(out, ')');
	return group;
}

void key_format(const struct match *m, key_port_name_fn *name_of, void *aux, struct str *out)
{
	const char *group = NULL, *name = name_of ? name_of(aux, m->value.key.in_port) : NULL;
	unsigned open = 0;

	str_printf(out, m->value.key.recirc_id ? "recirc_id(%#x)" : "recirc_id(%u)",
		   m->value.key.recirc_id);
	if (name)
		str_printf(out, ",in_port(%s)", name);
	else
		str_printf(out, ",in_port(%u)", m->value.key.in_port);
	for (size_t i = 0; i < SL_ARRAY_SIZE(parts); i++) {
		const struct part *p = &parts[i];
		bool same = group && !strcmp(group, p->group);

		if (i && !strcmp(parts[i - 1].group, "tunnel") && strcmp(p->group, "tunnel"))
			group = format_options(m, group, out);
		if (!strcmp(p->group, "eth_type")) {
			if (group)
				str_putc(out, ')');
			group = NULL;
			open = format_tags(m, out);
		}
		if (!is_masked(p, m) || !applies(p, m))
			continue;
		if (same) {
			str_putc(out, ',');
		} else {
			if (group)
				str_putc(out, ')');
			separate(out);
			str_printf(out, "%s(", p->group);
			group = p->group;
		}
		if (*p->name)
			str_printf(out, "%s=", p->name);
		format_value(p, m, out);
	}
	if (group)
		str_putc(out, ')');
	while (open--)
		str_putc(out, ')');
}

/* ---- parsing ---- */

struct parser {
	const char *text, *at;
	struct match *m;
	unsigned tags;
	struct err *e;
};

static int fail(struct parser *ps, const char *at, const char *what)
{
	return err_set(ps->e, EINVAL, "column %zu: %s", (size_t)(at - ps->text) + 1, what);
}

static void skip_separators(struct parser *ps)
{
	ps->at += strspn(ps->at, ", \t\n");
}

static size_t word_length(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static bool parse_bytes(const struct part *p, const char *text, uint8_t *out)
{
	unsigned b[6];
	int end = 0;

	if (p->format != AS_MAC)
		return inet_pton(p->format == AS_IP4 ? AF_INET : AF_INET6, text, out) == 1;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    text[end])
		return false;
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)b[i];
	return true;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return end != text && !*end && !errno && *out <= max;
}

static bool parse_frag(const char *text, uint8_t *out)
{
	if (!strcmp(text, "no"))
		*out = 0;
	else if (!strcmp(text, "first"))
		*out = FLOW_FRAG_ANY;
	else if (!strcmp(text, "later"))
		*out = FLOW_FRAG_ANY | FLOW_FRAG_LATER;
	else
		return false;
	return true;
}

/* `text` is "value" or "value/mask". */
static bool parse_value(struct parser *ps, const struct part *p, char *text)
{
	uint8_t *v = (uint8_t *)&ps->m->value + p->offset,
		*mask = (uint8_t *)&ps->m->mask + p->offset;
	char *slash = p->format == AS_FIELD ? NULL : strchr(text, '/');
	uint64_t n, nm = full_number(p);
	union field_value fv, fm;

	if (slash)
		*slash++ = '\0';
	switch (p->format) {
	case AS_MAC:
	case AS_IP4:
	case AS_IP6:
		memset(mask, 0xff, p->n_bytes);
		if (!parse_bytes(p, text, v) || (slash && !parse_bytes(p, slash, mask)))
			return false;
		for (unsigned i = 0; i < p->n_bytes; i++)
			v[i] &= mask[i];
		return true;
	case AS_FIELD:
		if (field_parse_value(&fields[p->field], text, &fv, &fm, ps->e)) {
			*ps->e = (struct err){0};
			return false;
		}
		field_match(&fields[p->field], ps->m, &fv, &fm);
		return true;
	case AS_FRAG:
		*mask = FLOW_FRAG_ANY | FLOW_FRAG_LATER;
		return parse_frag(text, v);
	case AS_DEC:
	case AS_HEX:
		break;
	}
	if (!parse_number(text, full_number(p), &n) ||
	    (slash && !parse_number(slash, full_number(p), &nm)))
		return false;
	put_number(p, &ps->m->value.key, n & nm);
	put_number(p, &ps->m->mask.key, nm);
	return true;
}

static const struct part *find_part(const char *group, size_t group_len, const char *name,
				    size_t name_len)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(parts); i++)
		if (strlen(parts[i].group) == group_len &&
		    !strncmp(parts[i].group, group, group_len) &&
		    strlen(parts[i].name) == name_len && !strncmp(parts[i].name, name, name_len))
			return &parts[i];
	return NULL;
}

/* Copies the text up to one of `ends` and goes there. */
static bool take_value(struct parser *ps, const char *ends, char value[128])
{
	size_t n = strcspn(ps->at, ends);

	if (n >= 128 || !ps->at[n])
		return false;
	memcpy(value, ps->at, n);
	value[n] = '\0';
	ps->at += n;
	return true;
}

static int parse_part(struct parser *ps, const char *group, size_t group_len)
{
	const char *begin = ps->at;
	size_t n = word_length(begin);
	const struct part *p = find_part(group, group_len, begin, begin[n] == '=' ? n : 0);
	char value[128];

	if (!p)
		return fail(ps, begin, "no such part of a flow key");
	if (*p->name)
		ps->at += n + 1;
	begin = ps->at;
	if (!take_value(ps, *p->name ? ",)" : ")", value) || !parse_value(ps, p, value))
		return fail(ps, begin, "not a value that this can have");
	return 0;
}

static int parse_tag(struct parser *ps, uint16_t tpid)
{
	struct flow_vlan *v, *mask;
	unsigned vid = 0, pcp = 0, cfi = 1;
	const char *begin = ps->at;
	char text[128], *save = NULL;

	if (ps->tags == SL_ARRAY_SIZE(ps->m->value.key.vlan))
		return fail(ps, begin, "more than two VLAN tags");
	if (!take_value(ps, ")", text))
		return fail(ps, begin, "no end of vlan(");
	for (char *w = strtok_r(text, ", ", &save); w; w = strtok_r(NULL, ", ", &save))
		if (sscanf(w, "vid=%u", &vid) != 1 && sscanf(w, "pcp=%u", &pcp) != 1 &&
		    sscanf(w, "cfi=%u", &cfi) != 1)
			return fail(ps, begin, "vlan() has vid, pcp and cfi");
	if (vid > VLAN_VID_MASK || pcp > 7)
		return fail(ps, begin, "not a value that this can have");
	v = &ps->m->value.key.vlan[ps->tags];
	mask = &ps->m->mask.key.vlan[ps->tags++];
	v->tpid = cpu_to_be16(tpid);
	v->tci = cpu_to_be16((uint16_t)(vid | VLAN_CFI | pcp << VLAN_PCP_SHIFT));
	mask->tpid = mask->tci = UINT16_MAX;
	return 0;
}

/* Of the packet's place; names of other attributes that a key may have are passed over. */
static int parse_plain(struct parser *ps, const char *group, size_t n)
{
	const char *begin = ps->at;
	char text[128];
	uint64_t v;

	if (!take_value(ps, ")", text))
		return fail(ps, begin, "no end of the bracket");
	bool port = n == 7 && !strncmp(group, "in_port", n),
	     recirc = n == 9 && !strncmp(group, "recirc_id", n);
	if (!port && !recirc)
		return 0;
	if (!parse_number(text, UINT32_MAX, &v))
		return fail(ps, begin, "not a number");
	if (port) {
		ps->m->value.key.in_port = (uint32_t)v;
		ps->m->mask.key.in_port = UINT32_MAX;
	} else {
		ps->m->value.key.recirc_id = (uint32_t)v;
		ps->m->mask.key.recirc_id = UINT32_MAX;
	}
	return 0;
}

static bool is_plain(const char *group, size_t n)
{
	static const char *const names[] = {"in_port",      "recirc_id", "dp_hash",
					    "skb_priority", "skb_mark",  "packet_type",
					    "ufid",         "encap",     "vlan"};

	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !strncmp(names[i], group, n))
			return true;
	return false;
}

static bool is(const char *group, size_t n, const char *name)
{
	return strlen(name) == n && !strncmp(group, name, n);
}

/* The type in front of a tag is the tag's: what was taken for the packet's is moved there. */
static int parse_vlan(struct parser *ps)
{
	uint16_t tpid = be16_to_cpu(ps->m->value.key.eth_type);

	ps->m->value.key.eth_type = ps->m->mask.key.eth_type = 0;
	return parse_tag(ps, tpid ? tpid : 0x8100);
}

static int parse_group(struct parser *ps, unsigned *depth)
{
	const char *group = ps->at;
	size_t n = word_length(group);
	int rc = 0;

	if (!n || group[n] != '(')
		return fail(ps, group, "a name and a bracket are expected");
	ps->at += n + 1;
	if (is(group, n, "encap")) {
		++*depth;
		return 0;
	}
	if (is(group, n, "vlan"))
		rc = parse_vlan(ps);
	else if (is_plain(group, n))
		rc = parse_plain(ps, group, n);
	else
		for (bool first = true; !rc && (first || *ps->at == ','); first = false) {
			if (!first)
				skip_separators(ps);
			rc = parse_part(ps, group, n);
		}
	if (!rc && *ps->at != ')')
		rc = fail(ps, ps->at, "')' is expected");
	ps->at += !rc;
	return rc;
}

int key_parse(const char *text, struct match *m, struct err *e)
{
	struct parser ps = {.text = text, .at = text, .m = m, .e = e};
	unsigned depth = 0;
	int rc = 0;

	match_init(m);
	for (skip_separators(&ps); !rc && *ps.at; skip_separators(&ps)) {
		if (*ps.at == ')' && depth) {
			depth--;
			ps.at++;
			continue;
		}
		rc = parse_group(&ps, &depth);
	}
	if (!rc && depth)
		rc = fail(&ps, ps.at, "')' is expected");
	return rc;
}
