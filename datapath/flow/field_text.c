/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of field values, both ways, in the form that Open vSwitch's tools read and print. The text
 * comes from people and files: bounded, and every error names what was not understood.
 * Stateless; any thread but poll threads (it allocates through struct str). */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/str.h"
#include "datapath/flow/action.h"
#include "datapath/flow/field.h"

enum { TEXT_MAX = 600 }; /* "0x" and 124 bytes, twice, and then some */

static const char *const ct_state_names[8] = {"new", "est", "rel",  "rpl",
					      "inv", "trk", "snat", "dnat"};
static const char *const tcp_flag_names[12] = {"fin", "syn", "rst", "psh",   "ack",   "urg",
					       "ece", "cwr", "ns",  "[200]", "[400]", "[800]"};
static const char *const tun_flag_names[1] = {"oam"};

static const struct {
	const char *name;
	uint32_t port;
} reserved_ports[] = {
	{"IN_PORT", OFP_PORT_IN_PORT}, {"TABLE", OFP_PORT_TABLE},
	{"NORMAL", OFP_PORT_NORMAL},   {"FLOOD", OFP_PORT_FLOOD},
	{"ALL", OFP_PORT_ALL},         {"CONTROLLER", OFP_PORT_CONTROLLER},
	{"LOCAL", OFP_PORT_LOCAL},     {"ANY", OFP_PORT_ANY},
	{"NONE", OFP_PORT_ANY},        {"UNSET", OFP_PORT_UNSET},
};

const char *of_port_name(uint32_t port)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(reserved_ports); i++)
		if (reserved_ports[i].port == port)
			return reserved_ports[i].name;
	return NULL;
}

bool of_port_parse(const char *text, uint32_t *port)
{
	uint64_t n;

	for (size_t i = 0; i < SL_ARRAY_SIZE(reserved_ports); i++)
		if (!strcasecmp(text, reserved_ports[i].name)) {
			*port = reserved_ports[i].port;
			return true;
		}
	if (!parse_u64(text, 0, UINT32_MAX, &n))
		return false;
	/* OpenFlow 1.0's reserved numbers, as people still write them. */
	*port = n >= 0xff00 && n <= 0xffff ? (uint32_t)n | 0xffff0000u : (uint32_t)n;
	return true;
}

static int bad_value(const struct field_info *f, const char *text, struct err *e)
{
	return err_set(e, EINVAL, "%s: bad value \"%s\"", f->name, text);
}

/* A number of any length into n big-endian bytes; false when it does not fit or is none. */
static bool parse_wide(const char *s, uint8_t *out, size_t n)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	unsigned base = hex ? 16 : 10;

	memset(out, 0, n);
	s += hex ? 2 : 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned carry;

		if (!isxdigit((unsigned char)*s) || (!hex && !isdigit((unsigned char)*s)))
			return false;
		carry = isdigit((unsigned char)*s)
				? (unsigned)(*s - '0')
				: (unsigned)(tolower((unsigned char)*s) - 'a' + 10);
		for (size_t i = n; i-- > 0;) {
			carry += out[i] * base;
			out[i] = (uint8_t)carry;
			carry >>= 8;
		}
		if (carry)
			return false;
	}
	return true;
}

static bool parse_mac(const char *s, uint8_t *mac)
{
	for (int i = 0; i < 6; i++) {
		int digits = 0, v = 0;

		for (; isxdigit((unsigned char)*s) && digits < 2; s++, digits++)
			v = v * 16 + (isdigit((unsigned char)*s)
					      ? *s - '0'
					      : tolower((unsigned char)*s) - 'a' + 10);
		if (!digits || *s != (i < 5 ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)v;
		s++;
	}
	return true;
}

static void prefix_mask(uint8_t *mask, size_t n, unsigned bits)
{
	for (size_t i = 0; i<n; i++, bits = bits> 8 ? bits - 8 : 0)
		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00u >> bits);
}

