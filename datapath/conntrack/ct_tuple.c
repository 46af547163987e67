/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/conntrack/ct_tuple.h"

#include "datapath/base/hash.h"

/* RFC 792, 4443: requests and what answers them. */
static const uint8_t pairs4[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}};
static const uint8_t pairs6[][2] = {{128, 129}};

/* < 0, 0, > 0, as the ends of a tuple compare. */
static int compare_ends(const struct ct_tuple *t)
{
	int d = memcmp(t->src, t->dst, sizeof t->src);

	return d ? d : (int)t->src_port - (int)t->dst_port;
}

/* Address and port of an IPv4 end. */
static inline uint64_t end4(uint64_t addr, uint64_t port)
{
	return (uint32_t)addr | port << 32;
}

static uint64_t hash6(const struct ct_tuple *t)
{
	bool turned = compare_ends(t) > 0;
	struct ct_tuple k = *t;

	if (turned)
		k = ct_tuple_reverse(t);
	k.icmp_type = 0; /* a request and its answer lie together */
	return hash_bytes(&k, sizeof k) ^ (turned ? CT_HASH_TURNED : 0);
}

uint64_t ct_tuple_hash(const struct ct_tuple *t)
{
	uint64_t a, b;
	uint32_t more;
	bool turned;

	if (SL_UNLIKELY(t->family != 4))
		return hash6(t);
	a = end4(t->w[0], t->w[4] & 0xffff);
	b = end4(t->w[2], t->w[4] >> 16 & 0xffff);
	turned = a > b;
	more = t->context;
	return hash_pair((turned ? b : a) | (uint64_t)(more & 0xffff) << 48,
			 (turned ? a : b) | (uint64_t)(more >> 16) << 48,
			 t->proto | (uint32_t)t->icmp_code << 8 | 4u << 16) ^
	       (turned ? CT_HASH_TURNED : 0);
}

uint64_t ct_tuple_hash_reverse(const struct ct_tuple *t, uint64_t hash)
{
	return compare_ends(t) ? hash ^ CT_HASH_TURNED : hash;
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
