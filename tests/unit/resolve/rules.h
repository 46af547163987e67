/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and groups by text, for the tests of resolve. */
#pragma once
#include "datapath/flow/action_text.h"
#include "datapath/flow/match_text.h"
#include "datapath/table/flow_mod.h"
#include "datapath/table/group.h"
#include "tests/unit/resolve/harness.h"

static inline int rule_key(void *aux, const char *key, const char *value, struct err *e)
{
	struct flow_mod *fm = aux;
	uint64_t v = value ? strtoull(value, NULL, 0) : 0;

	if (!strcmp(key, "table"))
		fm->table = (uint8_t)v;
	else if (!strcmp(key, "priority"))
		fm->priority = (uint16_t)v;
	else if (!strcmp(key, "cookie"))
		fm->cookie = v;
	else if (!strcmp(key, "idle_timeout"))
		fm->idle_timeout_s = (uint16_t)v;
	else if (!strcmp(key, "hard_timeout"))
		fm->hard_timeout_s = (uint16_t)v;
	else
		return err_set(e, EINVAL, "unknown key %s", key);
	return 0;
}

/* "table=0,priority=1,ip,actions=output:2" */
static inline int try_flow(struct bridge *b, uint8_t command, const char *text, uint32_t *ofp)
{
	char match[4096];
	const char *acts = strstr(text, "actions=");
	struct action_buf buf = {0};
	struct flow_mod fm;
	struct match m;
	struct err e = {0};
	struct txn t;
	int r;

	flow_mod_init(&fm);
	fm.command = command;
	snprintf(match, sizeof match, "%.*s", acts ? (int)(acts - text) : (int)strlen(text), text);
	if (match_parse(match, NULL, rule_key, &fm, &m, &e))
		fail_msg("%s: %s", text, e.text);
	if (acts && actions_parse(acts + 8, NULL, &buf, &e))
		fail_msg("%s: %s", text, e.text);
	fm.match = minimatch_create(&m);
	fm.actions = buf.data;
	fm.actions_len = (uint32_t)buf.len;
	txn_begin(&t);
	t.now_ms = test_now_ms;
	r = flow_mod(&t, b, &fm, NULL, ofp, &e);
	if (r)
		txn_abort(&t);
	else
		txn_commit(&t);
	free((void *)fm.match);
	action_buf_free(&buf);
	return r;
}

static inline void add_flow(struct bridge *b, const char *text)
{
	if (try_flow(b, FLOW_MOD_ADD, text, NULL))
		fail_msg("%s: refused", text);
}

/* Buckets as action texts. */
static inline void add_group(struct bridge *b, uint32_t id, enum group_type type, unsigned n,
			     const char *const *bucket, const uint32_t *watch_port)
{
	struct group_bucket_spec specs[16];
	struct action_buf buf[16];
	struct group_mod gm = {
		.command = GROUP_MOD_ADD_OR_MODIFY, .type = type, .id = id, .n_buckets = n};
	struct err e = {0};
	struct txn t;

	memset(buf, 0, sizeof buf);
	for (unsigned i = 0; i < n; i++) {
		if (actions_parse(bucket[i], NULL, &buf[i], &e))
			fail_msg("%s: %s", bucket[i], e.text);
		specs[i] = (struct group_bucket_spec){.id = i,
						      .weight = 100,
						      .watch_port = watch_port ? watch_port[i]
									       : OFP_PORT_ANY,
						      .watch_group = 0xffffffff,
						      .actions = buf[i].data,
						      .actions_len = (uint32_t)buf[i].len};
	}
	gm.buckets = specs;
	txn_begin(&t);
	if (group_mod(&t, b, &gm, NULL, &e))
		fail_msg("%s", e.text);
	txn_commit(&t);
	for (unsigned i = 0; i < n; i++)
		action_buf_free(&buf[i]);
}
