/* SPDX-License-Identifier: BSD-3-Clause */
/* Knob values: parsing, ranges. */
#include "control/state/knobs.h"

#include <stdlib.h>
#include <string.h>

const struct knob knobs[KNOB_N] = {
#define KNOB(id, table, key, kind, unit, min, max, def, when, doc)                                 \
	{table, key, KNOB_##kind, unit, min, max, def, KNOB_##when, doc},
#include "control/state/knobs.def"
#undef KNOB
};

const struct knob *knob_find(const char *table, const char *key)
{
	for (size_t i = 0; i < KNOB_N; i++)
		if (!strcmp(knobs[i].table, table) && !strcmp(knobs[i].key, key))
			return &knobs[i];
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool knob_parse_mac(const char *s, uint8_t mac[6])
{
	uint8_t out[6];
	for (int i = 0; i < 6; i++) {
		int hi = hex_digit(s[0]), lo = hi < 0 ? -1 : hex_digit(s[1]);
		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
		s += 2;
		if (i < 5 && *s == ':')
			s++;
	}
	if (*s)
		return false;
	memcpy(mac, out, 6);
	return true;
}

int knob_parse_mask(const char *s, uint16_t *cores, int max)
{
	size_t len;
	int n = 0;
	if (s[0] == '0' && (s[1] | 0x20) == 'x')
		s += 2;
	len = strlen(s);
	if (!len || len > 1024)
		return -1;
	for (size_t i = 0; i < len; i++) {
		int digit = hex_digit(s[len - 1 - i]);
		if (digit < 0)
			return -1;
		for (int bit = 0; bit < 4; bit++)
			if (digit & 1 << bit) {
				if (n == max)
					return -1;
				cores[n++] = (uint16_t)(i * 4 + (size_t)bit);
			}
	}
	return n;
}

static bool parse_int(const struct knob *k, const char *s, int64_t *out)
{
	uint64_t v;
	if (!parse_u64(s, 10, INT64_MAX, &v) || (int64_t)v < k->min || (int64_t)v > k->max)
		return false;
	*out = (int64_t)v;
	return true;
}

static bool parse_bool(const char *s, int64_t *out)
{
	*out = !strcmp(s, "true");
	return *out || !strcmp(s, "false");
}

bool knob_check(const struct knob *k, const char *value, struct str *why)
{
	uint16_t cores[1024];
	uint8_t mac[6];
	int64_t v;
	switch (k->kind) {
	case KNOB_INT:
		if (parse_int(k, value, &v))
			return true;
		str_printf(why, "\"%s\" is not a number from %lld to %lld%s%s", value,
			   (long long)k->min, (long long)k->max, k->unit[0] ? " " : "", k->unit);
		return false;
	case KNOB_BOOL:
		if (parse_bool(value, &v))
			return true;
		str_printf(why, "\"%s\" is neither true nor false", value);
		return false;
	case KNOB_MASK:
		if (knob_parse_mask(value, cores, SL_ARRAY_SIZE(cores)) >= 0)
			return true;
		str_printf(why, "\"%s\" is not a hexadecimal mask", value);
		return false;
	case KNOB_MAC:
		if (knob_parse_mac(value, mac))
			return true;
		str_printf(why, "\"%s\" is not a hardware address", value);
		return false;
	case KNOB_STRING:
		return true;
	}
	return false;
}

static bool parse_number(const struct knob *k, const char *s, int64_t *out)
{
	return k->kind == KNOB_BOOL ? parse_bool(s, out) : parse_int(k, s, out);
}

int64_t knob_int(enum knob_id id, const char *value)
{
	const struct knob *k = &knobs[id];
	int64_t v = 0;
	if (value && parse_number(k, value, &v))
		return v;
	parse_number(k, k->def, &v);
	return v;
}
