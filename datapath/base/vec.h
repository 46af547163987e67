/* SPDX-License-Identifier: BSD-3-Clause */
/* Growable array of any type, by value:
 *
 *	VEC(struct rule *) rules = {0};
 *	vec_push(&rules, r);   rules.len, rules.at[i]
 *	vec_free(&rules);
 *
 * Not synchronised. Growing aborts on exhaustion (see util.h). */
#pragma once
#include <stdlib.h>
#include <string.h>

#include "datapath/base/util.h"

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *at;                                                                          \
		size_t len, cap;                                                                   \
	}

#define vec_reserve(v, n)                                                                          \
	do {                                                                                       \
		if ((v)->cap < (n)) {                                                              \
			(v)->cap = SL_MAX((size_t)(n), (v)->cap * 2);                              \
			(v)->cap = SL_MAX((v)->cap, (size_t)8);                                    \
			(v)->at = xrealloc((v)->at, (v)->cap * sizeof *(v)->at);                   \
		}                                                                                  \
	} while (0)
#define vec_push(v, ...)                                                                           \
	do {                                                                                       \
		vec_reserve((v), (v)->len + 1);                                                    \
		(v)->at[(v)->len++] = (__VA_ARGS__);                                               \
	} while (0)
#define vec_append(v, ptr, n)                                                                      \
	do {                                                                                       \
		size_t vec_n = (n);                                                                \
		if (vec_n) {                                                                       \
			vec_reserve((v), (v)->len + vec_n);                                        \
			memcpy((v)->at + (v)->len, (ptr), vec_n * sizeof *(v)->at);                \
			(v)->len += vec_n;                                                         \
		}                                                                                  \
	} while (0)
/* Order is not kept. */
#define vec_swap_remove(v, i) ((v)->at[i] = (v)->at[--(v)->len])
#define vec_remove(v, i)                                                                           \
	do {                                                                                       \
		size_t vec_i = (i);                                                                \
		memmove((v)->at + vec_i, (v)->at + vec_i + 1,                                      \
			((v)->len - vec_i - 1) * sizeof *(v)->at);                                 \
		(v)->len--;                                                                        \
	} while (0)
#define vec_last(v)  ((v)->at[(v)->len - 1])
#define vec_clear(v) ((v)->len = 0)
#define vec_free(v)                                                                                \
	do {                                                                                       \
		free((v)->at);                                                                     \
		(v)->at = NULL;                                                                    \
		(v)->len = (v)->cap = 0;                                                           \
	} while (0)
#define VEC_FOR_EACH(it, v)                                                                        \
	for (__typeof__(*(v)->at) *it = (v)->at; it && it < (v)->at + (v)->len; it++)
