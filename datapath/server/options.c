/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/server/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/log.h"

enum { CORE_MAX = 1023, MEMORY_MB_MIN = 16, MEMORY_MB_MAX = 1 << 20, MEMORY_MB_DEFAULT = 40 };

/* OPTION("name", letter or 0, argument: no, required or optional, "argument", "help") */
#define OPTIONS                                                                                    \
	OPTION("rundir", 0, required, "DIR", "where the sockets are (SLUICE_RUNDIR, /run/sluice)") \
	OPTION("cores", 0, required, "LIST", "cores of the poll threads, such as 1,4-6")           \
	OPTION("main-core", 0, required, "N", "core of the main thread (default: anywhere)")       \
	OPTION("memory", 0, required, "MB", "memory for packets and drivers (40)")                 \
	OPTION("no-huge", 0, no, "", "use no hugepages even if there are some")                    \
	OPTION("eal", 0, required, "\"ARGS\"", "further arguments for DPDK's EAL")                 \
	OPTION("detach", 0, no, "", "go to the background when ready")                             \
	OPTION("pidfile", 0, optional, "FILE", "write the process id")                             \
	OPTION("log-file", 0, optional, "FILE", "log to a file as well")                           \
	OPTION("verbose", 'v', optional, "SPEC", "log levels, such as api:dbg")                    \
	OPTION("replay", 0, required, "FILE", "play a recording again; no ports, no sockets")      \
	OPTION("write", 0, required, "FILE", "with --replay: what it sends, as pcapng")            \
	OPTION("until", 0, required, "N", "with --replay: stop after N slots")                     \
	OPTION("repeat", 0, required, "N", "with --replay: so many runs, which must be the same")  \
	OPTION("json", 0, no, "", "with --replay: the outcome as JSON")                            \
	OPTION("version", 'V', no, "", "print the version")                                        \
	OPTION("help", 'h', no, "", "print this")

enum {
	ARGUMENT_no = no_argument,
	ARGUMENT_required = required_argument,
	ARGUMENT_optional = optional_argument
};