/* The mask of an address: a prefix length or an address. */
static bool parse_ip_mask(int family, const char *s, uint8_t *mask, size_t n)
{
	uint64_t bits;

	if (inet_pton(family, s, mask) == 1)
		return true;
	if (!parse_u64(s, 10, n * 8, &bits))
		return false;
	prefix_mask(mask, n, (unsigned)bits);
	return true;
}

static bool flag_by_name(const char *const *names, unsigned n, const char *s, size_t len,
			 uint32_t *bit)
{
	for (unsigned i = 0; i < n; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], s, len)) {
			*bit = 1u << i;
			return true;
		}
	return false;
}

/* "+syn-ack" gives value and mask, "syn|ack" the whole value. */
static bool parse_flags(const char *const *names, unsigned n, const char *s, uint32_t *value,
			uint32_t *mask)
{
	bool masked = *s == '+' || *s == '-';

	*value = 0;
	*mask = masked ? 0 : UINT32_MAX;
	while (*s) {
		char sign = '+';
		uint32_t bit;
		size_t len;

		if (masked) {
			sign = *s++;
			if (sign != '+' && sign != '-')
				return false;
		}
		len = strcspn(s, masked ? "+-" : "|");
		if (!flag_by_name(names, n, s, len, &bit) || (masked && (*mask & bit)))
			return false;
		*mask |= bit;
		if (sign == '+')
			*value |= bit;
		s += len;
		if (!masked && *s == '|')
			s++;
	}
	return true;
}

static const struct {
	const char *name;
	uint8_t value, mask;
} frag_names[] = {
	{"no", 0, 3}, {"yes", 1, 1}, {"first", 1, 3}, {"later", 3, 3}, {"not_later", 0, 2},
};

static bool parse_frag(const char *s, uint8_t *value, uint8_t *mask)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(frag_names); i++)
		if (!strcasecmp(s, frag_names[i].name)) {
			*value = frag_names[i].value;
			*mask = frag_names[i].mask;
			return true;
		}
	return false;
}

/* "(namespace,type)" or the 32-bit number. */
static bool parse_packet_type(const char *s, uint8_t *out)
{
	char copy[24], *comma, *close;
	uint64_t ns, type;

	if (s[0] != '(')
		return parse_wide(s, out, 4);
	if (strlen(s) >= sizeof copy)
		return false;
	strcpy(copy, s + 1);
	comma = strchr(copy, ',');
	close = strchr(copy, ')');
	if (!comma || !close || close < comma || close[1])
		return false;
	*comma = *close = '\0';
	if (!parse_u64(copy, 0, 0xffff, &ns) || !parse_u64(comma + 1, 0, 0xffff, &type))
		return false;
	store_be32(out, (uint32_t)(ns << 16 | type));
	return true;
}

static void put_word(const struct field_info *f, union field_value *v, uint32_t word)
{
	memset(v->b, 0, f->n_bytes);
	for (size_t i = 0; i < f->n_bytes && i < 4; i++)
		v->b[f->n_bytes - 1 - i] = (uint8_t)(word >> (8 * i));
}

static uint32_t get_word(const struct field_info *f, const union field_value *v)
{
	uint32_t word = 0;

	for (size_t i = 0; i < f->n_bytes; i++)
		word = word << 8 | v->b[i];
	return word;
}

static bool parse_flag_field(const struct field_info *f, const char *const *names, unsigned n,
			     const char *text, union field_value *v, union field_value *mask)
{
	uint32_t value, bits;

	if (!parse_flags(names, n, text, &value, &bits))
		return false;
	put_word(f, v, value);
	put_word(f, mask, bits & ((1u << n) - 1));
	return true;
}

