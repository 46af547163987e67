/* SPDX-License-Identifier: BSD-3-Clause */
/* Walks over all connections: expiry, a little at a time, and flushing. Main thread. */
#include "datapath/conntrack/conntrack.h"
#include "datapath/conntrack/ct_expect.h"

enum {
	/* Chunks per upkeep: at one every 10 ms a million connections are seen within 5 s, for
	 * about 2 % of the main thread. */
	CHUNKS_PER_UPKEEP = 64,
	RANK_EVERY_MS = 1000,
};

static struct conn_cursor sweep;
static uint32_t ranked_ms;

void conntrack_restart(void)
{
	sweep = (struct conn_cursor){0, 0};
	ranked_ms = 0;
}

void conntrack_upkeep(uint32_t now_ms)
{
	struct ct_conn *c[CONN_CHUNK];
	unsigned n;

	for (unsigned i = 0; i < CHUNKS_PER_UPKEEP; i++) {
		if (!conn_table_next(&sweep, c, &n)) {
			sweep = (struct conn_cursor){0, 0};
			break;
		}
		for (unsigned k = 0; k < n; k++)
			if (conn_left_ms(c[k], now_ms) <= 0)
				conntrack_remove(c[k]);
	}
	conn_table_prepare();
	if (now_ms - ranked_ms >= RANK_EVERY_MS) {
		ranked_ms = now_ms;
		ct_limits_rank();
	}
}

static bool addr_fits(const uint8_t want[16], const uint8_t have[16])
{
	static const uint8_t any[16];

	return !memcmp(want, any, sizeof any) || !memcmp(want, have, sizeof any);
}

static bool tuple_fits(const struct ct_tuple *want, const struct ct_tuple *have)
{
	return (!want->family || want->family == have->family) &&
	       (!want->proto || want->proto == have->proto) && addr_fits(want->src, have->src) &&
	       addr_fits(want->dst, have->dst) &&
	       (!want->icmp_type || want->icmp_type == have->icmp_type) &&
	       (!want->icmp_code || want->icmp_code == have->icmp_code) &&
	       (!want->src_port || want->src_port == have->src_port) &&
	       (!want->dst_port || want->dst_port == have->dst_port);
}

bool conntrack_matches(const struct ct_conn *c, const struct conntrack_filter *f)
{
	uint32_t context = c->node[CONN_ORIG].tuple.context;

	if (f->context < 0 ? context > CT_ZONE_MAX : context != f->context)
		return false;
	if (f->has_mark && (c->mark ^ f->mark) & f->mark_mask)
		return false;
	if (f->has_label && ((c->label[0] ^ f->label[0]) & f->label_mask[0] ||
			     (c->label[1] ^ f->label[1]) & f->label_mask[1]))
		return false;
	return tuple_fits(&f->orig, &c->node[CONN_ORIG].tuple) &&
	       tuple_fits(&f->reply, &c->node[CONN_REPLY].tuple);
}

uint32_t conntrack_flush(const struct conntrack_filter *f)
{
	struct conn_cursor at = {0, 0};
	struct ct_conn *c[CONN_CHUNK];
	uint32_t gone = 0;
	unsigned n;

	while (conn_table_next(&at, c, &n))
		for (unsigned k = 0; k < n; k++)
			if (conntrack_matches(c[k], f)) {
				conntrack_remove(c[k]);
				gone++;
			}
	if (!f->has_mark && !f->has_label && !f->orig.proto && !f->orig.family && !f->reply.family)
		ct_expect_flush(f->context);
	return gone;
}
