/* SPDX-License-Identifier: BSD-3-Clause */
/* TLV_MAP_SET: which Geneve options a bridge calls tun_metadata0–63. The map is kept with the
 * bridge's configuration; here the key's room for its fields is taken and given back, as steps of
 * the tables' transaction. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/flow/tun_opt.h"
#include "datapath/server/op.h"

static const uint16_t tlv_attrs[] = {ATTR_TLV_MAP, ATTR_TLV_PLACES, 0};

struct uses { /* fields whose places somebody holds */
	size_t n;
	uint16_t field[TUN_OPT_FIELDS];
};

static const struct api_tlv_map *map_of(const struct config *c, size_t *n)
{
	size_t len = 0;
	const void *p = c ? attrs_bytes(c->attrs, ATTR_TLV_MAP, &len) : NULL;

	*n = len / sizeof(struct api_tlv_map);
	return p;
}

static void release(void *p)
{
	struct uses *u = p;

	for (size_t i = 0; i < u->n; i++)
		tun_opt_release(u->field[i]);
	free(u);
}

/* All of the map or nothing. */
static struct uses *acquire(const struct config *c, struct err *e)
{
	size_t n, n_places = 0;
	const struct api_tlv_map *map = map_of(c, &n);
	const uint8_t *places = attrs_bytes(c->attrs, ATTR_TLV_PLACES, &n_places);
	struct uses *u = xzalloc(sizeof *u);

	for (size_t i = 0; i < n; i++) {
		unsigned index = map[i].index, length = map[i].length;

		if (n_places == n ? tun_opt_acquire_at(index, length, places[i], e)
				  : tun_opt_acquire(index, length, e)) {
			release(u);
			return NULL;
		}
		u->field[u->n++] = map[i].index;
	}
	return u;
}

void op_release_tlv_map(struct txn *t, const struct config *c)
{
	size_t n;
	const struct api_tlv_map *map = map_of(c, &n);
	struct uses *u;

	if (!n)
		return;
	u = xzalloc(sizeof *u);
	for (size_t i = 0; i < n; i++)
		u->field[u->n++] = map[i].index;
	txn_step(t, NULL, release, free, u);
}

int op_stage_TLV_MAP_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	uint64_t seen = 0;
	const char *name;
	size_t len;
	int rc = op_name(op, ATTR_BRIDGE, &name, e);

	if (rc)
		return rc;
	const struct api_tlv_map *map = attrs_bytes(op->a, ATTR_TLV_MAP, &len);
	if (!map || len % sizeof *map || len / sizeof *map > TUN_OPT_FIELDS)
		return err_set(e, EINVAL, "tlv_map_set: tlv_map: %zu bytes", len);
	for (size_t i = 0; i < len / sizeof *map; i++) {
		if (map[i].index >= TUN_OPT_FIELDS || seen >> map[i].index & 1)
			return err_set(e, EINVAL, "tlv_map_set: tun_metadata%u", map[i].index);
		seen |= 1ull << map[i].index;
	}
	if (!registry_bridge(name))
		return err_set(e, ENOENT, "bridge %s: not found", name);
	struct bridge_object *b = registry_stage_bridge(name, e);
	op->base = b->o.staged;
	op->base->refs++;
	op->staged = config_merge(b->o.staged, op->a, tlv_attrs);
	op->staged->refs++;
	registry_stage_config(&b->o, op->staged);
	fx->config_changed = true;
	return 0;
}

int op_apply_TLV_MAP_SET(struct op *op, struct op_effects *fx, struct err *e)
{
	struct uses *u = acquire(op->staged, e);

	if (!u)
		return -e->code;
	txn_step(&fx->txn, NULL, free, release, u);
	op_release_tlv_map(&fx->txn, op->base);
	return 0;
}