static bool parse_plain(const struct field_info *f, const char *text, union field_value *v)
{
	uint32_t port;

	switch (f->format) {
	case FMT_DECIMAL:
	case FMT_HEX:
	case FMT_FRAG:
	case FMT_TCP_FLAGS:
	case FMT_CT_STATE:
	case FMT_TUN_FLAGS:
	case FMT_VLAN_TCI:
		return parse_wide(text, v->b, f->n_bytes);
	case FMT_MAC:
		return parse_mac(text, v->b);
	case FMT_IPV4:
		return inet_pton(AF_INET, text, v->b) == 1;
	case FMT_IPV6:
		return inet_pton(AF_INET6, text, v->b) == 1;
	case FMT_OF_PORT:
		if (!of_port_parse(text, &port))
			return false;
		put_word(f, v, port);
		return true;
	case FMT_PACKET_TYPE:
		return parse_packet_type(text, v->b);
	}
	return false;
}

static bool parse_mask(const struct field_info *f, const char *text, union field_value *mask)
{
	if (f->format == FMT_IPV4)
		return parse_ip_mask(AF_INET, text, mask->b, 4);
	if (f->format == FMT_IPV6)
		return parse_ip_mask(AF_INET6, text, mask->b, 16);
	return parse_plain(f, text, mask);
}

/* Names that stand for value and mask together. */
static bool parse_symbolic(const struct field_info *f, const char *text, union field_value *v,
			   union field_value *mask)
{
	if (isdigit((unsigned char)text[0]))
		return false;
	switch (f->format) {
	case FMT_FRAG:
		return parse_frag(text, v->b, mask->b);
	case FMT_TCP_FLAGS:
		return parse_flag_field(f, tcp_flag_names, 12, text, v, mask);
	case FMT_CT_STATE:
		return parse_flag_field(f, ct_state_names, 8, text, v, mask);
	case FMT_TUN_FLAGS:
		return parse_flag_field(f, tun_flag_names, 1, text, v, mask);
	case FMT_DECIMAL:
	case FMT_HEX:
	case FMT_MAC:
	case FMT_IPV4:
	case FMT_IPV6:
	case FMT_OF_PORT:
	case FMT_VLAN_TCI:
	case FMT_PACKET_TYPE:
		break;
	}
	return false;
}

int field_parse_value(const struct field_info *f, const char *text, union field_value *v,
		      union field_value *mask, struct err *e)
{
	char copy[TEXT_MAX];
	char *slash;

	memset(v->b, 0, f->n_bytes);
	memset(mask->b, 0, f->n_bytes);
	if (!strcmp(text, "*") || !strcasecmp(text, "ANY"))
		if (f->format != FMT_OF_PORT)
			return 0;
	if (strlen(text) >= sizeof copy)
		return err_set(e, EINVAL, "%s: value is too long", f->name);
	if (parse_symbolic(f, text, v, mask))
		goto check;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = '\0';
	if (!parse_plain(f, copy, v))
		return bad_value(f, text, e);
	if (slash) {
		if (!parse_mask(f, slash, mask))
			return bad_value(f, text, e);
	} else {
		field_full_mask(f, mask);
	}
check:
	if (!field_value_fits(f, v))
		return err_set(e, EINVAL, "%s: value \"%s\" has more than %u bits", f->name, text,
			       f->key_bits);
	/* A mask may name bits that no value has, as in 0xffffffff for a field of 20 bits. */
	for (size_t i = 0; i < f->n_bytes; i++) {
		union field_value all;

		field_full_mask(f, &all);
		mask->b[i] &= all.b[i];
		v->b[i] &= mask->b[i];
	}
	return 0;
}

static bool all_bytes(const uint8_t *p, size_t n, uint8_t byte)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return false;
	return true;
}

static void put_hex(struct str *out, const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i + 1 < n && !p[i])
		i++;
	str_printf(out, i + 1 == n && !p[i] ? "%x" : "0x%x", p[i]);
	for (i++; i < n; i++)
		str_printf(out, "%02x", p[i]);
}

