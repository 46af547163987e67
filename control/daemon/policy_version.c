/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/daemon/policy_version.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"

static void join(struct str *out, const char *main, const char *grants)
{
	str_puts(out, main);
	if (grants[0])
		str_printf(out, "%s---\n%s", main[0] && main[strlen(main) - 1] != '\n' ? "\n" : "",
			   grants);
}

int policy_version_make(struct policy_version *v, const char *file, const char *main,
			const char *grants, struct err *e)
{
	struct policy_text texts[] = {{file, main, strlen(main)},
				      {"grants", grants, strlen(grants)}};
	int rc;

	*v = (struct policy_version){0};
	rc = policy_read(&v->p, texts, SL_ARRAY_SIZE(texts), clock_wall_ms(), e);
	if (rc)
		return rc;
	join(&v->document, main, grants);
	policy_digest(v->p, str_cstr(&v->document), v->document.len, v->hash);
	v->main = xstrdup(main);
	v->grants = xstrdup(grants);
	return 0;
}

void policy_version_free(struct policy_version *v)
{
	policy_free(v->p);
	str_free(&v->document);
	free(v->main);
	free(v->grants);
	*v = (struct policy_version){0};
}

bool policy_version_is_of(const struct policy_version *v, const char *main, const char *grants)
{
	return v->p && !strcmp(v->main, main) && !strcmp(v->grants, grants);
}
