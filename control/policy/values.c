/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of the language and back: services, addresses, times, rates. Pure. */
#include "control/policy/values.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "datapath/base/str.h"

static const struct {
	const char *name;
	uint8_t proto;
	bool ports, types;
} protocols[] = {
	{"tcp", POLICY_PROTO_TCP, true, false},       {"udp", POLICY_PROTO_UDP, true, false},
	{"sctp", POLICY_PROTO_SCTP, true, false},     {"icmp", POLICY_PROTO_ICMP, false, true},
	{"icmpv6", POLICY_PROTO_ICMPV6, false, true}, {"any", POLICY_PROTO_ANY, false, false},
};

const char *policy_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(protocols); i++)
		if (protocols[i].proto == proto)
			return protocols[i].name;
	return NULL;
}

bool value_proto(const char *word, uint8_t *proto)
{
	uint64_t n;
	for (size_t i = 0; i < SL_ARRAY_SIZE(protocols); i++)
		if (!strcasecmp(protocols[i].name, word)) {
			*proto = protocols[i].proto;
			return true;
		}
	if (!parse_u64(word, 10, 254, &n))
		return false;
	*proto = (uint8_t)n;
	return true;
}

bool value_has_ports(uint8_t proto)
{
	return proto == POLICY_PROTO_TCP || proto == POLICY_PROTO_UDP || proto == POLICY_PROTO_SCTP;
}

bool value_has_types(uint8_t proto)
{
	return proto == POLICY_PROTO_ICMP || proto == POLICY_PROTO_ICMPV6;
}

static void put(struct policy_services *out, uint8_t proto, unsigned first, unsigned last)
{
	vec_push(&out->list, (struct policy_service){.proto = proto,
						     .first = (uint16_t)first,
						     .last = (uint16_t)last});
}

/* "443" or "8000-8100"; 1 to 65535. */
bool value_port_range(const char *word, uint16_t *first, uint16_t *last)
{
	const char *dash = strchr(word, '-');
	char low[8];
	uint64_t a, b;
	if (!dash) {
		if (!parse_u64(word, 10, UINT16_MAX, &a) || !a)
			return false;
		*first = *last = (uint16_t)a;
		return true;
	}
	if ((size_t)(dash - word) >= sizeof low)
		return false;
	snprintf(low, sizeof low, "%.*s", (int)(dash - word), word);
	if (!parse_u64(low, 10, UINT16_MAX, &a) || !parse_u64(dash + 1, 10, UINT16_MAX, &b) || !a ||
	    b < a)
		return false;
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return true;
}

static const char *service_with(const char *rest, uint8_t proto, struct policy_services *out)
{
	uint16_t first, last;
	uint64_t type, code;
	const char *slash = strchr(rest, '/');
	char text[8];
	if (value_has_ports(proto)) {
		if (!value_port_range(rest, &first, &last))
			return "a port is 1 to 65535, a range FIRST-LAST";
		put(out, proto, first, last);
		return NULL;
	}
	if (!value_has_types(proto))
		return "only tcp, udp and sctp have ports, only icmp and icmpv6 have types";
	snprintf(text, sizeof text, "%.*s", slash ? (int)SL_MIN(slash - rest, 7) : 7, rest);
	if (!parse_u64(text, 10, 255, &type) || (slash && !parse_u64(slash + 1, 10, 255, &code)))
		return "a type is 0 to 255, and so is a code: icmp/TYPE/CODE";
	if (slash)
		put(out, proto, (unsigned)(type << 8 | code), (unsigned)(type << 8 | code));
	else
		put(out, proto, (unsigned)(type << 8), (unsigned)(type << 8 | 0xff));
	return NULL;
}

