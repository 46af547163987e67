/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/rule_attrs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/table/flow_table.h"

int rule_attrs_match(struct attrs a, enum api_attr id, struct rule_match_buf *buf,
		     const struct minimatch **out, struct err *e)
{
	size_t len;
	const void *bytes = attrs_bytes(a, id, &len);

	memset(buf->bytes, 0, sizeof(struct minimatch));
	*out = (const struct minimatch *)(const void *)buf->bytes;
	if (!bytes)
		return 0;
	if (len > sizeof buf->bytes)
		return err_set(e, EINVAL, "%s: %zu bytes", api_attrs[id].name, len);
	memcpy(buf->bytes, bytes, len);
	if (!minimatch_is_valid(buf->bytes, len))
		return err_set(e, EINVAL, "%s: not a match", api_attrs[id].name);
	return 0;
}

int rule_attrs_filter(struct attrs a, struct rule_match_buf *buf, struct rule_filter *f,
		      struct err *e)
{
	unsigned command = (unsigned)attrs_u64(a, ATTR_COMMAND, API_MOD_DELETE);

	rule_filter_init(f);
	f->table = (uint8_t)attrs_u64(a, ATTR_TABLE, TABLE_ALL);
	f->strict = command == API_MOD_DELETE_STRICT || command == API_MOD_MODIFY_STRICT;
	f->priority = (uint16_t)attrs_u64(a, ATTR_PRIORITY, 0);
	f->hidden = attrs_u64(a, ATTR_RULE_FLAGS, 0) & RULE_HIDDEN;
	f->cookie = attrs_u64(a, ATTR_COOKIE, 0);
	f->cookie_mask = attrs_u64(a, ATTR_COOKIE_MASK, 0);
	f->out_port = (uint32_t)attrs_u64(a, ATTR_OUT_PORT, OFP_PORT_ANY);
	f->out_group = (uint32_t)attrs_u64(a, ATTR_OUT_GROUP, UINT32_MAX);
	return rule_attrs_match(a, ATTR_MATCH, buf, &f->match, e);
}

void rule_attrs_put(struct msg *m, const struct rule *r, uint64_t now_ms)
{
	const struct credit_target *c = &r->stats->credit;
	uint64_t used = SL_MAX(__atomic_load_n(&c->used_ms, __ATOMIC_RELAXED), r->created_ms);

	msg_put_u8(m, ATTR_TABLE, r->table);
	msg_put_u16(m, ATTR_PRIORITY, r->priority);
	rule_minimatch_put(r, msg_put_room(m, ATTR_MATCH, rule_minimatch_size(r)));
	msg_put_bytes(m, ATTR_ACTIONS, rule_actions(r), r->actions_len);
	msg_put_bytes(m, ATTR_BLOB, rule_blob(r), r->blob_len);
	msg_put_u64(m, ATTR_COOKIE, r->cookie);
	msg_put_u32(m, ATTR_RULE_FLAGS, r->flags);
	msg_put_u16(m, ATTR_IDLE_TIMEOUT_S, r->idle_s);
	msg_put_u16(m, ATTR_HARD_TIMEOUT_S, r->hard_s);
	msg_put_u16(m, ATTR_IMPORTANCE, r->importance);
	msg_put_u64(m, ATTR_PKTS, __atomic_load_n(&c->pkts, __ATOMIC_RELAXED));
	msg_put_u64(m, ATTR_BYTES_COUNT, __atomic_load_n(&c->bytes, __ATOMIC_RELAXED));
	msg_put_u64(m, ATTR_DURATION_MS, now_ms - r->created_ms);
	msg_put_u64(m, ATTR_IDLE_AGE_MS, now_ms > used ? now_ms - used : 0);
	msg_put_u64(m, ATTR_HARD_AGE_MS, now_ms - r->modified_ms);
}

void rule_attrs_put_table(struct msg *m, const struct bridge *b, uint8_t table)
{
	struct flow_table_config c;

	flow_table_config_get(b, table, &c);
	msg_put_u8(m, ATTR_TABLE, table);
	msg_put_str(m, ATTR_NAME, c.name);
	msg_put_u32(m, ATTR_TABLE_CONFIG, c.config);
	msg_put_u8(m, ATTR_TABLE_MISS, c.miss);
	msg_put_u32(m, ATTR_MAX_ENTRIES, c.max_entries);
	msg_put_u8(m, ATTR_EVICTION, c.eviction);
	msg_put_u8(m, ATTR_VACANCY_DOWN, c.vacancy_down);
	msg_put_u8(m, ATTR_VACANCY_UP, c.vacancy_up);
}
