/* SPDX-License-Identifier: BSD-3-Clause */
/* The short form of a megaflow's program: what a hit does without interpreting it. Poll thread. */
#pragma once
#include "datapath/cache/megaflow.h"

/* Sets out_port, the MF_* flags of short forms, and macs or ct_zone. `mask0`: line 0 of the entry's
 * mask: bits that it has need not be written. info->flat, if any, has been filled. */
void hit_form_choose(struct megaflow *mf, const struct mf_info *info, const uint8_t *mask0);
/* Does the entry hold what hit_form_choose() would give it now? */
bool hit_form_is_right(const struct megaflow *mf, const uint8_t *mask0);
