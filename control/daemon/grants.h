/* SPDX-License-Identifier: BSD-3-Clause */
/* The document of grants, which sluiced itself writes: a JSON object (so YAML too) of the form that
 * control/policy reads as the section "grants". Pure functions on its text. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/base/vec.h"

struct grants_ended {
	VEC(char *) names; /* owned by the caller */
};
/* The text without the grants whose time is over; NULL: none is. Caller frees. */
char *grants_without_ended(const char *text, uint64_t now_ms, struct grants_ended *ended);
/* With one more: `request` is {from, to, ports, for_ms, reason, name?}. The grant's name goes to
 * *name. Both are freed by the caller; NULL with e. */
char *grants_with(const char *text, const char *request, const char *by, uint64_t now_ms,
		  char **name, struct err *e);
/* Without that one; NULL: there is none. Caller frees. */
char *grants_without(const char *text, const char *name);
