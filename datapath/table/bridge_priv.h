/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of a bridge that other files of this folder make and destroy. */
#pragma once
struct bridge;

/* Rule tables, groups and meters. */
void bridge_tables_create(struct bridge *b);
void bridge_tables_destroy(struct bridge *b); /* no readers */
