/* SPDX-License-Identifier: BSD-3-Clause */
/* Where tunnel options (tun_metadata0–63) lie in the flow key.
 *
 * A bridge maps (class, type, length) of Geneve options to fields by NXT_TLV_TABLE_MOD. What field
 * i is called with on the wire is the bridge's; where its bytes lie in the key is one layout of the
 * whole process, so that the field table stays one: a field that two bridges map must have one
 * length. Without further ado each field has 4 bytes of its own.
 * Changed by the one thread that applies configuration, only while no bridge maps the field; read
 * by any. */
#pragma once
#include "datapath/base/util.h"

struct err;

enum { TUN_OPT_FIELDS = 64, TUN_OPT_MAX_BYTES = 124 };

struct tun_opt_place {
	uint16_t offset;  /* in struct flow */
	uint16_t n_bytes; /* multiple of 4, 4..124 */
};

struct tun_opt_place tun_opt_place(unsigned i);
/* Has the field bytes of its own? Not when nobody maps it and another one lies where it would. */
bool tun_opt_is_there(unsigned i);

/* A bridge starts to map field i with options of `n_bytes` bytes: finds room, counts the use.
 * -EINVAL (length), -EEXIST (in use with another length), -ENOSPC; e may be NULL. */
int tun_opt_acquire(unsigned i, unsigned n_bytes, struct err *e);
/* Likewise at a place that another process has chosen: 4 * word bytes into the options. Both keep
 * the same layout, whatever the history of theirs. */
int tun_opt_acquire_at(unsigned i, unsigned n_bytes, unsigned word, struct err *e);
unsigned tun_opt_word(unsigned i);
void tun_opt_release(unsigned i);
