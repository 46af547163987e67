/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations of a transaction up to where devices and tables begin: whatever a client sends,
 * they are staged or refused with a text, and forgetting them leaves nothing. Policies are compiled
 * and asked, too. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/server/op.h"
#include "datapath/server/policy_attrs.h"
#include "datapath/server/port_change.h"
#include "datapath/server/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server_state server;

static void compile(struct policy_parts *parts, struct err *e)
{
	uint8_t addr[16] = {10, 0, 0, 1};
	struct policy *p = NULL;
	int rc = policy_create(&p, policy_parts_spec(parts), e);

	assert(rc <= 0 && (!rc || (e->code && *e->text)));
	for (uint32_t i = 0; !rc && i < p->n_endpoints; i++) {
		struct policy_question q = {.self = &p->endpoints[i],
					    .direction = i % 2,
					    .family = 4,
					    .proto = 6,
					    .service = 80,
					    .peer_addr = addr};

		policy_judge(p, &q);
	}
	policy_destroy(p);
}

static void undone(void)
{
	registry_abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct op_effects fx = {0};
	struct err e = {0};
	uint32_t failed_op = 0, n = 0;
	struct op ops[64] = {0};

	if (size < sizeof(struct msg_header))
		return 0;
	uint8_t *copy = xmemdup(data, size);
	((struct msg_header *)(void *)copy)->length = (uint32_t)size;
	if (!msg_check(copy, size, &e)) {
		ATTR_FOR_EACH (a, msg_attrs(copy)) {
			if (a->id != ATTR_OP || n == SL_ARRAY_SIZE(ops))
				continue;
			struct op *op = &ops[n];
			uint64_t type = attrs_u64(attr_nest(a), ATTR_OP_TYPE, API_OP_N);

			if (type >= API_OP_N)
				continue;
			*op = (struct op){.a = attr_nest(a), .type = (uint16_t)type, .index = n++};
			int rc = op_info(op->type)->stage(op, &fx, &e);
			assert(rc <= 0 && (!rc || (e.code && *e.text)));
			if (rc)
				break;
		}
		if (!e.code)
			port_changes_plan(&failed_op, &e);
		if (!e.code && fx.policy)
			compile(fx.policy, &e);
		op_free_policy(&fx);
		port_changes_undo(undone);
		for (uint32_t i = 0; i < n; i++) {
			config_put(ops[i].base);
			config_put(ops[i].staged);
		}
		assert(registry_is_idle() && !registry_n_ports());
	}
	free(copy);
	return 0;
}
