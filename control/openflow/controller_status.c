/* SPDX-License-Identifier: BSD-3-Clause */
/* What controllers of OpenFlow 1.5 may know of each other (§7.3.5.19, §7.4.7): one entry per
 * connection of a configured target, and one that says "down" for a target without. */
#include <string.h>

#include "control/openflow/op.h"

struct subject {
	const struct remote *remote;
	const struct ofconn *conn; /* NULL: none */
	bool up;
};

static void put_status(struct ofbuf *b, const struct subject *s, uint8_t reason)
{
	const char *uri = s->conn ? s->conn->peer : remote_config(s->remote)->target;
	size_t at = b->len, n = strlen(uri);
	ofbuf_u16(b, 0);
	ofbuf_u16(b, s->conn ? s->conn->short_id : OFPCID_UNDEFINED);
	ofbuf_u32(b, s->conn ? s->conn->role : OFPCR_EQUAL);
	ofbuf_u8(b, reason);
	ofbuf_u8(b, s->up ? OFPCT_STATUS_UP : OFPCT_STATUS_DOWN);
	ofbuf_zeros(b, 6);
	size_t property = b->len;
	ofbuf_u16(b, OFPCSPT_URI);
	ofbuf_u16(b, (uint16_t)(4 + n));
	ofbuf_put(b, uri, n);
	ofbuf_pad(b, property, 8);
	ofbuf_set_u16(b, at, (uint16_t)(b->len - at));
}

void controller_status_tell(struct ofswitch *sw, const struct remote *r, const struct ofconn *about,
			    bool up, uint8_t reason)
{
	const struct subject s = {.remote = r, .conn = about, .up = up};
	if (!r)
		return; /* <bridge>.mgmt is for tools, not a controller */
	LIST_FOR_EACH (c, struct ofconn, node, &sw->conns) {
		if ((about ? c == about : c->remote == r) || c->version < OFP15 ||
		    !ofconn_wants(c, ASYNC_CONTROLLER_STATUS, reason))
			continue;
		struct ofbuf b = {0};
		size_t at = ofbuf_begin(&b, c->version, OFPT15_CONTROLLER_STATUS, ofconn_xid(c));
		put_status(&b, &s, reason);
		ofbuf_end(&b, at);
		ofconn_send_free(c, &b);
	}
}

enum ofp_err handle_controller_status(struct ofconn *c, const struct ofmsg *m)
{
	struct ofmulti mp;
	ofmulti_init(&mp, m);
	VEC_FOR_EACH (r, &c->sw->remotes) {
		struct subject s = {.remote = *r};
		if (!*r)
			continue;
		LIST_FOR_EACH (o, struct ofconn, node, &c->sw->conns) {
			if (o->remote != *r || !o->version)
				continue;
			s = (struct subject){.remote = *r, .conn = o, .up = !o->closing};
			size_t at = mp.b.len;
			put_status(&mp.b, &s, OFPCSR_REQUEST);
			ofmulti_fit(&mp, at);
		}
		if (s.conn)
			continue;
		size_t at = mp.b.len;
		put_status(&mp.b, &s, OFPCSR_REQUEST);
		ofmulti_fit(&mp, at);
	}
	ofmulti_end(&mp);
	ofconn_send_free(c, &mp.b);
	return OFPERR_OK;
}
