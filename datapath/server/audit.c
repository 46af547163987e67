/* SPDX-License-Identifier: BSD-3-Clause */
/* AUDIT, and what poll threads found: an event and a line in the log with both answers. Main
 * thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/log.h"
#include "datapath/base/str.h"
#include "datapath/flow/match_text.h"
#include "datapath/flow/program.h"
#include "datapath/poll/poll.h"
#include "datapath/server/events.h"
#include "datapath/server/packet_in.h"
#include "datapath/server/registry.h"
#include "datapath/server/request.h"

LOG_MODULE(audit);

void audit_tell(const struct poll_upcall *u)
{
	const struct port_object *p = registry_port_by_id(u->port_id);
	struct str cached = STR_INIT, fresh = STR_INIT, flow = STR_INIT;
	struct msg *m = events_begin(API_EVENT_AUDIT);
	struct minimatch *mm;
	struct match match;

	program_format((const void *)u->data, u->flow.key.ip_proto, &cached);
	program_format((const void *)(u->data + u->packet_len), u->flow.key.ip_proto, &fresh);
	flow_format(&u->flow, NULL, &flow);
	flow_to_match(&u->flow, &match);
	mm = minimatch_create(&match);
	msg_put_str(m, ATTR_PORT, p ? p->o.name : "");
	msg_put_bytes(m, ATTR_KEY_LINES, mm, minimatch_size(mm));
	msg_put_str(m, ATTR_FLOW_TEXT, str_cstr(&flow));
	msg_put_str(m, ATTR_CACHED_TEXT, str_cstr(&cached));
	msg_put_str(m, ATTR_RESOLVED_TEXT, str_cstr(&fresh));
	events_end();
	LOG_LIMIT(log_err, 20,
		  "port %s: the flow cache said %s where the tables say %s, for %s: removed",
		  p ? p->o.name : "?", str_cstr(&cached), str_cstr(&fresh), str_cstr(&flow));
	free(mm);
	str_free(&cached);
	str_free(&fresh);
	str_free(&flow);
}

void request_AUDIT(struct conn *c, struct attrs a)
{
	uint64_t sample, checked, different;
	uint32_t every;

	if (attrs_has(a, ATTR_STATE))
		poll_account_set(strcmp(attrs_str(a, ATTR_STATE, ""), "off"));
	if (attrs_get_u64(a, ATTR_AUDIT_SAMPLE, &sample))
		poll_audit_set((uint32_t)SL_MIN(sample, (uint64_t)INT32_MAX));
	if (attrs_get_u64(a, ATTR_FAULT, &sample)) {
		struct err e = {0};

		if (!getenv("SLUICE_FAULTS"))
			err_set(&e, EPERM, "audit: faults: only where SLUICE_FAULTS is set");
		else if (sample >> 16 >= FAULT_N ||
			 !poll_audit_fault((enum audit_fault)(sample >> 16), sample & 0xffff))
			err_set(&e, ENOENT, "audit: no entry has that");
		if (e.code) {
			conn_reply_error(c, &e, NULL, NULL);
			return;
		}
	}
	poll_audit_counts(&every, &checked, &different);
	struct msg *m = conn_reply_begin(c);
	msg_put_u32(m, ATTR_AUDIT_SAMPLE, every);
	msg_put_u64(m, ATTR_AUDIT_CHECKED, checked);
	msg_put_u64(m, ATTR_AUDIT_DIFFERENT, different);
	conn_reply_end(c);
}
