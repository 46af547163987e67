/* SPDX-License-Identifier: BSD-3-Clause */
/* The other_config keys that are understood (knobs.def): reading with check, and documentation.
 * Pure. */
#pragma once
#include "datapath/base/str.h"
#include "datapath/base/util.h"

enum knob_id {
#define KNOB(id, ...) KNOB_##id,
#include "control/state/knobs.def"
#undef KNOB
	KNOB_N
};
enum knob_kind { KNOB_INT, KNOB_BOOL, KNOB_STRING, KNOB_MASK, KNOB_MAC };
enum knob_when { KNOB_LIVE, KNOB_RESTART, KNOB_INERT };

struct knob {
	const char *table, *key;
	enum knob_kind kind;
	const char *unit;
	int64_t min, max;
	const char *def; /* "" : none */
	enum knob_when when;
	const char *doc;
};
extern const struct knob knobs[KNOB_N];

const struct knob *knob_find(const char *table, const char *key); /* NULL: unknown */
/* Is `value` allowed? If not, `why` says it (no key in it). */
bool knob_check(const struct knob *k, const char *value, struct str *why);
/* The value as a number, or the default when `value` is NULL or not allowed. BOOL: 0, 1. */
int64_t knob_int(enum knob_id id, const char *value);
/* 12 hex digits with or without colons. */
bool knob_parse_mac(const char *s, uint8_t mac[6]);
/* Bits of a hexadecimal mask of any length ("0x" allowed), as core numbers into `cores`; returns
 * how many, -1 when it is no mask. */
int knob_parse_mask(const char *s, uint16_t *cores, int max);
