/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_tuple.h"

#include "datapath/base/hash.h"

/* RFC 792, 4443: requests and what answers them. */
static const uint8_t pairs4[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}};
static const uint8_t pairs6[][2] = {{128, 129}};

uint64_t ct_tuple_hash(const struct ct_tuple *t)
{
	uint64_t w[3];

	if (t->family != 4)
		return hash_bytes(t, sizeof *t);
	w[0] = t->w[0] | t->w[2] << 32;
	w[1] = t->w[4];
	w[2] = t->w[5];
	return hash_bytes(w, sizeof w);
}

static int pair_of(uint8_t family, uint8_t type, unsigned side)
{
	const uint8_t(*p)[2] = family == 4 ? pairs4 : pairs6;
	unsigned n = family == 4 ? SL_ARRAY_SIZE(pairs4) : SL_ARRAY_SIZE(pairs6);

	for (unsigned i = 0; i < n; i++)
		if (p[i][side] == type)
			return p[i][!side];
	return -1;
}

uint8_t ct_icmp_reply_type(uint8_t family, uint8_t type)
{
	int other = pair_of(family, type, 0);

	if (other < 0)
		other = pair_of(family, type, 1);
	return other < 0 ? type : (uint8_t)other;
}

bool ct_icmp_is_request(uint8_t family, uint8_t type)
{
	return pair_of(family, type, 0) >= 0;
}

struct ct_tuple ct_tuple_reverse(const struct ct_tuple *t)
{
	struct ct_tuple r = *t;

	memcpy(r.src, t->dst, sizeof r.src);
	memcpy(r.dst, t->src, sizeof r.dst);
	r.src_port = t->dst_port;
	r.dst_port = t->src_port;
	if (t->proto == (t->family == 4 ? 1 : 58))
		r.icmp_type = ct_icmp_reply_type(t->family, t->icmp_type);
	return r;
}
