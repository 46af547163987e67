/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration objects: memory, order, and the generic field access that config_fields.def drives.
 */
#include "control/state/config.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/str.h"

const struct config_field config_bridge_fields[] = {
#define BRIDGE_FIELD(member, kind, id, def)                                                        \
	{#member, offsetof(struct config_bridge, member), CONFIG_##kind, ATTR_##id, def},
#include "control/state/config_fields.def"
};
const size_t config_bridge_n_fields = SL_ARRAY_SIZE(config_bridge_fields);

const struct config_field config_port_fields[] = {
#define PORT_FIELD(member, kind, id, def)                                                          \
	{#member, offsetof(struct config_port, member), CONFIG_##kind, ATTR_##id, def},
#include "control/state/config_fields.def"
};
const size_t config_port_n_fields = SL_ARRAY_SIZE(config_port_fields);

/* ---- fields ---- */

static uint64_t number_of(const struct config_field *f, const void *object)
{
	const void *p = (const char *)object + f->offset;
	switch (f->kind) {
	case CONFIG_U8:
		return *(const uint8_t *)p;
	case CONFIG_U16:
		return *(const uint16_t *)p;
	case CONFIG_U32:
		return *(const uint32_t *)p;
	case CONFIG_U64:
		return *(const uint64_t *)p;
	case CONFIG_STR:
	case CONFIG_MAC:
	case CONFIG_BITMAP:
		break;
	}
	return 0;
}

static void set_number(const struct config_field *f, void *object, uint64_t v)
{
	void *p = (char *)object + f->offset;
	switch (f->kind) {
	case CONFIG_U8:
		*(uint8_t *)p = (uint8_t)v;
		break;
	case CONFIG_U16:
		*(uint16_t *)p = (uint16_t)v;
		break;
	case CONFIG_U32:
		*(uint32_t *)p = (uint32_t)v;
		break;
	case CONFIG_U64:
		*(uint64_t *)p = v;
		break;
	case CONFIG_STR:
	case CONFIG_MAC:
	case CONFIG_BITMAP:
		break;
	}
}

static char **string_of(const struct config_field *f, const void *object)
{
	return (char **)(void *)((char *)(uintptr_t)object + f->offset);
}

static uint8_t **bitmap_of(const struct config_field *f, const void *object)
{
	return (uint8_t **)(void *)((char *)(uintptr_t)object + f->offset);
}

static uint8_t *mac_of(const struct config_field *f, const void *object)
{
	return (uint8_t *)(uintptr_t)object + f->offset;
}

static bool bitmap_eq(const uint8_t *a, const uint8_t *b)
{
	return !a || !b ? a == b : !memcmp(a, b, CONFIG_VLAN_BITMAP_BYTES);
}

bool config_field_eq(const struct config_field *f, const void *a, const void *b)
{
	switch (f->kind) {
	case CONFIG_STR: {
		const char *x = *string_of(f, a), *y = *string_of(f, b);
		return !strcmp(x ? x : "", y ? y : "");
	}
	case CONFIG_MAC:
		return !memcmp(mac_of(f, a), mac_of(f, b), 6);
	case CONFIG_BITMAP:
		return bitmap_eq(*bitmap_of(f, a), *bitmap_of(f, b));
	case CONFIG_U8:
	case CONFIG_U16:
	case CONFIG_U32:
	case CONFIG_U64:
		break;
	}
	return number_of(f, a) == number_of(f, b);
}

void config_field_put(const struct config_field *f, const void *object, struct msg *m)
{
	switch (f->kind) {
	case CONFIG_U8:
		msg_put_u8(m, f->attr, (uint8_t)number_of(f, object));
		break;
	case CONFIG_U16:
		msg_put_u16(m, f->attr, (uint16_t)number_of(f, object));
		break;
	case CONFIG_U32:
		msg_put_u32(m, f->attr, (uint32_t)number_of(f, object));
		break;
	case CONFIG_U64:
		msg_put_u64(m, f->attr, number_of(f, object));
		break;
	case CONFIG_STR: {
		const char *s = *string_of(f, object);
		msg_put_str(m, f->attr, s ? s : "");
		break;
	}
	case CONFIG_MAC:
		msg_put_bytes(m, f->attr, mac_of(f, object), 6);
		break;
	case CONFIG_BITMAP: {
		const uint8_t *bits = *bitmap_of(f, object);
		msg_put_bytes(m, f->attr, bits ? bits : (const uint8_t *)"",
			      bits ? CONFIG_VLAN_BITMAP_BYTES : 0);
		break;
	}
	}
}

void config_field_get(const struct config_field *f, void *object, struct attrs a)
{
	size_t len;
	const void *bytes;
	switch (f->kind) {
	case CONFIG_U8:
	case CONFIG_U16:
	case CONFIG_U32:
	case CONFIG_U64:
		set_number(f, object, attrs_u64(a, f->attr, f->def));
		break;
	case CONFIG_STR:
		config_set_str(string_of(f, object), attrs_str(a, f->attr, ""));
		break;
	case CONFIG_MAC:
		bytes = attrs_bytes(a, f->attr, &len);
		memset(mac_of(f, object), 0, 6);
		if (bytes && len == 6)
			memcpy(mac_of(f, object), bytes, 6);
		break;
	case CONFIG_BITMAP: {
		uint8_t **bits = bitmap_of(f, object);
		free(*bits);
		bytes = attrs_bytes(a, f->attr, &len);
		*bits = bytes && len == CONFIG_VLAN_BITMAP_BYTES ? xmemdup(bytes, len) : NULL;
		break;
	}
	}
}

static void format_vlans(const uint8_t *bits, struct str *out)
{
	const char *sep = "";
	for (unsigned v = 0; v < 4096; v++) {
		unsigned last = v;
		if (!config_vlan_has(bits, v))
			continue;
		while (last + 1 < 4096 && config_vlan_has(bits, last + 1))
			last++;
		str_printf(out, last > v ? "%s%u-%u" : "%s%u", sep, v, last);
		sep = ",";
		v = last;
	}
}

void config_field_format(const struct config_field *f, const void *object, struct str *out)
{
	str_printf(out, "%s=", f->name);
	switch (f->kind) {
	case CONFIG_STR: {
		const char *s = *string_of(f, object);
		str_puts(out, s ? s : "");
		break;
	}
	case CONFIG_MAC: {
		const uint8_t *m = mac_of(f, object);
		str_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
			   m[5]);
		break;
	}
	case CONFIG_BITMAP:
		format_vlans(*bitmap_of(f, object), out);
		break;
	case CONFIG_U8:
	case CONFIG_U16:
	case CONFIG_U32:
	case CONFIG_U64:
		str_printf(out, "%llu", (unsigned long long)number_of(f, object));
		break;
	}
}

/* ---- objects ---- */

static void set_defaults(const struct config_field *fields, size_t n, void *object)
{
	for (size_t i = 0; i < n; i++)
		set_number(&fields[i], object, fields[i].def);
}

void config_set_str(char **s, const char *value)
{
	char *copy = value ? xstrdup(value) : NULL;
	free(*s);
	*s = copy;
}

struct config_bridge *config_add_bridge(struct config *c, const char *name)
{
	struct config_bridge *b = xzalloc(sizeof *b);
	set_defaults(config_bridge_fields, config_bridge_n_fields, b);
	b->name = xstrdup(name);
	vec_push(&c->bridges, b);
	return b;
}

struct config_port *config_add_port(struct config *c, const char *name, const char *bridge)
{
	struct config_port *p = xzalloc(sizeof *p);
	set_defaults(config_port_fields, config_port_n_fields, p);
	p->name = xstrdup(name);
	p->bridge = xstrdup(bridge);
	p->type = xstrdup("");
	vec_push(&c->ports, p);
	return p;
}

void config_add_mac(struct config *c, const char *bridge, const char *port, uint16_t vlan,
		    const uint8_t mac[6])
{
	struct config_mac m = {.bridge = xstrdup(bridge), .port = xstrdup(port), .vlan = vlan};
	memcpy(m.mac, mac, 6);
	vec_push(&c->macs, m);
}

void config_bridge_free(struct config_bridge *b)
{
	if (!b)
		return;
	free(b->name);
	free(b->flood_vlans);
	free(b);
}

void config_port_free(struct config_port *p)
{
	if (!p)
		return;
	VEC_FOR_EACH (o, &p->options) {
		free(o->key);
		free(o->value);
	}
	vec_free(&p->options);
	free(p->name);
	free(p->bridge);
	free(p->type);
	free(p->trunks);
	free(p->cvlans);
	free(p->rxq_affinity);
	free(p);
}

void config_free(struct config *c)
{
	VEC_FOR_EACH (b, &c->bridges)
		config_bridge_free(*b);
	VEC_FOR_EACH (p, &c->ports)
		config_port_free(*p);
	VEC_FOR_EACH (m, &c->macs) {
		free(m->bridge);
		free(m->port);
	}
	vec_free(&c->bridges);
	vec_free(&c->ports);
	vec_free(&c->macs);
	vec_free(&c->zones);
	vec_free(&c->cores);
	memset(c, 0, sizeof *c);
}

void config_port_set_option(struct config_port *p, const char *key, const char *value)
{
	VEC_FOR_EACH (o, &p->options)
		if (!strcmp(o->key, key)) {
			config_set_str(&o->value, value);
			return;
		}
	vec_push(&p->options, (struct config_option){.key = xstrdup(key), .value = xstrdup(value)});
}

const char *config_port_option(const struct config_port *p, const char *key)
{
	VEC_FOR_EACH (o, &p->options)
		if (!strcmp(o->key, key))
			return o->value;
	return NULL;
}

static int compare_bridges(const void *a, const void *b)
{
	return strcmp((*(struct config_bridge *const *)a)->name,
		      (*(struct config_bridge *const *)b)->name);
}

static int compare_ports(const void *a, const void *b)
{
	return strcmp((*(struct config_port *const *)a)->name,
		      (*(struct config_port *const *)b)->name);
}

static int compare_options(const void *a, const void *b)
{
	return strcmp(((const struct config_option *)a)->key,
		      ((const struct config_option *)b)->key);
}

static int compare_macs(const void *va, const void *vb)
{
	const struct config_mac *a = va, *b = vb;
	int r = strcmp(a->bridge, b->bridge);
	if (!r)
		r = (int)a->vlan - (int)b->vlan;
	return r ? r : memcmp(a->mac, b->mac, 6);
}

static int compare_zones(const void *a, const void *b)
{
	return (int)((const struct config_zone *)a)->zone -
	       (int)((const struct config_zone *)b)->zone;
}

static int compare_cores(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

void config_sort(struct config *c)
{
	if (c->bridges.len)
		qsort(c->bridges.at, c->bridges.len, sizeof *c->bridges.at, compare_bridges);
	if (c->ports.len)
		qsort(c->ports.at, c->ports.len, sizeof *c->ports.at, compare_ports);
	if (c->macs.len)
		qsort(c->macs.at, c->macs.len, sizeof *c->macs.at, compare_macs);
	if (c->zones.len)
		qsort(c->zones.at, c->zones.len, sizeof *c->zones.at, compare_zones);
	if (c->cores.len)
		qsort(c->cores.at, c->cores.len, sizeof *c->cores.at, compare_cores);
	VEC_FOR_EACH (p, &c->ports)
		if ((*p)->options.len)
			qsort((*p)->options.at, (*p)->options.len, sizeof *(*p)->options.at,
			      compare_options);
}

struct config_bridge *config_find_bridge(const struct config *c, const char *name)
{
	struct config_bridge key = {.name = (char *)(uintptr_t)name}, *k = &key, **hit;
	if (!c->bridges.len)
		return NULL;
	hit = bsearch(&k, c->bridges.at, c->bridges.len, sizeof *c->bridges.at, compare_bridges);
	return hit ? *hit : NULL;
}

struct config_port *config_find_port(const struct config *c, const char *name)
{
	struct config_port key = {.name = (char *)(uintptr_t)name}, *k = &key, **hit;
	if (!c->ports.len)
		return NULL;
	hit = bsearch(&k, c->ports.at, c->ports.len, sizeof *c->ports.at, compare_ports);
	return hit ? *hit : NULL;
}

static uint8_t *bitmap_copy(const uint8_t *b)
{
	return b ? xmemdup(b, CONFIG_VLAN_BITMAP_BYTES) : NULL;
}

bool config_port_options_eq(const struct config_port *a, const struct config_port *b)
{
	if (a->options.len != b->options.len)
		return false;
	for (size_t i = 0; i < a->options.len; i++)
		if (strcmp(a->options.at[i].key, b->options.at[i].key) ||
		    strcmp(a->options.at[i].value, b->options.at[i].value))
			return false;
	return true;
}

bool config_port_eq(const struct config_port *a, const struct config_port *b)
{
	for (size_t i = 0; i < config_port_n_fields; i++)
		if (!config_field_eq(&config_port_fields[i], a, b))
			return false;
	return config_port_options_eq(a, b);
}

struct config_port *config_port_copy(const struct config_port *p)
{
	struct config_port *n = xmemdup(p, sizeof *p);
	n->name = xstrdup(p->name);
	n->bridge = xstrdup(p->bridge);
	n->type = xstrdup(p->type);
	n->rxq_affinity = p->rxq_affinity ? xstrdup(p->rxq_affinity) : NULL;
	n->trunks = bitmap_copy(p->trunks);
	n->cvlans = bitmap_copy(p->cvlans);
	n->options.at = NULL;
	n->options.len = n->options.cap = 0;
	VEC_FOR_EACH (o, &p->options)
		vec_push(&n->options, (struct config_option){.key = xstrdup(o->key),
							     .value = xstrdup(o->value)});
	return n;
}

void config_copy(struct config *to, const struct config *from)
{
	memset(to, 0, sizeof *to);
	to->has_sleep_max = from->has_sleep_max;
	to->sleep_max_us = from->sleep_max_us;
	to->generation = from->generation;
	vec_append(&to->cores, from->cores.at, from->cores.len);
	vec_append(&to->zones, from->zones.at, from->zones.len);
	VEC_FOR_EACH (b, &from->bridges) {
		struct config_bridge *n = xmemdup(*b, sizeof **b);
		n->name = xstrdup((*b)->name);
		n->flood_vlans = bitmap_copy((*b)->flood_vlans);
		vec_push(&to->bridges, n);
	}
	VEC_FOR_EACH (p, &from->ports)
		vec_push(&to->ports, config_port_copy(*p));
	VEC_FOR_EACH (m, &from->macs)
		config_add_mac(to, m->bridge, m->port, m->vlan, m->mac);
}

bool config_remove_port(struct config *c, const char *name)
{
	for (size_t i = 0; i < c->ports.len; i++)
		if (!strcmp(c->ports.at[i]->name, name)) {
			config_port_free(c->ports.at[i]);
			vec_remove(&c->ports, i);
			return true;
		}
	return false;
}

/* ---- dumps ---- */

struct config_bridge *config_add_bridge_dump(struct config *c, struct attrs a)
{
	const char *name = attrs_str(a, ATTR_NAME, attrs_str(a, ATTR_BRIDGE, NULL));
	struct config_bridge *b;
	if (!name)
		return NULL;
	b = config_add_bridge(c, name);
	for (size_t i = 0; i < config_bridge_n_fields; i++)
		config_field_get(&config_bridge_fields[i], b, a);
	return b;
}

struct config_port *config_add_port_dump(struct config *c, struct attrs a)
{
	const char *name = attrs_str(a, ATTR_NAME, attrs_str(a, ATTR_PORT, NULL));
	struct config_port *p;
	if (!name)
		return NULL;
	p = config_add_port(c, name, "");
	for (size_t i = 0; i < config_port_n_fields; i++)
		config_field_get(&config_port_fields[i], p, a);
	ATTR_FOR_EACH (it, a) {
		if (it->id != ATTR_OPTION)
			continue;
		const char *key = attrs_str(attr_nest(it), ATTR_KEY, NULL);
		if (key)
			config_port_set_option(p, key, attrs_str(attr_nest(it), ATTR_VALUE, ""));
	}
	return p;
}

void config_add_mac_dump(struct config *c, struct attrs a)
{
	size_t len;
	const uint8_t *mac = attrs_bytes(a, ATTR_MAC, &len);
	const char *bridge = attrs_str(a, ATTR_BRIDGE, NULL), *port = attrs_str(a, ATTR_PORT, NULL);
	if (attrs_u64(a, ATTR_STATIC, 0) && bridge && port && mac && len == 6)
		config_add_mac(c, bridge, port, (uint16_t)attrs_u64(a, ATTR_VLAN, 0), mac);
}
