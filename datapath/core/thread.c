/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/core/thread.h"

__thread unsigned sl_thread_idx = THREAD_MAIN;
