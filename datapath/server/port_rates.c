/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/port_rates.h"

#include "datapath/policy/policy_live.h"
#include "datapath/poll/poll.h"
#include "datapath/server/registry.h"

static bool stale;

void port_rates_changed(void)
{
	stale = true;
}

void port_rates_apply(void)
{
	const struct policy *policy = policy_now();

	if (!stale)
		return;
	stale = false;
	for (struct port_object *p = registry_port_after(0); p; p = registry_port_after(p->id)) {
		uint32_t ep = __atomic_load_n(&policy->port[p->id].endpoint, __ATOMIC_RELAXED);
		uint64_t kbps = attrs_u64(p->o.config->attrs, ATTR_LIMIT_OUT_KBPS, 0);
		uint64_t pps = attrs_u64(p->o.config->attrs, ATTR_LIMIT_OUT_PPS, 0);
		uint32_t burst_ms = (uint32_t)attrs_u64(p->o.config->attrs, ATTR_LIMIT_BURST_MS, 0);

		if (ep != POLICY_NONE) {
			const struct policy_limits *l = &policy->endpoints[ep].limits;

			if (l->out_kbps && (!kbps || l->out_kbps <= kbps)) {
				kbps = l->out_kbps;
				burst_ms = l->burst_ms;
			}
		}
		poll_port_set_rate(p->id, kbps * 1000, pps, burst_ms);
		poll_port_set_weight(p->id,
				     (unsigned)attrs_u64(p->o.config->attrs, ATTR_POLL_WEIGHT,
							 POLL_WEIGHT_DEFAULT));
	}
}
