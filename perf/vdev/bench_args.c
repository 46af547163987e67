/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/vdev/bench_args.h"

#include <ctype.h>
#include <errno.h>
#include <rte_kvargs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/vdev/bench_shm.h"

enum arg_kind { ARG_U8, ARG_U16, ARG_U32, ARG_U64, ARG_BOOL, ARG_SET, ARG_PCAP, ARG_NAME, ARG_MAC };

static const struct arg_row {
	const char *key;
	enum arg_kind kind;
	size_t offset;
	uint64_t max;
	const char *doc;
} rows[] = {
#define ARG(key, kind, member, max, doc)                                                           \
	{key, ARG_##kind, offsetof(struct bench_args, member), max, doc},
#include "perf/vdev/bench_args.def"
#undef ARG
};

static int set_source(struct bench_source_args *s, enum arg_kind kind, const char *value,
		      struct err *e)
{
	if (s->given)
		return err_set(e, EINVAL, "%s: a source is already given", value);
	s->given = true;
	if (kind == ARG_SET) {
		if (packet_set_kind_from_name(value, &s->spec.kind))
			return err_set(e, EINVAL, "no such set");
	} else {
		if (strlen(value) >= sizeof s->pcap)
			return err_set(e, EINVAL, "path too long");
		strcpy(s->pcap, value);
	}
	return 0;
}

static int set_name(char *to, const char *value, struct err *e)
{
	if (strlen(value) >= BENCH_SHM_NAME_BYTES || !isalnum((unsigned char)value[0]))
		return err_set(e, EINVAL, "not a file name");
	for (const char *p = value; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return err_set(e, EINVAL, "letters, digits, '.', '_' and '-' only");
	strcpy(to, value);
	return 0;
}

static int set_value(struct bench_args *a, const struct arg_row *row, const char *value,
		     struct err *e)
{
	void *to = (char *)a + row->offset;
	uint64_t v = 0;
	switch (row->kind) {
	case ARG_SET:
	case ARG_PCAP:
		return set_source(to, row->kind, value, e);
	case ARG_NAME:
		return set_name(to, value, e);
	case ARG_MAC:
		if (strlen(value) != 12 || !parse_u64(value, 16, UINT64_MAX, to))
			return err_set(e, EINVAL, "12 hexadecimal digits expected");
		return 0;
	case ARG_U8:
	case ARG_U16:
	case ARG_U32:
	case ARG_U64:
	case ARG_BOOL:
		break;
	}
	if (!parse_u64(value, 0, row->max, &v))
		return err_set(e, EINVAL, "not a number up to %llu", (unsigned long long)row->max);
	size_t bytes = row->kind == ARG_U64   ? 8
		       : row->kind == ARG_U32 ? 4
		       : row->kind == ARG_U16 ? 2
					      : 1;
	memcpy(to, &v, bytes); /* little-endian */
	return 0;
}

struct parse_state {
	struct bench_args *args;
	struct err *e;
};

static int take_pair(const char *key, const char *value, void *opaque)
{
	struct parse_state *s = opaque;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].key, key) == 0) {
			int ret = set_value(s->args, &rows[i], value ? value : "", s->e);
			if (ret)
				err_prefix(s->e, "%s=%s", key, value ? value : "");
			return ret;
		}
	}
	return err_set(s->e, EINVAL, "%s: unknown argument", key);
}

int bench_args_parse(struct bench_args *a, const char *text, struct err *e)
{
	*a = (struct bench_args){.gate_open = true, .source = 1, .queues = BENCH_MAX_QUEUES};
	a->main.spec.mark = UINT8_MAX;
	a->attack.spec.mark = UINT8_MAX;
	if (text && *text) {
		struct rte_kvargs *kv = rte_kvargs_parse(text, NULL);
		if (!kv)
			return err_set(e, EINVAL, "arguments are not key=value[,key=value…]");
		struct parse_state s = {a, e};
		int ret = rte_kvargs_process(kv, NULL, take_pair, &s);
		rte_kvargs_free(kv);
		if (ret)
			return ret;
	}
	if (a->main.spec.mark == UINT8_MAX)
		a->main.spec.mark = a->main.pcap[0] ? 0 : 1;
	if (a->attack.spec.mark == UINT8_MAX)
		a->attack.spec.mark = 2;
	if (a->attack.given && !a->main.given)
		return err_set(e, EINVAL, "attack_set: needs set= or pcap= beside it");
	if (a->mss && (!a->main.given || a->attack.given))
		return err_set(e, EINVAL, "mss: needs one source");
	if (a->source == 0 || a->queues == 0)
		return err_set(e, EINVAL, "source and queues: at least 1");
	return 0;
}

const char *bench_args_help(void)
{
	static char text[4096];
	size_t at = 0;
	for (size_t i = 0; i < SL_ARRAY_SIZE(rows) && at < sizeof text; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "  %-13s %s\n", rows[i].key,
				       rows[i].doc);
	return text;
}
