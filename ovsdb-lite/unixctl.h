/* SPDX-License-Identifier: BSD-3-Clause */
/* Control socket as ovs-appctl speaks it: JSON-RPC 1.0, the method is the command, the parameters
 * are strings, the result or error is one string. After ["--format","json"] to set-options, plain
 * results come wrapped in {"reply-format":"plain","reply":…}. Runs on the base's thread; mode 0600
 * of the socket is the access control. Built in: list-commands, version, set-options, vlog/{list,
 * list-pattern,set,reopen,close,enable-rate-limit,disable-rate-limit},
 *coverage/{show,read-counter}.
 *
 *	static void show(struct unixctl_call *call, int argc, const char *argv[], void *aux)
 *	{
 *		unixctl_reply(call, "text");          // or unixctl_error(call, "fdb/show: …")
 *	}
 *	unixctl_register(ctl, "fdb/show", "[bridge]", 0, 1, show, aux);
 */
#pragma once
#include "datapath/base/err.h"

struct event_base;
struct unixctl;
struct unixctl_call; /* one request awaiting its answer */

/* argv[0] is the command, argv[1..argc-1] its arguments. The handler answers now or keeps `call`
 * and answers later from the same thread; exactly once, which frees it. A vanished client is fine.
 */
typedef void (*unixctl_handler)(struct unixctl_call *call, int argc, const char *argv[], void *aux);

/* `program` is the first line of "version", e.g. "ovsdb-server (Open vSwitch) 3.1.0". The socket
 * file is replaced if no one listens on it, and removed at destroy. */
int unixctl_create(struct unixctl **out, struct event_base *base, const char *path,
		   const char *program, struct err *e);
void unixctl_destroy(struct unixctl *u);
/* Names and usage are borrowed; a second registration of a name replaces the first. */
void unixctl_register(struct unixctl *u, const char *name, const char *usage, int min_args,
		      int max_args, unixctl_handler fn, void *aux);
void unixctl_reply(struct unixctl_call *call, const char *text);
void unixctl_error(struct unixctl_call *call, const char *text);
/* Who asks, as the kernel says; pid 0: not known. */
struct unixctl_peer {
	pid_t pid;
	uid_t uid;
};
struct unixctl_peer unixctl_peer_of(const struct unixctl_call *call);
/* Did this connection ask for JSON (set-options)? Then `json` of unixctl_reply_json is sent as is.
 */
bool unixctl_wants_json(const struct unixctl_call *call);
void unixctl_reply_json(struct unixctl_call *call, const char *json_text);
