/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/replay_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datapath/server/registry.h"

void replay_read_close(struct rec_in *in, struct replay_outcome *out)
{
	out->closed = true;
	out->then_hash = rec_in_u64(in);
	out->then_slots = rec_in_u64(in);
	out->then_pkts = rec_in_u64(in);
	out->lost_pkts = rec_in_u64(in);
	out->full = rec_in_u64(in);
	out->evicted_pkts = rec_in_u64(in);
}

void replay_count(const struct record_result *r, struct replay_outcome *out)
{
	if (!r)
		return;
	out->n_out += r->kind == REC_OUT;
	out->n_misses += r->kind == REC_MISS;
	out->n_drops += r->kind == REC_DROP ? r->v[2] : 0;
}

static const char *port_name(uint64_t id)
{
	const struct port_object *p = id < PORT_ID_MAX ? registry_port_by_id((uint32_t)id) : NULL;

	if (id == RECORD_CONTROLLER)
		return "controllers";
	return p ? p->o.name : id ? "a port that is gone" : "no port";
}

void replay_describe(const struct record_result *r, char *to, size_t size)
{
	if (!r)
		snprintf(to, size, "nothing");
	else if (r->kind == REC_OUT)
		snprintf(to, size, "out to %.60s, %" PRIu64 " bytes, hash %016" PRIx64,
			 port_name(r->v[0]), r->v[1], r->v[2]);
	else if (r->kind == REC_DROP)
		snprintf(to, size, "drop of %" PRIu64 " at %.60s: %s", r->v[2], port_name(r->v[0]),
			 r->v[1] < DROP_N ? drop_infos[r->v[1]].name : "?");
	else if (r->kind == REC_MISS)
		snprintf(to, size, "miss of %.60s, %scached, decision %016" PRIx64,
			 port_name(r->v[0]), r->v[1] ? "" : "not ", r->v[2]);
	else
		snprintf(to, size,
			 "cache of thread %" PRIu64 ": %" PRIu64 " entries, %" PRIu64
			 " masks, %" PRIu64 " evicted",
			 r->v[0], r->v[1], r->v[2], r->v[3]);
}

/* A part whose room was full ends in the middle of a slot, which is not played; its hash then has
 * results that no whole slot has. */
bool replay_is_equal(const struct replay_outcome *o)
{
	bool same_hash = o->stopped || o->full || o->hash == o->then_hash;

	return !o->n_differences && !o->n_runs_different && !o->n_parts_different && same_hash;
}

void replay_add(struct replay_outcome *sum, const struct replay_outcome *part)
{
	uint64_t shown = SL_MIN(part->n_differences, (uint64_t)REPLAY_DIFFERENCES);

	if (!sum->n_parts)
		sum->begin_ns = part->begin_ns;
	sum->evicted_pkts = SL_MAX(sum->evicted_pkts, part->evicted_pkts); /* so far, each says */
	for (uint64_t i = 0; i < shown; i++) {
		struct replay_difference *d =
			&sum->difference[SL_MIN(sum->n_differences + i, REPLAY_DIFFERENCES - 1ull)];

		if (sum->n_differences + i >= REPLAY_DIFFERENCES)
			break;
		*d = part->difference[i];
		d->slot += sum->n_slots;
		d->at_ns += part->begin_ns - sum->begin_ns;
	}
	sum->n_differences += part->n_differences;
	sum->n_slots += part->n_slots;
	sum->n_pkts += part->n_pkts;
	sum->n_changes += part->n_changes;
	sum->n_out += part->n_out;
	sum->n_drops += part->n_drops;
	sum->n_misses += part->n_misses;
	sum->n_threads = SL_MAX(sum->n_threads, part->n_threads);
	sum->stopped |= part->stopped;
	sum->hash = record_hash_part(sum->hash, sum->n_parts, part->hash);
	sum->then_hash = record_hash_part(sum->then_hash, sum->n_parts, part->then_hash);
	sum->closed = part->closed;
	sum->full |= part->full;
	sum->then_slots += part->then_slots;
	sum->then_pkts += part->then_pkts;
	sum->lost_pkts += part->lost_pkts;
	sum->n_parts_different += !replay_is_equal(part);
	sum->n_parts++;
}

