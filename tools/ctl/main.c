/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice: finds the command in the table, parses its options, runs it. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"

const struct command commands[] = {
#define COMMAND(fn, noun, verb, args, flags, help)                                                 \
	{noun, verb, args, flags, help, cmd_##fn, NULL, NULL},
#define OPTION(name, arg, help) {NULL, NULL, NULL, 0, help, NULL, name, arg},
#include "tools/ctl/commands.def"
#undef COMMAND
#undef OPTION
};
const size_t n_commands = SL_ARRAY_SIZE(commands);

int command_fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("error: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return EXIT_FAILED;
}

int command_fail_err(const struct err *e)
{
	return command_fail("%s", e->text);
}

int command_fail_input(const struct err *e)
{
	command_fail_err(e);
	return e->code == ECONNRESET || e->code == ECONNREFUSED || e->code == ENOMEM ||
			       e->code == EBUSY
		       ? EXIT_FAILED
		       : EXIT_USAGE;
}

int command_usage(const struct command_call *c, const char *fmt, ...)
{
	struct str synopsis = STR_INIT;
	va_list ap;
	command_synopsis(c->command, &synopsis);
	va_start(ap, fmt);
	fputs("error: ", stderr);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\nusage: sluice %s\n", str_cstr(&synopsis));
	va_end(ap);
	str_free(&synopsis);
	return EXIT_USAGE;
}

const char *command_dashes(const struct command *o)
{
	return o->option[1] ? "--" : "-";
}

void command_synopsis(const struct command *c, struct str *out)
{
	str_puts(out, c->noun);
	if (c->verb[0])
		str_printf(out, " %s", c->verb);
	if (c->args[0])
		str_printf(out, " %s", c->args);
	for (const struct command *o = c + 1; o < commands + n_commands && o->option; o++)
		str_printf(out, o->option_arg[0] ? " [%s%s %s]" : " [%s%s]", command_dashes(o),
			   o->option, o->option_arg);
	if (c->flags & COMMAND_JSON)
		str_puts(out, " [--json]");
}

const char *command_option(const struct command_call *c, const char *name)
{
	for (size_t i = 0; i < c->n_given; i++)
		if (!strcmp(c->given[i].name, name))
			return c->given[i].value;
	return NULL;
}

static void print_help(const char *noun)
{
	if (!noun)
		puts("sluice: a software switch\nusage: sluice [--rundir DIR] COMMAND "
		     "[ARGUMENT]...\n");
	for (size_t i = 0; i < n_commands; i++) {
		const struct command *c = &commands[i];
		char left[64];
		if (c->option) {
			if (noun && i && noun[0]) {
				snprintf(left, sizeof left, "  %s%s %s", command_dashes(c),
					 c->option, c->option_arg);
				printf("    %-34s %s\n", left, c->help);
			}
			continue;
		}
		if (noun && strcmp(noun, c->noun)) {
			while (i + 1 < n_commands && commands[i + 1].option)
				i++;
			continue;
		}
		snprintf(left, sizeof left, "%s %s%s%s", c->noun, c->verb, c->verb[0] ? " " : "",
			 c->args);
		printf("  %-36s %s\n", left, c->help);
	}
	if (!noun)
		puts("\nReads know --json. A noun alone shows. sluice NOUN --help says more.");
}

static const struct command *find(const char *noun, const char *verb)
{
	for (size_t i = 0; i < n_commands; i++)
		if (!commands[i].option && !strcmp(commands[i].noun, noun) &&
		    !strcmp(commands[i].verb, verb))
			return &commands[i];
	return NULL;
}

static bool is_noun(const char *word)
{
	for (size_t i = 0; i < n_commands; i++)
		if (!commands[i].option && !strcmp(commands[i].noun, word))
			return true;
	return false;
}

static const struct command *find_option(const struct command *c, const char *name, size_t len)
{
	for (const struct command *o = c + 1; o < commands + n_commands && o->option; o++)
		if (strlen(o->option) == len && !strncmp(o->option, name, len))
			return o;
	return NULL;
}

/* "--name" or "-n"; a single dash is an argument (standard input or output). */
static bool is_option(const char *word)
{
	return word[0] == '-' && (word[1] == '-' ? word[2] != '\0' : word[1] && !word[2]);
}

/* One word that is_option(). Returns how many words were taken; 0: unknown. */
static int take_option(struct command_call *c, int left, char **words)
{
	bool is_short = words[0][1] != '-';
	const char *name = words[0] + (is_short ? 1 : 2), *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	const struct command *o =
		is_short == (len == 1) ? find_option(c->command, name, len) : NULL;
	if (!eq && !strcmp(name, "json") && c->command->flags & COMMAND_JSON) {
		c->json = true;
		return 1;
	}
	if (!o || c->n_given == COMMAND_OPTIONS_MAX || (!o->option_arg[0] && eq))
		return 0;
	c->given[c->n_given].name = o->option;
	if (!o->option_arg[0]) {
		c->given[c->n_given++].value = "";
		return 1;
	}
	if (!eq && left < 2)
		return 0;
	c->given[c->n_given++].value = eq ? eq + 1 : words[1];
	return eq ? 1 : 2;
}

/* How many arguments the synopsis needs and allows (-1: any). */
static void count_args(const char *args, int *min, int *max)
{
	char *copy = xstrdup(args), *save = NULL;
	*min = *max = 0;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (strstr(w, "..."))
			*max = -1;
		else if (*max >= 0)
			++*max;
		*min += w[0] != '[';
	}
	free(copy);
}

