/* SPDX-License-Identifier: BSD-3-Clause */
/* Survives guests that truncate the file behind their memory: touching it then raises SIGBUS. The
 * handler maps zero pages over the whole region, notes the fault, and the interrupted code goes on
 * with zeros; the owner quarantines the port. Registration: any thread. A fault outside all regions
 * ends the process as it would have. */
#pragma once
#include "datapath/base/util.h"

/* *faulted (lives until removal) becomes true when the region faulted. Returns a slot for
 * sigbus_guard_remove(), or -ENOSPC. The first call installs the handler. */
int sigbus_guard_add(void *start, size_t bytes, bool *faulted);
void sigbus_guard_remove(int slot);