static void print_text(const char *file, const struct replay_outcome *o)
{
	uint64_t shown = SL_MIN(o->n_differences, (uint64_t)REPLAY_DIFFERENCES);

	printf("%s: %" PRIu64 " packets in %" PRIu64 " slots of %u poll thread%s, %" PRIu64
	       " changes\n",
	       file, o->n_pkts, o->n_slots, o->n_threads, o->n_threads == 1 ? "" : "s",
	       o->n_changes);
	printf("came of it: %" PRIu64 " sent, %" PRIu64 " dropped, %" PRIu64
	       " resolved; hash %016" PRIx64 "\n",
	       o->n_out, o->n_drops, o->n_misses, o->hash);
	if (o->stopped)
		printf("stopped there, as asked\n");
	if (o->evicted_pkts)
		printf("it begins with the oldest of %u parts that were kept: %" PRIu64
		       " packets before made room\n",
		       o->n_parts, o->evicted_pkts);
	if (o->lost_pkts || o->full)
		printf("incomplete: they came too fast for its room; %" PRIu64
		       " packets in between are not in it\n",
		       o->lost_pkts);
	for (uint64_t i = 0; i < shown; i++) {
		const struct replay_difference *d = &o->difference[i];

		printf("different: slot %" PRIu64 " (%s%.0u, +%.6f s, byte %zu)\n  then: %s\n"
		       "  now:  %s\n",
		       d->slot, d->thread == RECORD_MAIN ? "main thread" : "poll thread ",
		       d->thread == RECORD_MAIN ? 0 : d->thread, (double)d->at_ns / 1e9, d->byte,
		       d->then, d->now);
	}
	if (shown < o->n_differences)
		printf("… and %" PRIu64 " more differences\n", o->n_differences - shown);
	if (o->n_runs > 1)
		printf("%u runs: %u of them with another hash\n", o->n_runs, o->n_runs_different);
	printf("%s\n", replay_is_equal(o) ? "equal" : "different");
}

static void print_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void print_difference(const struct replay_difference *d)
{
	printf("{\"slot\":%" PRIu64 ",\"thread\":%d,\"time_ns\":%" PRIu64 ",\"byte\":%zu,\"then\":",
	       d->slot, d->thread == RECORD_MAIN ? -1 : (int)d->thread, d->at_ns, d->byte);
	print_string(d->then);
	printf(",\"now\":");
	print_string(d->now);
	putchar('}');
}

static void print_json(const char *file, const struct replay_outcome *o)
{
	uint64_t shown = SL_MIN(o->n_differences, (uint64_t)REPLAY_DIFFERENCES);

	printf("{\"file\":");
	print_string(file);
	printf(",\"equal\":%s,\"packets\":%" PRIu64 ",\"slots\":%" PRIu64
	       ",\"threads\":%u,\"changes\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"dropped\":%" PRIu64
	       ",\"resolved\":%" PRIu64,
	       replay_is_equal(o) ? "true" : "false", o->n_pkts, o->n_slots, o->n_threads,
	       o->n_changes, o->n_out, o->n_drops, o->n_misses);
	printf(",\"hash\":\"%016" PRIx64 "\",\"recorded_hash\":\"%016" PRIx64
	       "\",\"stopped\":%s,\"full\":%s,\"lost\":%" PRIu64 ",\"evicted\":%" PRIu64
	       ",\"parts\":%u"
	       ",\"runs\":%u,\"runs_different\":%u,\"n_differences\":%" PRIu64 ",\"differences\":[",
	       o->hash, o->then_hash, o->stopped ? "true" : "false", o->full ? "true" : "false",
	       o->lost_pkts, o->evicted_pkts, o->n_parts, o->n_runs, o->n_runs_different,
	       o->n_differences);
	for (uint64_t i = 0; i < shown; i++) {
		if (i)
			putchar(',');
		print_difference(&o->difference[i]);
	}
	printf("]}\n");
}

void replay_print(const char *file, const struct replay_outcome *o, bool json)
{
	if (json)
		print_json(file, o);
	else
		print_text(file, o);
}
