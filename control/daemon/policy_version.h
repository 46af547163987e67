/* SPDX-License-Identifier: BSD-3-Clause */
/* Two documents that belong together, compiled: what the datapath gets. Event-loop thread. */
#pragma once
#include "control/policy/policy.h"
#include "datapath/base/str.h"

struct policy_version {
	struct policy *p;    /* NULL: there is none */
	struct str document; /* both texts, as the datapath keeps them */
	uint8_t hash[POLICY_HASH_BYTES];
	char *main, *grants; /* the texts it was made of */
};

/* -errno with e, whose text begins with `file` or "grants"; then there is none. */
int policy_version_make(struct policy_version *v, const char *file, const char *main,
			const char *grants, struct err *e);
void policy_version_free(struct policy_version *v); /* and empties it */
/* Was it made of these texts? */
bool policy_version_is_of(const struct policy_version *v, const char *main, const char *grants);
