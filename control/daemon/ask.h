/* SPDX-License-Identifier: BSD-3-Clause */
/* A control command that is answered from dumps of the datapath: sends requests, lets a function
 * turn each object into text, answers when the last reply is in. Nothing waits meanwhile. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/str.h"

struct sluiced;
struct unixctl_call;

struct ask;
/* Called once per OBJECT of a dump. */
typedef void (*ask_object_fn)(struct ask *a, struct attrs object);

struct ask {
	struct sluiced *d;
	struct unixctl_call *call;
	struct str text;     /* the answer so far */
	uint64_t numbers[8]; /* for the functions' own sums */
	char *bridge;
	/* Before the answer leaves; may be NULL. */
	void (*finish)(struct ask *a);
	void *aux;                      /* of the functions */
	void (*discard)(struct ask *a); /* frees it; may be NULL */

	/* private */
	size_t pending;
	struct str error;
};

/* NULL, after an error reply, when the datapath is away. */
struct ask *ask_begin(struct sluiced *d, struct unixctl_call *call);
/* Takes the request. */
void ask_send(struct ask *a, struct msg *request, ask_object_fn fn);
/* The same for a request without objects: appends the string `text` of its reply. */
void ask_send_whole(struct ask *a, struct msg *request, enum api_attr text);
/* After the last ask_send(). */
void ask_end(struct ask *a);
/* Instead of it: the command is refused with this text. */
void ask_fail(struct ask *a, const char *text);
/* A whole command: sends the transaction `change`, which it takes, and answers `text` when that is
 * done. */
void ask_change(struct sluiced *d, struct unixctl_call *call, struct msg *change, const char *text);