static void put_decimal(struct str *out, const uint8_t *p, size_t n)
{
	unsigned long long v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	str_printf(out, "%llu", v);
}

static void put_mac(struct str *out, const uint8_t *p)
{
	str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", p[0], p[1], p[2], p[3], p[4], p[5]);
}

/* Length of the prefix that the mask is, or -1 when it is none. */
static int prefix_len(const uint8_t *mask, size_t n)
{
	unsigned bits = 0;
	uint8_t want[16];

	while (bits < n * 8 && (mask[bits / 8] >> (7 - bits % 8) & 1))
		bits++;
	prefix_mask(want, n, bits);
	return memcmp(want, mask, n) ? -1 : (int)bits;
}

static void put_ip(struct str *out, int family, const uint8_t *p, const uint8_t *mask)
{
	char text[INET6_ADDRSTRLEN];
	size_t n = family == AF_INET ? 4 : 16;
	int bits;

	str_puts(out, inet_ntop(family, p, text, sizeof text));
	if (!mask || all_bytes(mask, n, 0xff))
		return;
	bits = prefix_len(mask, n);
	if (bits >= 0)
		str_printf(out, "/%d", bits);
	else
		str_printf(out, "/%s", inet_ntop(family, mask, text, sizeof text));
}

static void put_flags(struct str *out, const char *const *names, unsigned n, uint32_t value,
		      uint32_t mask, bool exact)
{
	bool first = true;

	if (exact && !value)
		str_putc(out, '0');
	for (unsigned i = 0; i < n; i++) {
		uint32_t bit = 1u << i;

		if (exact) {
			if (!(value & bit))
				continue;
			if (!first)
				str_putc(out, '|');
			str_puts(out, names[i]);
			first = false;
		} else if (mask & bit) {
			str_printf(out, "%c%s", value & bit ? '+' : '-', names[i]);
		}
	}
}

static void put_frag(struct str *out, uint8_t value, uint8_t mask)
{
	if (mask == FLOW_FRAG_LATER)
		str_puts(out, value & FLOW_FRAG_LATER ? "later" : "not_later");
	else if (mask == FLOW_FRAG_ANY)
		str_puts(out, value & FLOW_FRAG_ANY ? "yes" : "no");
	else if (value & FLOW_FRAG_ANY)
		str_puts(out, value & FLOW_FRAG_LATER ? "later" : "first");
	else
		str_puts(out, value & FLOW_FRAG_LATER ? "<error>" : "no");
}

static void put_port(struct str *out, uint32_t port)
{
	const char *name = of_port_name(port);

	if (name)
		str_puts(out, name);
	else
		str_printf(out, "%u", port);
}

static void put_integer(const struct field_info *f, const uint8_t *v, const uint8_t *mask,
			struct str *out)
{
	if (f->format == FMT_HEX)
		put_hex(out, v, f->n_bytes);
	else
		put_decimal(out, v, f->n_bytes);
	if (mask) {
		str_putc(out, '/');
		put_hex(out, mask, f->n_bytes);
	}
}

