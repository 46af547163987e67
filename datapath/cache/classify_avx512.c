/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/cache/classify_impl.h"
