/* SPDX-License-Identifier: BSD-3-Clause */
/* A matrix as a picture. */
#pragma once
#include <stddef.h>
#include <stdio.h>

/* cells[from * n + to]: "all", "-", ".", or a list of services. */
void policy_svg_print(FILE *f, const char *const *names, char *const *cells, size_t n);
