/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/daemon/ct_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"

static const char *const tcp_states[] = {"CLOSED",      "LISTEN",     "SYN_SENT",   "SYN_RECV",
					 "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING",
					 "LAST_ACK",    "FIN_WAIT_2", "TIME_WAIT"};

const char *ct_text_tcp_state(unsigned state)
{
	return state < SL_ARRAY_SIZE(tcp_states) ? tcp_states[state] : "UNKNOWN";
}

void ct_text_put_addr(struct str *out, struct attrs t, enum api_attr id)
{
	char text[INET6_ADDRSTRLEN] = "";
	size_t len;
	const void *addr = attrs_bytes(t, id, &len);

	if (addr && (len == 4 || len == 16))
		inet_ntop(len == 4 ? AF_INET : AF_INET6, addr, text, sizeof text);
	str_puts(out, text);
}

static void put_tuple(struct str *out, const char *name, const struct attr *nest)
{
	struct attrs t;

	if (!nest)
		return;
	t = attr_nest(nest);
	str_printf(out, ",%s=(src=", name);
	ct_text_put_addr(out, t, ATTR_CT_SRC);
	str_puts(out, ",dst=");
	ct_text_put_addr(out, t, ATTR_CT_DST);
	if (attrs_has(t, ATTR_CT_ICMP_ID))
		str_printf(out, ",id=%u,type=%u,code=%u)",
			   (unsigned)attrs_u64(t, ATTR_CT_ICMP_ID, 0),
			   (unsigned)attrs_u64(t, ATTR_CT_ICMP_TYPE, 0),
			   (unsigned)attrs_u64(t, ATTR_CT_ICMP_CODE, 0));
	else
		str_printf(out, ",sport=%u,dport=%u)", (unsigned)attrs_u64(t, ATTR_CT_SPORT, 0),
			   (unsigned)attrs_u64(t, ATTR_CT_DPORT, 0));
}

static void put_proto(struct str *out, unsigned proto)
{
	switch (proto) {
	case IPPROTO_ICMP:
		str_puts(out, "icmp");
		break;
	case IPPROTO_ICMPV6:
		str_puts(out, "icmpv6");
		break;
	case IPPROTO_TCP:
		str_puts(out, "tcp");
		break;
	case IPPROTO_UDP:
		str_puts(out, "udp");
		break;
	case IPPROTO_SCTP:
		str_puts(out, "sctp");
		break;
	default:
		str_printf(out, "%u", proto);
		break;
	}
}

static void put_label(struct str *out, struct attrs o)
{
	size_t len, i = 0;
	const uint8_t *b = attrs_bytes(o, ATTR_CT_LABEL, &len);

	if (!b || len != 16)
		return;
	while (i < 15 && !b[i])
		i++;
	str_printf(out, ",labels=0x%x", b[i]);
	while (++i < 16)
		str_printf(out, "%02x", b[i]);
}

static void put_protoinfo(struct str *out, struct attrs o, unsigned flags)
{
	unsigned a = (unsigned)attrs_u64(o, ATTR_CT_TCP_ORIG, 0);
	unsigned b = (unsigned)attrs_u64(o, ATTR_CT_TCP_REPLY, 0);

	if (!attrs_has(o, ATTR_CT_TCP_ORIG))
		return;
	if (flags & CT_TEXT_VERBOSE)
		str_printf(out,
			   ",protoinfo=(state_orig=%s,state_reply=%s,flags_orig=0,flags_reply=0)",
			   ct_text_tcp_state(a), ct_text_tcp_state(b));
	else
		str_printf(out, ",protoinfo=(state=%s)", ct_text_tcp_state(SL_MAX(a, b)));
}

