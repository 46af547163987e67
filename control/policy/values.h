/* SPDX-License-Identifier: BSD-3-Clause */
/* What values.c offers beside policy.h to the readers of this folder. Pure. */
#pragma once
#include "control/policy/policy.h"

bool value_proto(const char *word, uint8_t *proto);
bool value_has_ports(uint8_t proto);
bool value_has_types(uint8_t proto);
bool value_port_range(const char *word, uint16_t *first, uint16_t *last);
bool value_mac(const char *word, struct policy_mac *out);
bool value_rate(const char *word, uint64_t *kbps);
bool value_per_s(const char *word, uint64_t *n);