void field_format_value(const struct field_info *f, const union field_value *v,
			const union field_value *mask, struct str *out)
{
	union field_value all;
	const uint8_t *m;

	field_full_mask(f, &all);
	if (mask && all_bytes(mask->b, f->n_bytes, 0)) {
		str_puts(out, "ANY");
		return;
	}
	if (mask && !memcmp(mask->b, all.b, f->n_bytes))
		mask = NULL;
	m = mask ? mask->b : NULL;
	switch (f->format) {
	case FMT_OF_PORT:
		if (!m && f->n_bytes == 2) {
			uint16_t port = load_be16(v->b);

			put_port(out, port >= 0xff00 ? 0xffff0000u | port : port);
		} else if (!m) {
			put_port(out, get_word(f, v));
		} else {
			put_integer(f, v->b, m, out);
		}
		break;
	case FMT_DECIMAL:
	case FMT_HEX:
		put_integer(f, v->b, m, out);
		break;
	case FMT_VLAN_TCI:
		str_printf(out, "0x%04x", load_be16(v->b));
		if (m)
			str_printf(out, "/0x%04x", load_be16(m));
		break;
	case FMT_MAC:
		put_mac(out, v->b);
		if (m) {
			str_putc(out, '/');
			put_mac(out, m);
		}
		break;
	case FMT_IPV4:
		put_ip(out, AF_INET, v->b, m);
		break;
	case FMT_IPV6:
		put_ip(out, AF_INET6, v->b, m);
		break;
	case FMT_FRAG:
		put_frag(out, v->b[0], m ? m[0] : 3);
		break;
	case FMT_TCP_FLAGS:
		put_flags(out, tcp_flag_names, 12, get_word(f, v), mask ? get_word(f, mask) : 0,
			  !m);
		break;
	case FMT_CT_STATE:
		put_flags(out, ct_state_names, 8, get_word(f, v), mask ? get_word(f, mask) : 0, !m);
		break;
	case FMT_TUN_FLAGS:
		put_flags(out, tun_flag_names, 1, get_word(f, v), mask ? get_word(f, mask) : 1,
			  false);
		break;
	case FMT_PACKET_TYPE:
		str_printf(out, "(%u,", load_be16(v->b));
		if (load_be16(v->b) == 1)
			str_printf(out, "0x%x)", load_be16(v->b + 2));
		else
			str_printf(out, "%u)", load_be16(v->b + 2));
		break;
	}
}

int subfield_parse(const char *text, struct subfield *sf, struct err *e)
{
	size_t len = strcspn(text, "[");
	const struct field_info *f = field_by_name(text, len);
	char range[32], *dots, *close;
	uint64_t lo, hi;

	if (!f)
		return err_set(e, EINVAL, "unknown field \"%.*s\"", (int)SL_MIN(len, (size_t)64),
			       text);
	*sf = (struct subfield){.field = (uint16_t)f->id, .n_bits = f->n_bits};
	if (!text[len])
		return 0;
	if (strlen(text + len) >= sizeof range)
		return err_set(e, EINVAL, "%s: bad bit range", f->name);
	strcpy(range, text + len + 1);
	close = strchr(range, ']');
	if (!close || close[1])
		return err_set(e, EINVAL, "%s: bit range does not end with ']'", f->name);
	*close = '\0';
	if (close == range)
		return 0;
	dots = strstr(range, "..");
	if (dots)
		*dots = '\0';
	if (!parse_u64(range, 10, UINT16_MAX, &lo) ||
	    !parse_u64(dots ? dots + 2 : range, 10, UINT16_MAX, &hi) || hi < lo)
		return err_set(e, EINVAL, "%s: bad bit range \"[%s%s%s]\"", f->name, range,
			       dots ? ".." : "", dots ? dots + 2 : "");
	if (hi >= f->n_bits)
		return err_set(e, EINVAL, "%s: has %u bits only", f->name, f->n_bits);
	sf->ofs = (uint16_t)lo;
	sf->n_bits = (uint16_t)(hi - lo + 1);
	return 0;
}

void subfield_format(const struct subfield *sf, struct str *out)
{
	const struct field_info *f = &fields[sf->field];

	str_puts(out, field_nxm_name(f));
	if (sf->ofs == 0 && sf->n_bits == f->n_bits)
		str_puts(out, "[]");
	else if (sf->n_bits == 1)
		str_printf(out, "[%u]", sf->ofs);
	else
		str_printf(out, "[%u..%u]", sf->ofs, sf->ofs + sf->n_bits - 1);
}

void bits_format_hex(const uint8_t *p, size_t n, struct str *out)
{
	put_hex(out, p, n);
}

bool bits_parse(const char *text, uint8_t *out, size_t n)
{
	return parse_wide(text, out, n);
}