const char *policy_parse_service(const char *word, struct policy_services *out)
{
	const char *slash = strchr(word, '/');
	char name[16];
	uint8_t proto;
	uint64_t number;
	if (!strcasecmp(word, "ping")) {
		put(out, POLICY_PROTO_ICMP, 8 << 8, 8 << 8 | 0xff);
		put(out, POLICY_PROTO_ICMPV6, 128 << 8, 128 << 8 | 0xff);
		return NULL;
	}
	if (!strncasecmp(word, "proto/", 6)) {
		if (!parse_u64(word + 6, 10, 254, &number))
			return "a protocol's number is 0 to 254";
		put(out, (uint8_t)number, 0, UINT16_MAX);
		return NULL;
	}
	if (slash && (size_t)(slash - word) >= sizeof name)
		return "unknown protocol";
	snprintf(name, sizeof name, "%.*s", slash ? (int)(slash - word) : 15, word);
	if (parse_u64(name, 10, UINT64_MAX, &number) || !value_proto(name, &proto))
		return "tcp/443, udp/53, tcp/8000-8100, icmp/8, ping, proto/47 are possible";
	if (slash)
		return service_with(slash + 1, proto, out);
	put(out, proto, 0, UINT16_MAX);
	return NULL;
}

static void format_types(const struct policy_service *s, struct str *out)
{
	if (s->first >> 8 == s->last >> 8 && s->first == s->last)
		str_printf(out, "/%u/%u", s->first >> 8, s->first & 0xff);
	else if (s->first >> 8 == s->last >> 8 && !(s->first & 0xff) && (s->last & 0xff) == 0xff)
		str_printf(out, "/%u", s->first >> 8);
	else
		str_printf(out, "/%u/%u-%u/%u", s->first >> 8, s->first & 0xff, s->last >> 8,
			   s->last & 0xff);
}

void policy_format_service(const struct policy_service *s, struct str *out)
{
	const char *name = policy_proto_name(s->proto);
	if (name)
		str_puts(out, name);
	else
		str_printf(out, "proto/%u", s->proto);
	if (s->first <= 1 && s->last == UINT16_MAX)
		return;
	if (value_has_types(s->proto))
		format_types(s, out);
	else if (s->first == s->last)
		str_printf(out, "/%u", s->first);
	else
		str_printf(out, "/%u-%u", s->first, s->last);
}

/* ---- addresses ---- */

