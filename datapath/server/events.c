/* SPDX-License-Identifier: BSD-3-Clause */
/* Invariants: first <= next, next - first <= EVENTS_MAX, bytes = sum of the lengths in
 * [first, next). */
#include "datapath/server/events.h"

#include "datapath/base/clock.h"

struct event {
	struct msg m;
	uint8_t kind;
	bool quiet;
};

static struct event ring[EVENTS_MAX]; /* event `seq` is at seq % EVENTS_MAX */
static uint64_t first = 1, next = 1;
static size_t bytes;
static uint64_t skipped_before; /* something was skipped before this number */
static struct event building;
void (*events_added)(void);

static void drop_oldest(void)
{
	struct event *ev = &ring[first++ % EVENTS_MAX];

	bytes -= ev->m.len;
	msg_free(&ev->m);
}

struct msg *events_begin(enum api_event kind)
{
	building.kind = (uint8_t)kind;
	msg_init(&building.m, API_EVENT, 0);
	msg_put_u16(&building.m, ATTR_EVENT, (uint16_t)kind);
	msg_put_u64(&building.m, ATTR_EVENT_SEQ, next);
	msg_put_u64(&building.m, ATTR_TIME_MS, clock_wall_ms());
	return &building.m;
}

void events_end(void)
{
	msg_finish(&building.m);
	while (next - first >= EVENTS_MAX ||
	       (next > first && bytes + building.m.len > EVENTS_BYTES_MAX))
		drop_oldest();
	ring[next++ % EVENTS_MAX] = building;
	bytes += building.m.len;
	building = (struct event){0};
	if (events_added)
		events_added();
}

void events_end_quiet(void)
{
	building.quiet = true;
	events_end();
}

uint64_t events_next_seq(void)
{
	return next;
}

uint64_t events_first_seq(void)
{
	return first;
}

void events_skip(void)
{
	skipped_before = next;
}

uint64_t events_complete_from(void)
{
	return SL_MAX(first, skipped_before);
}

const struct msg *events_get(uint64_t seq, enum api_event *kind)
{
	if (seq < first || seq >= next)
		return NULL;
	const struct event *ev = &ring[seq % EVENTS_MAX];

	*kind = (enum api_event)ev->kind;
	return &ev->m;
}

bool events_is_quiet(uint64_t seq)
{
	return ring[seq % EVENTS_MAX].quiet;
}

void events_destroy(void)
{
	while (first < next)
		drop_oldest();
}
