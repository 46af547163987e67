/* SPDX-License-Identifier: BSD-3-Clause */
/* bridge/dump-flows: rules as text, hidden ones too when asked for. */
#include <errno.h>
#include <stdlib.h>

#include "control/openflow/ofswitch_priv.h"
#include "datapath/base/str.h"
#include "datapath/flow/action_text.h"

struct text_dump {
	struct ofrequest r;
	struct str text;
	bool with_hidden;
	void (*done)(const char *text, const struct err *error, void *aux);
	void *aux;
};

static void put_rule(struct str *out, const struct flow_stats *fs)
{
	str_printf(out, "duration=%llus, ", (unsigned long long)(fs->duration_ms / 1000));
	if (fs->table)
		str_printf(out, "table=%u, ", fs->table);
	str_printf(out, "n_packets=%llu, n_bytes=%llu, ", (unsigned long long)fs->packets,
		   (unsigned long long)fs->bytes);
	str_printf(out, "priority=%u,", fs->priority);
	size_t before = out->len;
	match_format(&fs->match, NULL, out);
	if (out->len > before)
		str_putc(out, ',');
	str_puts(out, "actions=");
	actions_format(fs->actions, fs->actions_len, NULL, out);
	str_putc(out, '\n');
}

static void on_reply(struct ofrequest *r, struct attrs a, bool more, const struct err *err)
{
	struct text_dump *d = SL_CONTAINER_OF(r, struct text_dump, r);
	if (err) {
		d->done(NULL, err, d->aux);
		return;
	}
	ATTR_FOR_EACH (o, a) {
		struct flow_stats fs;
		if (o->id != ATTR_OBJECT && o->id != ATTR_RULE)
			continue;
		bool hidden = attrs_u64(attr_nest(o), ATTR_RULE_FLAGS, 0) & OF_RULE_HIDDEN;
		if ((d->with_hidden || !hidden) && rule_from_attrs(attr_nest(o), &fs))
			put_rule(&d->text, &fs);
	}
	if (!more)
		d->done(str_cstr(&d->text), NULL, d->aux);
}

static void release(struct ofrequest *r)
{
	str_free(&SL_CONTAINER_OF(r, struct text_dump, r)->text);
}

void ofswitch_dump_flows(struct ofswitch *sw, bool with_hidden,
			 void (*done)(const char *text, const struct err *error, void *aux),
			 void *aux)
{
	struct text_dump *d = xzalloc(sizeof *d);
	struct msg m;
	d->r.on_reply = on_reply;
	d->r.release = release;
	d->with_hidden = with_hidden;
	d->done = done;
	d->aux = aux;
	msg_init(&m, API_RULES, 0);
	msg_put_str(&m, ATTR_BRIDGE, sw->bridge);
	if (with_hidden)
		msg_put_u32(&m, ATTR_RULE_FLAGS, OF_RULE_HIDDEN);
	if (!ofrequest_send(&d->r, sw, NULL, NULL, &m, false)) {
		struct err gone = {0};
		err_set(&gone, ENOTCONN, "bridge %s: no datapath", sw->bridge);
		done(NULL, &gone, aux);
	}
}
