/* SPDX-License-Identifier: BSD-3-Clause */
/* Main thread. A story has the packet's own report (it was captured or is traced on arrival) and
 * one for each copy that was captured on leaving, or where it was dropped. */
#include "datapath/observe/journal.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/vec.h"

const char *const packet_verdict_names[VERDICT_N] = {
	[VERDICT_UNKNOWN] = "unknown",   [VERDICT_SENT] = "sent", [VERDICT_DROPPED] = "dropped",
	[VERDICT_ABSORBED] = "absorbed", [VERDICT_HELD] = "held",
};

enum { EVENTS_MAX = 4096 }; /* of one packet */

struct story {
	struct story *next; /* touched since the last mark */
	uint32_t token;
	bool touched, held, absorbed, looked_up;
	uint64_t since_ms, last_tsc;
	struct event_rx *rx; /* NULL: the packet itself is nobody's */
	uint8_t level;
	struct packet_origin origin;
	enum drop_reason reason;
	uint32_t policy_slot; /* that goes with the reason */
	VEC(struct packet_output) output;
	VEC(struct event_common *) leaving; /* EVENT_OUT and _DROP that somebody wants: copies */
	VEC(struct event_common *) event;   /* copies, when traced */
};

struct journal {
	struct observer *observer;
	struct story *slot[JOURNAL_PACKETS]; /* by token */
	struct story *touched;
	unsigned n_held;
	uint64_t lost_seen; /* of the observer's lost_events: from here on a story may lack some */
};

struct journal *journal_create(struct observer *o)
{
	struct journal *j = xzalloc(sizeof *j);

	j->observer = o;
	return j;
}

static void free_story(struct story *s)
{
	VEC_FOR_EACH (e, &s->leaving)
		free(*e);
	VEC_FOR_EACH (e, &s->event)
		free(*e);
	vec_free(&s->leaving);
	vec_free(&s->event);
	vec_free(&s->output);
	free(s->rx);
	free(s);
}

void journal_destroy(struct journal *j)
{
	for (unsigned i = 0; j && i < JOURNAL_PACKETS; i++)
		if (j->slot[i])
			free_story(j->slot[i]);
	free(j);
}

/* ---- reports ---- */

static enum packet_verdict verdict_of(const struct story *s)
{
	unsigned taken = 0;

	VEC_FOR_EACH (o, &s->output)
		taken += o->reason == DROP_NONE;
	if (taken)
		return VERDICT_SENT;
	if (s->absorbed)
		return VERDICT_ABSORBED;
	if (s->reason != DROP_NONE)
		return VERDICT_DROPPED;
	return s->held ? VERDICT_HELD : VERDICT_UNKNOWN;
}

static void tell_arrival(const struct story *s, journal_sink *sink, void *aux)
{
	const struct packet_report r = {
		.probes = s->rx->probes,
		.direction = OBSERVE_IN,
		.port_id = s->rx->c.port_id,
		.from_port = s->rx->c.port_id,
		.pkt_len = s->rx->pkt_len,
		.cap_len = s->rx->cap_len,
		.bytes = s->rx->bytes,
		.rx_tsc = s->rx->c.tsc,
		.tsc = s->last_tsc,
		.level = s->level,
		.origin = s->origin,
		.verdict = verdict_of(s),
		.reason = s->reason,
		.policy_slot = s->policy_slot,
		.n_outputs = (unsigned)s->output.len,
		.output = s->output.at,
		.n_events = (unsigned)s->event.len,
		.event = (const struct event_common *const *)s->event.at,
	};

	sink(aux, &r);
}

static void tell_leaving(const struct story *s, const struct event_out *e, journal_sink *sink,
			 void *aux)
{
	struct packet_report r = {
		.probes = e->probes,
		.direction = OBSERVE_OUT,
		.port_id = e->c.port_id,
		.from_port = e->from_port,
		.pkt_len = e->pkt_len,
		.cap_len = e->cap_len,
		.bytes = e->bytes,
		.rx_tsc = e->mark.rx_tsc,
		.tsc = e->c.tsc,
		.level = e->mark.level,
		.origin = e->mark.origin,
		.verdict = VERDICT_SENT,
	};

	VEC_FOR_EACH (o, &s->output)
		if (o->port_id == e->c.port_id && o->tsc == e->c.tsc && o->reason != DROP_NONE) {
			r.verdict = VERDICT_DROPPED;
			r.reason = (enum drop_reason)o->reason;
		}
	sink(aux, &r);
}

static void tell_drop(const struct event_drop *e, journal_sink *sink, void *aux)
{
	const struct packet_report r = {
		.probes = e->probes,
		.direction = OBSERVE_DROP,
		.port_id = e->c.port_id,
		.from_port = e->from_port,
		.pkt_len = e->pkt_len,
		.cap_len = e->cap_len,
		.bytes = e->bytes,
		.rx_tsc = e->mark.rx_tsc ? e->mark.rx_tsc : e->c.tsc,
		.tsc = e->c.tsc,
		.level = e->mark.level,
		.origin = e->mark.origin,
		.verdict = VERDICT_DROPPED,
		.reason = (enum drop_reason)e->reason,
		.policy_slot = e->policy_slot,
	};

	sink(aux, &r);
}

