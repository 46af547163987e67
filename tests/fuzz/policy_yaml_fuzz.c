/* SPDX-License-Identifier: BSD-3-Clause */
/* Any text is refused with one reason that names a line, or gives a policy whose message is well
 * formed and that answers questions. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "control/policy/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask_everything(const struct policy *p)
{
	struct policy_subjects s = {0};
	policy_subjects_fill(p, 0, &s);
	for (size_t i = 0; i < s.list.len && i < 8; i++)
		for (size_t j = 0; j < s.list.len && j < 8; j++) {
			struct policy_question q = {s.list.at[i].end, s.list.at[j].end, 6, 22, 1};
			struct policy_answer a;
			struct str text = STR_INIT;
			policy_answer(p, &q, &a);
			assert(a.name);
			policy_suggest(p, &q, &text);
			assert(text.len);
			str_free(&text);
		}
	policy_subjects_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_text t = {"f", (const char *)data, size};
	struct policy_expectations x = {0};
	struct policy *p;
	struct err e = {0}, f = {0};
	int rc = policy_read(&p, &t, 1, 1, &e);
	assert(!rc == !e.code && !rc == (p != NULL));
	assert(!rc || !strncmp(e.text, "f:", 2));
	if (!rc) {
		struct msg m;
		msg_init(&m, API_TRANSACTION, 0);
		policy_encode(p, t.text, t.len, 0, &m);
		msg_finish(&m);
		assert(!msg_check(m.data, m.len, &f));
		msg_free(&m);
		ask_everything(p);
	}
	policy_free(p);
	policy_expectations_read(&x, &t, &f);
	policy_expectations_free(&x);
	return 0;
}
