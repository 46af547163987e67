/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/packet_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "datapath/api/drop_text.h"
#include "datapath/flow/extract.h"

/* ---- the packet ---- */

static void put_mac(struct str *out, const uint8_t m[6])
{
	str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void put_end(struct str *out, int family, const void *address, bool has_port, be16_t port)
{
	char text[INET6_ADDRSTRLEN];
	inet_ntop(family, address, text, sizeof text);
	if (!has_port)
		str_puts(out, text);
	else
		str_printf(out, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, be16_to_cpu(port));
}

static void put_tcp_flags(struct str *out, uint16_t flags)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
	const char *sep = " ";
	for (unsigned i = 0; i < SL_ARRAY_SIZE(names); i++)
		if (flags & 1u << i) {
			str_printf(out, "%s%s", sep, names[i]);
			sep = "|";
		}
}

static void put_ip(struct str *out, const struct flow_key *k, const struct flow_offsets *ofs)
{
	int family = ofs->ip_version == 4 ? AF_INET : AF_INET6;
	bool ports = ofs->l4 && (k->ip_proto == IPPROTO_TCP || k->ip_proto == IPPROTO_UDP ||
				 k->ip_proto == IPPROTO_SCTP);
	put_end(out, family, family == AF_INET ? (const void *)&k->ip_src : k->ipv6_src, ports,
		k->tp_src);
	str_puts(out, " > ");
	put_end(out, family, family == AF_INET ? (const void *)&k->ip_dst : k->ipv6_dst, ports,
		k->tp_dst);
	switch (k->ip_proto) {
	case IPPROTO_TCP:
		str_puts(out, " tcp");
		if (ofs->l4)
			put_tcp_flags(out, be16_to_cpu(k->tcp_flags));
		break;
	case IPPROTO_UDP:
		str_puts(out, " udp");
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		str_printf(out, " %s type %u code %u",
			   k->ip_proto == IPPROTO_ICMP ? "icmp" : "icmpv6", be16_to_cpu(k->tp_src),
			   be16_to_cpu(k->tp_dst));
		break;
	default: /* a protocol number, not an enum */
		str_printf(out, " proto %u", k->ip_proto);
	}
	if (k->ip_frag)
		str_puts(out, k->ip_frag & FLOW_FRAG_LATER ? " later fragment" : " first fragment");
}

static void put_arp(struct str *out, const struct flow_key *k)
{
	char from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &k->ip_src, from, sizeof from);
	inet_ntop(AF_INET, &k->ip_dst, to, sizeof to);
	if (k->ip_proto == 1)
		str_printf(out, "arp who has %s, tell %s", to, from);
	else
		str_printf(out, "arp %s is at ", from);
	if (k->ip_proto != 1)
		put_mac(out, k->arp_sha);
}

void packet_text(const void *data, uint32_t len, uint32_t wire_len, struct str *out)
{
	struct flow_offsets ofs;
	struct flow_key k;
	memset(&k, 0, sizeof k);
	if (len < 14) {
		str_printf(out, "%u bytes, no Ethernet header", wire_len);
		return;
	}
	flow_extract(data, len, wire_len, &k, &ofs);
	if (ofs.ip_version) {
		put_ip(out, &k, &ofs);
	} else if (ofs.is_arp) {
		put_arp(out, &k);
	} else {
		put_mac(out, k.eth_src);
		str_puts(out, " > ");
		put_mac(out, k.eth_dst);
		str_printf(out, " type 0x%04x", be16_to_cpu(k.eth_type));
	}
	for (unsigned i = 0; i < SL_MIN(ofs.n_vlans, 2u); i++)
		str_printf(out, ", vlan %u", be16_to_cpu(k.vlan[i].tci) & VLAN_VID_MASK);
	str_printf(out, ", %u bytes", wire_len);
}

/* ---- what became of it ---- */

static void put_reason(struct attrs a, struct str *out)
{
	const char *reason = attrs_str(a, ATTR_REASON, "");
	const struct drop_text *why = drop_text_find(reason);
	str_puts(out, reason);
	if (why->help[0])
		str_printf(out, " (%s)", why->help);
}

static void put_outputs(struct attrs object, struct str *out)
{
	const char *sep = " to ";
	ATTR_FOR_EACH (it, object)
		if (it->id == ATTR_OUTPUT && !attrs_has(attr_nest(it), ATTR_REASON)) {
			str_printf(out, "%s%s", sep, attrs_str(attr_nest(it), ATTR_PORT, ""));
			sep = ", ";
		}
	ATTR_FOR_EACH (it, object)
		if (it->id == ATTR_OUTPUT && attrs_has(attr_nest(it), ATTR_REASON)) {
			str_printf(out,
				   "; not taken by %s: ", attrs_str(attr_nest(it), ATTR_PORT, ""));
			put_reason(attr_nest(it), out);
		}
}

static void put_span(uint64_t ns, struct str *out)
{
	if (ns < 1000)
		str_printf(out, "%u ns", (unsigned)ns);
	else if (ns < 1000000)
		str_printf(out, "%.1f us", (double)ns / 1e3);
	else
		str_printf(out, "%.1f ms", (double)ns / 1e6);
}

void packet_fate(struct attrs o, struct str *out)
{
	str_puts(out, attrs_str(o, ATTR_PACKET_VERDICT, "unknown"));
	if (attrs_has(o, ATTR_REASON)) {
		str_puts(out, ": ");
		put_reason(o, out);
	}
	if (attrs_has(o, ATTR_DENIED_BY))
		str_printf(out, " by %s", attrs_str(o, ATTR_DENIED_BY, ""));
	put_outputs(o, out);
	if (attrs_has(o, ATTR_FROM_PORT) &&
	    strcmp(attrs_str(o, ATTR_FROM_PORT, ""), attrs_str(o, ATTR_PORT, "")))
		str_printf(out, "; came by %s", attrs_str(o, ATTR_FROM_PORT, ""));
	if (attrs_has(o, ATTR_BRIDGE))
		str_printf(out, "; %s table %u cookie 0x%llx", attrs_str(o, ATTR_BRIDGE, ""),
			   (unsigned)attrs_u64(o, ATTR_TABLE, 0),
			   (unsigned long long)attrs_u64(o, ATTR_COOKIE, 0));
	if (attrs_has(o, ATTR_LEVEL))
		str_printf(out, "; cache %s", attrs_str(o, ATTR_LEVEL, ""));
	if (attrs_u64(o, ATTR_RESIDENCE_NS, 0)) {
		str_puts(out, "; ");
		put_span(attrs_u64(o, ATTR_RESIDENCE_NS, 0), out);
	}
}

void packet_time(uint64_t time_ns, struct str *out)
{
	time_t s = (time_t)(time_ns / 1000000000u);
	struct tm tm;
	gmtime_r(&s, &tm);
	str_printf(out, "%02d:%02d:%02d.%09u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		   (unsigned)(time_ns % 1000000000u));
}
