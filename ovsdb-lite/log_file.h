/* SPDX-License-Identifier: BSD-3-Clause */
/* The append-only file of ovsdb-tool: records "OVSDB JSON <bytes> <sha1>\n<json>\n". This file
 * knows records; what is in them is storage.c's business. Event-loop thread, except that
 * ovsdb_log_fd() may be fsynced by another while the log is open. */
#pragma once
#include "datapath/base/err.h"
#include "datapath/base/str.h"

struct ovsdb_log;

enum ovsdb_log_mode {
	OVSDB_LOG_READ_WRITE, /* existing file; takes the lock file beside it */
	OVSDB_LOG_CREATE,     /* must not exist; takes the lock */
	OVSDB_LOG_TEMPORARY,  /* truncates whatever is there; no lock: a new snapshot */
};

/* -EAGAIN: somebody else holds the lock. Symbolic links are followed first. */
int ovsdb_log_open(struct ovsdb_log **out, const char *path, enum ovsdb_log_mode mode,
		   struct err *e);
void ovsdb_log_close(struct ovsdb_log *log); /* NULL is fine */

/* Next record's text (borrowed until the log is closed or appended to): 1, 0 at the end, -EINVAL
 * with e saying where the file is damaged. A torn last record ends the log with a warning; the
 * first append cuts it off. */
int ovsdb_log_read(struct ovsdb_log *log, const char **text, size_t *len, struct err *e);
/* Frees what reading needed. */
void ovsdb_log_end_reading(struct ovsdb_log *log);

/* Appends one record (text without the newline). On failure the file is cut back to what it was:
 * -ENOSPC, -EIO … Not synced. Where the file system can set space aside, the record may stay in
 * memory until flush(), which then cannot run out of space: a pass of the event loop over many
 * clients costs one write. Nobody may be told of the record before flush(). */
int ovsdb_log_append(struct ovsdb_log *log, const char *text, size_t len, struct err *e);
/* Writes what append() kept; cheap when there is nothing. A failure (the device broke) is logged,
 * and every later append fails. */
int ovsdb_log_flush(struct ovsdb_log *log);
int ovsdb_log_sync(struct ovsdb_log *log); /* blocking; -errno */

int ovsdb_log_fd(const struct ovsdb_log *log);
off_t ovsdb_log_size(const struct ovsdb_log *log);
/* Another process has written this much to the file of a TEMPORARY log. */
void ovsdb_log_set_size(struct ovsdb_log *log, off_t size);
const char *ovsdb_log_path(const struct ovsdb_log *log);
/* Copies [from, size) of `log` to the end of `to`. */
int ovsdb_log_copy_tail(struct ovsdb_log *log, off_t from, struct ovsdb_log *to, struct err *e);
/* Renames `snapshot` (synced here) over `log`'s file; `log` goes on in the new file. Frees
 * snapshot. */
int ovsdb_log_replace(struct ovsdb_log *log, struct ovsdb_log *snapshot, struct err *e);