static void clear_host_bits(struct policy_prefix *p)
{
	for (unsigned i = p->len; i < (p->family == 4 ? 32u : 128u); i++)
		p->addr[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
}

const char *policy_parse_prefix(const char *word, bool strict, struct policy_prefix *out)
{
	const char *slash = strchr(word, '/');
	char addr[64];
	uint64_t len;
	struct policy_prefix p = {0}, masked;
	if ((slash ? (size_t)(slash - word) : strlen(word)) >= sizeof addr)
		return "not an address";
	snprintf(addr, sizeof addr, "%.*s", slash ? (int)(slash - word) : 63, word);
	if (inet_pton(AF_INET, addr, p.addr) == 1)
		p.family = 4;
	else if (inet_pton(AF_INET6, addr, p.addr) == 1)
		p.family = 6;
	else
		return "not an address";
	len = p.family == 4 ? 32 : 128;
	if (slash && !parse_u64(slash + 1, 10, len, &len))
		return p.family == 4 ? "a prefix is 0 to 32 bits long"
				     : "a prefix is 0 to 128 bits long";
	p.len = (uint8_t)len;
	masked = p;
	clear_host_bits(&masked);
	if (strict && memcmp(&masked, &p, sizeof p))
		return "bits behind the prefix must be zero";
	*out = masked;
	return NULL;
}

void policy_format_prefix(const struct policy_prefix *p, struct str *out)
{
	char text[INET6_ADDRSTRLEN] = "";
	inet_ntop(p->family == 4 ? AF_INET : AF_INET6, p->addr, text, sizeof text);
	str_puts(out, text);
	if (p->len != (p->family == 4 ? 32 : 128))
		str_printf(out, "/%u", p->len);
}

bool policy_prefix_covers(const struct policy_prefix *a, uint8_t family, const uint8_t addr[16])
{
	unsigned bytes = a->len / 8, bits = a->len % 8;
	if (a->family != family || memcmp(a->addr, addr, bytes))
		return false;
	return !bits || !((a->addr[bytes] ^ addr[bytes]) >> (8 - bits));
}

bool policy_prefixes_match(const struct policy_prefix *list, size_t n, uint8_t family,
			   const uint8_t addr[16])
{
	const struct policy_prefix *best = NULL;
	for (size_t i = 0; i < n; i++)
		if (policy_prefix_covers(&list[i], family, addr) &&
		    (!best || list[i].len > best->len ||
		     (list[i].len == best->len && list[i].except)))
			best = &list[i];
	return best && !best->except;
}

bool value_mac(const char *word, struct policy_mac *out)
{
	unsigned b[6];
	int end = 0;
	if (sscanf(word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    end != 17 || word[17])
		return false;
	for (int i = 0; i < 6; i++)
		out->byte[i] = (uint8_t)b[i];
	return true;
}

/* ---- numbers with units ---- */

struct unit {
	const char *name;
	uint64_t factor;
};

/* "10k", "1.5g" are not numbers here: whole ones with a unit of the list, "" included if it is. */
static bool with_unit(const char *word, const struct unit *units, size_t n, uint64_t max,
		      uint64_t *out)
{
	size_t digits = strspn(word, "0123456789");
	char number[24];
	uint64_t v;
	if (!digits || digits >= sizeof number)
		return false;
	snprintf(number, sizeof number, "%.*s", (int)digits, word);
	word += digits;
	word += *word == ' ';
	for (size_t i = 0; i < n; i++)
		if (!strcasecmp(units[i].name, word)) {
			if (!parse_u64(number, 10, max / units[i].factor, &v))
				return false;
			*out = v * units[i].factor;
			return true;
		}
	return false;
}

bool policy_parse_duration(const char *word, uint64_t *ms)
{
	static const struct unit units[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	return with_unit(word, units, SL_ARRAY_SIZE(units), 366ull * 86400000, ms);
}

bool value_rate(const char *word, uint64_t *kbps)
{
	static const struct unit units[] = {
		{"kbit", 1},   {"mbit", 1000},   {"gbit", 1000000},
		{"kbit/s", 1}, {"mbit/s", 1000}, {"gbit/s", 1000000},
	};
	return with_unit(word, units, SL_ARRAY_SIZE(units), 1000000000, kbps);
}

bool value_per_s(const char *word, uint64_t *n)
{
	static const struct unit units[] = {{"", 1},       {"/s", 1},      {"k", 1000},
					    {"k/s", 1000}, {"m", 1000000}, {"m/s", 1000000}};
	return with_unit(word, units, SL_ARRAY_SIZE(units), UINT32_MAX, n);
}

/* ---- times ---- */

bool policy_parse_time(const char *word, uint64_t *ms)
{
	struct tm tm = {0};
	const char *rest = strptime(word, "%Y-%m-%dT%H:%M:%S", &tm);
	int hours, minutes, day, end = 0;
	int64_t offset = 0, t;
	unsigned milli = 0;
	if (!rest || tm.tm_year < 70 || tm.tm_year > 400)
		return false;
	if (*rest == '.') {
		if (sscanf(rest, ".%3u%n", &milli, &end) != 1 || end != 4)
			return false;
		rest += end;
	}
	if (*rest == '+' || *rest == '-') {
		if (sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &end) != 2 || end != 5 ||
		    rest[6] || hours < 0 || minutes < 0)
			return false;
		if (hours > 23 || minutes > 59)
			return false;
		offset = (hours * 60 + minutes) * 60 * (*rest == '-' ? -1 : 1);
	} else if (strcmp(rest, "Z")) {
		return false;
	}
	day = tm.tm_mday;
	t = (int64_t)timegm(&tm) - offset;
	if (t <= 0 || tm.tm_mday != day) /* the 30th of February became another day */
		return false;
	*ms = (uint64_t)t * 1000 + milli;
	return true;
}

void policy_format_time(uint64_t ms, struct str *out)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	char text[40];
	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	str_puts(out, text);
	if (ms % 1000)
		str_printf(out, ".%03u", (unsigned)(ms % 1000));
	str_putc(out, 'Z');
}
