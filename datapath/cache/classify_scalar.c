/* SPDX-License-Identifier: BSD-3-Clause */
/* The reference that the SIMD builds are compared with. */
#define CLASSIFY_SCALAR
#include "datapath/cache/classify_impl.h"
