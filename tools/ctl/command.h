/* SPDX-License-Identifier: BSD-3-Clause */
/* The sluice command: its table of commands (commands.def) and what a handler gets. Help,
 * completion and the man page are made from the same table. One thread, one command, then exit. */
#pragma once
#include "datapath/api/client.h"
#include "datapath/base/err.h"
#include "datapath/base/str.h"

enum {
	COMMAND_JSON = 1, /* a read: knows --json */
	COMMAND_FLOW = 2, /* completes names of fields and actions */
	COMMAND_OPTIONS_MAX = 64,
};

struct command_call;
/* A row of commands.def. The options of a command are the rows after it, up to the next command. */
struct command {
	const char *noun, *verb; /* verb "": the noun alone */
	const char *args;        /* "NAME [KEY=VALUE]..." */
	unsigned flags;
	const char *help;
	int (*run)(struct command_call *c);
	const char *option; /* an option: its name without dashes, one letter: -x; run is NULL */
	const char *option_arg; /* "" : a flag */
};
extern const struct command commands[];
extern const size_t n_commands;

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command_call {
	const struct command *command;
	int argc; /* positional arguments */
	char **argv;
	const char *rundir, *dbdir;
	bool json;
	struct {
		const char *name, *value;
	} given[COMMAND_OPTIONS_MAX];
	size_t n_given;
};

/* NULL: not given; "" for a flag. Of an option given several times, the first. */
const char *command_option(const struct command_call *c, const char *name);
const char *command_dashes(const struct command *option); /* "--" or "-" */
/* Prints "error: …" and returns EXIT_FAILED (EXIT_USAGE). */
int command_fail(const char *fmt, ...) SL_PRINTF(1, 2);
int command_usage(const struct command_call *c, const char *fmt, ...) SL_PRINTF(2, 3);
int command_fail_err(const struct err *e);
/* The same, with EXIT_USAGE when what was given (a port, a file, a filter, a packet) is wrong, and
 * EXIT_FAILED when the daemon is. */
int command_fail_input(const struct err *e);

/* "port add NAME BRIDGE [KEY=VALUE]..." */
void command_synopsis(const struct command *c, struct str *out);

/* ---- the datapath ---- */
/* NULL after an error message. */
struct api_client *command_datapath(const struct command_call *c, bool writer);
typedef void (*command_object_fn)(struct attrs object, void *aux);
/* Sends a dump request (taken over), calls fn for every OBJECT. EXIT_OK or EXIT_FAILED. */
int command_dump(const struct command_call *c, struct msg *request, command_object_fn fn,
		 void *aux);
/* The same on an open connection, without a message: 0 or -errno with *e set. */
int command_dump_on(struct api_client *client, struct msg *request, command_object_fn fn, void *aux,
		    struct err *e);
char *command_path(const struct command_call *c, const char *name); /* in the run directory */

/* ---- sluiced ---- */
/* Somebody accepts on the socket `name` of the run directory. */
bool command_socket_accepts(const struct command_call *c, const char *name);
/* Calls a command of sluiced.sock; the text goes to *reply (caller frees). EXIT_OK or, after the
 * error message, EXIT_FAILED. */
int command_sluiced(const struct command_call *c, const char *method, const char *const *params,
		    size_t n_params, char **reply);
/* The same, but what sluiced answers as an error goes to *error (caller frees) untold. */
int command_sluiced_error(const struct command_call *c, const char *method,
			  const char *const *params, size_t n_params, char **reply, char **error);