static void tell(struct journal *j, struct story *s, journal_sink *sink, void *aux)
{
	if (s->rx)
		tell_arrival(s, sink, aux);
	VEC_FOR_EACH (e, &s->leaving) {
		if ((*e)->head.kind == EVENT_OUT)
			tell_leaving(s, (const struct event_out *)*e, sink, aux);
		else
			tell_drop((const struct event_drop *)*e, sink, aux);
	}
	j->n_held -= s->held;
	free_story(s);
}

/* ---- events ---- */

static void *copy(const void *e)
{
	uint32_t n = ((const struct event_head *)e)->bytes;

	return memcpy(xmalloc(n), e, n);
}

static struct story *story_of(struct journal *j, const struct event_common *c, uint64_t now_ms,
			      journal_sink *sink, void *aux)
{
	struct story **at = &j->slot[c->token % JOURNAL_PACKETS], *s = *at;

	if (s && s->token != c->token) { /* 4,096 packets later: it is told as it is */
		for (struct story **t = &j->touched; *t; t = &(*t)->next)
			if (*t == s) {
				*t = s->next;
				break;
			}
		tell(j, s, sink, aux);
		s = NULL;
	}
	if (!s) {
		s = *at = xzalloc(sizeof *s);
		s->token = c->token;
		s->since_ms = now_ms;
	}
	if (!s->touched) {
		s->touched = true;
		s->next = j->touched;
		j->touched = s;
	}
	s->last_tsc = c->tsc;
	return s;
}

static void on_lookup(struct story *s, const struct event_lookup *e)
{
	if (!s->looked_up)
		s->level = e->level;
	s->looked_up = true;
	s->origin = e->origin;
}

static void on_out(struct story *s, const struct event_out *e)
{
	vec_push(&s->output, (struct packet_output){.port_id = e->c.port_id,
						    .pkt_len = e->pkt_len,
						    .tsc = e->c.tsc});
	if (e->probes)
		vec_push(&s->leaving, copy(e));
}

static void on_drop(struct story *s, const struct event_drop *e)
{
	/* With a reason of its own from before, the packet's first one is what counts. */
	if (s->reason == DROP_NONE) {
		s->reason = (enum drop_reason)e->reason;
		s->policy_slot = e->policy_slot;
	}
	if (e->at_port)
		VEC_FOR_EACH (o, &s->output)
			if (o->port_id == e->c.port_id && o->reason == DROP_NONE) {
				o->reason = e->reason;
				break;
			}
	if (e->probes)
		vec_push(&s->leaving, copy(e));
}

static void set_held(struct journal *j, struct story *s, bool held)
{
	j->n_held += (unsigned)held - (unsigned)s->held;
	s->held = held;
}

static void take(struct journal *j, const struct event_common *c, bool traced, uint64_t now_ms,
		 journal_sink *sink, void *aux)
{
	struct story *s;

	if (!c->token) { /* a drop that only captures of drops saw */
		tell_drop((const struct event_drop *)c, sink, aux);
		return;
	}
	s = story_of(j, c, now_ms, sink, aux);
	switch ((enum observe_event)c->head.kind) {
	case EVENT_RX:
		s->rx = copy(c);
		break;
	case EVENT_LOOKUP:
		set_held(j, s, false);
		on_lookup(s, (const struct event_lookup *)c);
		break;
	case EVENT_OUT:
		on_out(s, (const struct event_out *)c);
		break;
	case EVENT_DROP:
		set_held(j, s, false);
		on_drop(s, (const struct event_drop *)c);
		break;
	case EVENT_HELD:
		set_held(j, s, true);
		break;
	case EVENT_ABSORBED:
		s->absorbed = true;
		break;
	case EVENT_CT:
	case EVENT_POLICY:
	case EVENT_MARK:
	case EVENT_PAD:
		break;
	}
	if (traced && s->event.len < EVENTS_MAX)
		vec_push(&s->event, copy(c));
}

static void settle(struct journal *j, journal_sink *sink, void *aux)
{
	struct story *s = j->touched;

	j->touched = NULL;
	while (s) {
		struct story *next = s->next;

		s->touched = false;
		if (!s->held) {
			j->slot[s->token % JOURNAL_PACKETS] = NULL;
			tell(j, s, sink, aux);
		}
		s = next;
	}
}

/* What waited too long, or is not waited for any more. */
static void tell_rest(struct journal *j, uint64_t now_ms, bool all, journal_sink *sink, void *aux)
{
	for (unsigned i = 0; i < JOURNAL_PACKETS; i++) {
		struct story *s = j->slot[i];

		if (!s || s->touched || (!all && s->since_ms + JOURNAL_HELD_MS > now_ms))
			continue;
		j->slot[i] = NULL;
		tell(j, s, sink, aux);
	}
}

void journal_drain(struct journal *j, const struct probe_set *set, uint64_t now_ms, bool all,
		   journal_sink *sink, void *aux)
{
	bool traced = set && set->any_wants & OBSERVE_TRACE;
	const struct event_head *h;

	while ((h = event_ring_peek(j->observer->ring))) {
		if (h->kind == EVENT_MARK)
			settle(j, sink, aux);
		else
			take(j, (const struct event_common *)(const void *)h, traced, now_ms, sink,
			     aux);
		event_ring_next(j->observer->ring);
	}
	if (all)
		settle(j, sink, aux);
	if (all || j->n_held)
		tell_rest(j, now_ms, all, sink, aux);
}
