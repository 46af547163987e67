/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is running: every thread of the datapath has an index that selects its counters, its RCU slot
 * and its transmit queue. */
#pragma once
#include "datapath/core/limits.h"

enum { THREAD_MAIN = POLL_THREADS_MAX, THREADS_ALL }; /* 0 .. POLL_THREADS_MAX-1 are poll threads */

extern __thread unsigned sl_thread_idx; /* THREAD_MAIN unless a poll thread set it */