static int run(struct command_call *c, int n, char **words)
{
	int min, max;
	c->argv = words; /* positional words are moved to the front */
	for (int i = 0; i < n;) {
		int taken;
		if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h")) {
			print_help(c->command->noun);
			return EXIT_OK;
		}
		if (!is_option(words[i])) {
			c->argv[c->argc++] = words[i++];
			continue;
		}
		taken = take_option(c, n - i, words + i);
		if (!taken)
			return command_usage(c, "option %s is not known or not complete", words[i]);
		i += taken;
	}
	count_args(c->command->args, &min, &max);
	if (c->argc < min)
		return command_usage(c, "too few arguments");
	if (max >= 0 && c->argc > max)
		return command_usage(c, "too many arguments");
	return c->command->run(c);
}

static const char *environment(const char *name, const char *def)
{
	const char *v = getenv(name);
	return v && v[0] ? v : def;
}

/* What was printed may not have been written: a full disk behind a redirection. Who stops reading
 * (head) has what he wanted. */
static int written(int rc)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
	bool failed = ferror(stdout);
	errno = 0;
	failed |= fflush(stdout) != 0;
	if (!failed || rc != EXIT_OK || (poll(&out, 1, 0) == 1 && out.revents & POLLERR))
		return rc;
	command_fail("standard output: %s", errno ? strerror(errno) : "cannot be written");
	return EXIT_USAGE;
}

int main(int argc, char *argv[])
{
	struct command_call c = {.rundir = environment("SLUICE_RUNDIR", "/run/sluice"),
				 .dbdir = environment("SLUICE_DBDIR", "/var/lib/sluice")};
	struct err e = {0};
	int i = 1, words = 1;

	log_set_levels("warn", &e);
	while (argc - i >= 2 && (!strcmp(argv[i], "--rundir") || !strcmp(argv[i], "--dbdir"))) {
		*(argv[i][2] == 'r' ? &c.rundir : &c.dbdir) = argv[i + 1];
		i += 2;
	}
	if (i == argc || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h") ||
	    !strcmp(argv[i], "help")) {
		bool of_noun = argc - i >= 2 && is_noun(argv[i + 1]); /* sluice help port [add] */

		print_help(of_noun ? argv[i + 1] : NULL);
		return i == argc ? EXIT_USAGE : EXIT_OK;
	}
	if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "-V")) {
		printf("sluice %s\n", SLUICE_VERSION);
		return EXIT_OK;
	}
	c.command = argc - i >= 2 ? find(argv[i], argv[i + 1]) : NULL;
	if (c.command)
		words = 2;
	else
		c.command = find(argv[i], "");
	if (!c.command)
		c.command = find(argv[i], "show");
	if (!c.command)
		c.command = find(argv[i], "dump");
	if (!c.command) {
		command_fail(is_noun(argv[i]) ? "%s: which command? See sluice %s --help"
					      : "%s: no such command. See sluice --help",
			     argv[i], argv[i]);
		return EXIT_USAGE;
	}
	return written(run(&c, argc - i - words, argv + i + words));
}
