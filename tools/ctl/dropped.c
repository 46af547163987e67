/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/ctl/dropped.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/api/drop_text.h"
#include "tools/ctl/packet_text.h"

static void take(struct attrs a, void *aux)
{
	struct dropped_list *l = aux;
	struct dropped d = {.o = {xmemdup(a.data, a.len), a.len}};
	size_t len = 0;
	const uint8_t *data = attrs_bytes(d.o, ATTR_PACKET, &len);
	d.time_ns = attrs_u64(d.o, ATTR_TIME_NS, 0);
	d.count = attrs_u64(d.o, ATTR_COUNT, 1);
	d.port = attrs_str(d.o, ATTR_PORT, "");
	d.from = attrs_str(d.o, ATTR_FROM_PORT, "");
	d.reason = attrs_str(d.o, ATTR_REASON, "");
	if (data)
		packet_identity(data, (uint32_t)len, (uint32_t)attrs_u64(d.o, ATTR_PACKET_LEN, len),
				&d.what);
	vec_push(&l->by_hash, (struct dropped_place){packet_identity_hash(&d.what), l->all.len});
	vec_push(&l->all, d);
}

static int by_hash(const void *pa, const void *pb)
{
	const struct dropped_place *a = pa, *b = pb;
	return a->hash < b->hash ? -1 : a->hash > b->hash;
}

int dropped_read(struct api_client *client, const struct dropped_select *s, struct dropped_list *l,
		 struct err *e)
{
	struct msg m;
	int rc;
	msg_init(&m, API_DROPPED, 0);
	if (s->port)
		msg_put_str(&m, ATTR_PORT, s->port);
	if (s->reason)
		msg_put_str(&m, ATTR_REASON, s->reason);
	if (s->limit)
		msg_put_u32(&m, ATTR_LIMIT, s->limit);
	rc = command_dump_on(client, &m, take, l, e);
	if (rc == -EOPNOTSUPP) {
		err_clear(e);
		rc = 0;
	}
	if (l->all.len)
		qsort(l->by_hash.at, l->by_hash.len, sizeof *l->by_hash.at, by_hash);
	return rc;
}

void dropped_free(struct dropped_list *l)
{
	VEC_FOR_EACH (d, &l->all)
		free((void *)d->o.data);
	vec_free(&l->all);
	vec_free(&l->by_hash);
}

/* The first number in by_hash that has the hash, or where it would be. */
static size_t lower_bound(const struct dropped_list *l, uint64_t hash)
{
	size_t from = 0, to = l->by_hash.len;
	while (from < to) {
		size_t at = from + (to - from) / 2;
		if (l->by_hash.at[at].hash < hash)
			from = at + 1;
		else
			to = at;
	}
	return from;
}

static uint64_t apart(const struct dropped *d, const struct dropped_wanted *w)
{
	const uint64_t days_ns = 3 * 86400ull * 1000000000ull;
	uint64_t n = d->time_ns > w->time_ns ? d->time_ns - w->time_ns : w->time_ns - d->time_ns;
	return n < days_ns ? n : UINT64_MAX - d->time_ns;
}

/* As sure as the other one; nearer all the same? */
static bool is_nearer(const struct dropped *d, const struct dropped *than,
		      const struct dropped_wanted *w)
{
	bool here = w->from && !strcmp(d->from, w->from);
	bool there = w->from && !strcmp(than->from, w->from);
	return here != there ? here : apart(d, w) < apart(than, w);
}

const struct dropped *dropped_find(struct dropped_list *l, const struct dropped_wanted *w,
				   enum drop_match *how)
{
	uint64_t hash = packet_identity_hash(&w->what);
	struct dropped *best = NULL;
	*how = DROP_MATCH_NONE;
	for (size_t i = lower_bound(l, hash); i < l->by_hash.len; i++) {
		struct dropped *d = &l->all.at[l->by_hash.at[i].i];
		enum drop_match m;
		if (l->by_hash.at[i].hash != hash)
			break;
		bool here = w->from && !strcmp(d->from, w->from);
		if (!d->what.data || d->found || (w->only_from && !here))
			continue;
		m = drop_match(&w->what, &d->what);
		if (m == DROP_MATCH_REWRITTEN && !here)
			continue;
		if (m == DROP_MATCH_NONE || m < *how || (m == *how && !is_nearer(d, best, w)))
			continue;
		best = d;
		*how = m;
	}
	/* A large packet may have lost several of its segments. */
	if (best && *how != DROP_MATCH_SEGMENT)
		best->found = true;
	return best;
}

uint64_t dropped_count(const struct dropped_list *l, const char *port, const char *reason)
{
	uint64_t n = 0;
	VEC_FOR_EACH (d, &l->all)
		if (!strcmp(d->port, port) && !strcmp(d->reason, reason))
			n += d->count;
	return n;
}

/* ---- text ---- */

static void put_rule(const struct dropped *d, struct str *out)
{
	const char *denied_by = attrs_str(d->o, ATTR_DENIED_BY, "");
	if (denied_by[0])
		str_printf(out, ", by the policy's \"%s\"", denied_by);
	else if (attrs_has(d->o, ATTR_BRIDGE))
		str_printf(out, ", by the rule of %s table %u, cookie 0x%llx",
			   attrs_str(d->o, ATTR_BRIDGE, ""),
			   (unsigned)attrs_u64(d->o, ATTR_TABLE, 0),
			   (unsigned long long)attrs_u64(d->o, ATTR_COOKIE, 0));
}

void dropped_text(const struct dropped *d, struct str *out)
{
	const struct drop_text *why = drop_text_find(d->reason);
	struct str time = STR_INIT;
	packet_time(d->time_ns, &time);
	str_put(out, str_cstr(&time), time.len - 3); /* to microseconds */
	str_free(&time);
	str_printf(out, " on %s", d->port[0] ? d->port : "no port");
	if (strcmp(d->port, d->from))
		str_printf(out, ", having come by %s", d->from[0] ? d->from : "no port");
	str_printf(out, ": %s: %s", d->reason, why->help);
	put_rule(d, out);
	str_printf(out, "\n  what to do: %s", why->remedy);
}

void dropped_line(const struct dropped *d, struct str *out)
{
	packet_time(d->time_ns, out);
	str_printf(out, " x %s ", d->port[0] ? d->port : "-");
	if (d->what.data)
		packet_text(d->what.data, d->what.len, d->what.wire_len, out);
	else
		str_printf(out, "%llu packet%s, %llu bytes, gone before they were read",
			   (unsigned long long)d->count, d->count == 1 ? "" : "s",
			   (unsigned long long)attrs_u64(d->o, ATTR_PACKET_LEN, 0));
	str_puts(out, " | ");
	packet_fate(d->o, out);
}

json_t *dropped_json(const struct dropped *d)
{
	const struct drop_text *why = drop_text_find(d->reason);
	struct str s = STR_INIT, text = STR_INIT;
	json_t *o;
	attrs_format_json(d->o, &s);
	o = json_loads(str_cstr(&s), 0, NULL);
	if (!o)
		o = json_object();
	if (d->what.data) {
		packet_text(d->what.data, d->what.len, d->what.wire_len, &text);
		json_object_set_new(o, "text", json_string(str_cstr(&text)));
	}
	json_object_set_new(o, "help", json_string(why->help));
	json_object_set_new(o, "remedy", json_string(why->remedy));
	str_free(&text);
	str_free(&s);
	return o;
}