void ct_text_put(struct str *out, struct attrs o, unsigned flags)
{
	uint64_t zone = attrs_u64(o, ATTR_CT_ZONE, 0), mark = attrs_u64(o, ATTR_CT_MARK, 0);

	put_proto(out, (unsigned)attrs_u64(o, ATTR_CT_PROTO, 0));
	put_tuple(out, "orig", attrs_find(o, ATTR_CT_ORIG));
	put_tuple(out, "reply", attrs_find(o, ATTR_CT_REPLY));
	if (flags & CT_TEXT_VERBOSE)
		str_puts(out, ",id=0");
	if (zone)
		str_printf(out, ",zone=%u", (unsigned)zone);
	if (flags & CT_TEXT_STATS)
		str_printf(out, ",timeout=%u", (unsigned)attrs_u64(o, ATTR_CT_TIMEOUT_S, 0));
	if (flags & CT_TEXT_VERBOSE)
		str_puts(out, ",status=0");
	if (mark)
		str_printf(out, ",mark=%u", (unsigned)mark);
	put_label(out, o);
	put_protoinfo(out, o, flags);
	if (attrs_has(o, ATTR_CT_HELPER))
		str_printf(out, ",helper=%s", attrs_str(o, ATTR_CT_HELPER, ""));
	str_putc(out, '\n');
}

/* ---- tuples as arguments ---- */
static const struct {
	const char *name;
	enum api_attr id;
	uint8_t af; /* address family; 0: a number */
	uint32_t max;
} tuple_fields[] = {
	{"ct_nw_src", ATTR_CT_SRC, AF_INET, 0},
	{"ct_nw_dst", ATTR_CT_DST, AF_INET, 0},
	{"ct_ipv6_src", ATTR_CT_SRC, AF_INET6, 0},
	{"ct_ipv6_dst", ATTR_CT_DST, AF_INET6, 0},
	{"ct_tp_src", ATTR_CT_SPORT, 0, UINT16_MAX},
	{"ct_tp_dst", ATTR_CT_DPORT, 0, UINT16_MAX},
	{"icmp_id", ATTR_CT_ICMP_ID, 0, UINT16_MAX},
	{"icmp_type", ATTR_CT_ICMP_TYPE, 0, UINT8_MAX},
	{"icmp_code", ATTR_CT_ICMP_CODE, 0, UINT8_MAX},
};

static int put_field(struct msg *m, const char *key, const char *value, struct err *e)
{
	uint8_t addr[16];
	uint64_t n;

	for (size_t i = 0; i < SL_ARRAY_SIZE(tuple_fields); i++) {
		if (strcmp(key, tuple_fields[i].name))
			continue;
		if (tuple_fields[i].af) {
			if (inet_pton(tuple_fields[i].af, value, addr) != 1)
				break;
			msg_put_bytes(m, tuple_fields[i].id, addr,
				      tuple_fields[i].af == AF_INET ? 4 : 16);
			return 0;
		}
		if (!parse_u64(value, 0, tuple_fields[i].max, &n))
			break;
		if (tuple_fields[i].max == UINT8_MAX)
			msg_put_u8(m, tuple_fields[i].id, (uint8_t)n);
		else
			msg_put_u16(m, tuple_fields[i].id, (uint16_t)n);
		return 0;
	}
	return err_set(e, EINVAL, "invalid conntrack tuple field: %s", key);
}

int ct_text_put_tuple(struct msg *m, enum api_attr id, const char *text, struct err *e)
{
	char *copy = xstrdup(text), *rest = copy, *word;
	uint64_t proto = 0;
	size_t at = msg_nest_begin(m, id);
	int rc = 0;

	while (!rc && (word = strsep(&rest, ","))) {
		char *eq = strchr(word, '=');

		if (!eq) {
			rc = err_set(e, EINVAL, "invalid conntrack tuple field: %s", word);
			break;
		}
		*eq = '\0';
		if (strcmp(word, "ct_nw_proto"))
			rc = put_field(m, word, eq + 1, e);
		else if (!parse_u64(eq + 1, 0, UINT8_MAX, &proto))
			rc = err_set(e, EINVAL, "invalid conntrack tuple field: %s", word);
	}
	msg_nest_end(m, at);
	if (!rc && proto)
		msg_put_u8(m, ATTR_CT_PROTO, (uint8_t)proto);
	free(copy);
	return rc;
}
