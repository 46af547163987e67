/* SPDX-License-Identifier: BSD-3-Clause */
/* The dropped packets that the datapath remembers (DROPPED of api/messages.def), and which of them
 * a packet of a file is. One thread. */
#pragma once
#include <jansson.h>

#include "datapath/base/vec.h"
#include "tools/ctl/command.h"
#include "tools/ctl/drop_match.h"

struct dropped {
	struct attrs o;              /* its bytes are ours */
	struct packet_identity what; /* data NULL: nothing of the packet is left */
	uint64_t time_ns, count;
	const char *port, *from, *reason;
	bool found; /* a packet of the file is it */
};
struct dropped_place {
	uint64_t hash;
	size_t i; /* in `all` */
};
struct dropped_list {                      /* zero-initialised is empty */
	VEC(struct dropped) all;           /* oldest first */
	VEC(struct dropped_place) by_hash; /* ascending */
};
struct dropped_select {
	const char *port, *reason; /* NULL: any */
	uint32_t limit;            /* the newest; 0: all */
};

/* -errno with *e set. A datapath that remembers none, being older, is no error. */
int dropped_read(struct api_client *client, const struct dropped_select *s, struct dropped_list *l,
		 struct err *e);
void dropped_free(struct dropped_list *l);
/* The one that a packet of a file is, which is nobody else's from then on: the surest; of those one
 * that came by `from` (NULL: not known; only those when it must be, or when it was rewritten); of
 * those the nearest to the file's time, or the newest when that cannot be. NULL: none. */
struct dropped_wanted {
	struct packet_identity what;
	const char *from;
	bool only_from;
	uint64_t time_ns;
};
const struct dropped *dropped_find(struct dropped_list *l, const struct dropped_wanted *w,
				   enum drop_match *how);
/* How many are remembered of a port and reason. */
uint64_t dropped_count(const struct dropped_list *l, const char *port, const char *reason);

/* "12:03:04.123456 on web1: REASON: help, by …\n  what to do: …", appended, without end of line. */
void dropped_text(const struct dropped *d, struct str *out);
/* One line: "12:03:04.123456789 x web1 10.0.0.1 > … | dropped: …". */
void dropped_line(const struct dropped *d, struct str *out);
json_t *dropped_json(const struct dropped *d); /* the caller's */