static const struct {
	const char *name, *arg, *help;
	char letter;
	int has_arg;
} table[] = {
#define OPTION(name_, letter_, arg_kind, arg_, help_)                                              \
	{name_, arg_, help_, letter_, ARGUMENT_##arg_kind},
	OPTIONS
#undef OPTION
};

static void print_help(void)
{
	printf("usage: sluice-datapath [OPTION]…\nThe forwarding process of Sluice.\n\n");
	for (size_t i = 0; i < SL_ARRAY_SIZE(table); i++) {
		char left[64];

		snprintf(left, sizeof left, "%s%s%s%s", table[i].name,
			 table[i].has_arg == optional_argument ? "[" : "",
			 table[i].has_arg == no_argument ? "" : "=", table[i].arg);
		if (table[i].has_arg == optional_argument)
			strncat(left, "]", sizeof left - strlen(left) - 1);
		printf("  --%-22s %s\n", left, table[i].help);
	}
}

static int parse_number(const char *what, const char *text, uint64_t min, uint64_t max,
			uint64_t *out, struct err *e)
{
	if (!parse_u64(text, 10, max, out) || *out < min)
		return err_set(e, EINVAL, "--%s=%s: not a number from %llu to %llu", what, text,
			       (unsigned long long)min, (unsigned long long)max);
	return 0;
}

static int add_range(const char *text, const char *word, uint16_t *cores, unsigned max, unsigned *n,
		     struct err *e)
{
	char low[16];
	const char *dash = strchr(word, '-');
	size_t len = dash ? (size_t)(dash - word) : strlen(word);
	uint64_t from, to;

	snprintf(low, sizeof low, "%.*s", (int)SL_MIN(len, sizeof low - 1), word);
	if (len >= sizeof low || !parse_u64(low, 10, CORE_MAX, &from) ||
	    !parse_u64(dash ? dash + 1 : low, 10, CORE_MAX, &to) || to < from)
		return err_set(e, EINVAL, "cores \"%s\": want something like 1,4-6", text);
	for (; from <= to; from++) {
		for (unsigned i = 0; i < *n; i++)
			if (cores[i] == from)
				return err_set(e, EINVAL, "cores \"%s\": %u is there twice", text,
					       (unsigned)from);
		if (*n == max)
			return err_set(e, E2BIG, "cores \"%s\": more than %u", text, max);
		cores[(*n)++] = (uint16_t)from;
	}
	return 0;
}

int options_parse_cores(const char *text, uint16_t *cores, unsigned max, unsigned *n, struct err *e)
{
	char *copy = xstrdup(text), *save = NULL;
	int rc = 0;

	*n = 0;
	for (char *w = strtok_r(copy, ",", &save); w && !rc; w = strtok_r(NULL, ",", &save))
		rc = add_range(text, w, cores, max, n, e);
	if (!rc && !*n)
		rc = err_set(e, EINVAL, "cores \"%s\": none", text);
	free(copy);
	return rc;
}

static int take(const char *name, const char *arg, struct options *o, struct err *e)
{
	uint64_t v;

	if (!strcmp(name, "rundir"))
		o->rundir = arg;
	else if (!strcmp(name, "cores"))
		return options_parse_cores(arg, o->cores, POLL_THREADS_MAX, &o->n_cores, e);
	else if (!strcmp(name, "main-core")) {
		if (parse_number(name, arg, 0, CORE_MAX, &v, e))
			return -EINVAL;
		o->main_core = (int)v;
	} else if (!strcmp(name, "memory")) {
		if (parse_number(name, arg, MEMORY_MB_MIN, MEMORY_MB_MAX, &v, e))
			return -EINVAL;
		o->memory_mb = (unsigned)v;
	} else if (!strcmp(name, "no-huge"))
		o->no_huge = true;
	else if (!strcmp(name, "eal"))
		o->eal = arg;
	else if (!strcmp(name, "detach"))
		o->detach = true;
	else if (!strcmp(name, "pidfile"))
		o->pidfile = arg ? arg : "";
	else if (!strcmp(name, "log-file"))
		o->logfile = arg ? arg : "";
	else if (!strcmp(name, "verbose"))
		return log_set_levels(arg, e);
	else if (!strcmp(name, "replay"))
		o->replay = arg;
	else if (!strcmp(name, "write"))
		o->write = arg;
	else if (!strcmp(name, "json"))
		o->json = true;
	else if (!strcmp(name, "until"))
		return parse_number(name, arg, 1, INT64_MAX, &o->until, e);
	else if (!strcmp(name, "repeat")) {
		if (parse_number(name, arg, 1, 10000, &v, e))
			return -EINVAL;
		o->repeat = (unsigned)v;
	} else if (!strcmp(name, "version")) {
		printf("sluice-datapath %s\n", SLUICE_VERSION);
		return OPTIONS_EXIT;
	} else if (!strcmp(name, "help")) {
		print_help();
		return OPTIONS_EXIT;
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *o, struct err *e)
{
	struct option longs[SL_ARRAY_SIZE(table) + 1] = {0};
	char letters[3 * SL_ARRAY_SIZE(table) + 2] = ":";
	const char *env = getenv("SLUICE_RUNDIR");
	int c, rc = 0;

	*o = (struct options){.rundir = env && *env ? env : "/run/sluice",
			      .main_core = -1,
			      .memory_mb = MEMORY_MB_DEFAULT,
			      .repeat = 1};
	for (size_t i = 0; i < SL_ARRAY_SIZE(table); i++) {
		/* The index is the value, above every letter. */
		longs[i] = (struct option){table[i].name, table[i].has_arg, NULL, 256 + (int)i};
		if (table[i].letter)
			snprintf(letters + strlen(letters), 4, "%c%s", table[i].letter,
				 table[i].has_arg == optional_argument ? "::" : "");
	}
	optind = 1;
	while (!rc && (c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		size_t i = (size_t)(c - 256);

		if (c == '?' || c == ':')
			return err_set(e, EINVAL, "%s: %s; see --help", argv[optind - 1],
				       c == ':' ? "wants an argument" : "is not an option");
		for (size_t j = 0; c < 256 && j < SL_ARRAY_SIZE(table); j++)
			if (table[j].letter == c)
				i = j;
		rc = take(table[i].name, optarg, o, e);
	}
	if (!rc && optind < argc)
		rc = err_set(e, EINVAL, "%s: no arguments are taken; see --help", argv[optind]);
	return rc;
}
