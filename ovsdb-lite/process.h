/* SPDX-License-Identifier: BSD-3-Clause */
/* What a daemon does around its event loop: pid file with the fcntl lock by which ovs-appctl
 * recognises a living daemon, and --detach that returns to the shell only when the daemon is ready.
 * Main thread, before other threads start (detach forks). */
#pragma once
#include "datapath/base/err.h"

struct pidfile;

/* Writes "PID\n" to `path` and holds a write lock on it as long as the process lives. -EAGAIN when
 * another process holds it, unless `overwrite`. Creates it under a temporary name and renames, so
 * that a reader never sees it unlocked. Call after detaching. */
int pidfile_create(struct pidfile **out, const char *path, bool overwrite, struct err *e);
void pidfile_remove(struct pidfile *p); /* unlinks and frees; NULL is fine */
/* Removes the file again if the process dies by exit() or a handled signal without remove(). */
const char *pidfile_path(const struct pidfile *p);

/* Forks: the parent waits until the child calls daemonize_ready() or dies, and exits with 0 or the
 * child's status; the child returns from here with a new session. */
int daemonize_start(struct err *e);
/* Tells the waiting parent that all is well; stdin/out/err go to /dev/null; chdir to / unless
 * `keep_dir`. Does nothing when daemonize_start() was not called. */
void daemonize_ready(bool keep_dir);
/* From here on a parent watches over this process and starts it again, from here, when it is ended
 * by a signal that means an error of its own (SIGSEGV, SIGABRT, …), at most every 10 s after the
 * first time. It ends with the status of a process that ends otherwise, or never gets ready. After
 * daemonize_start(). */
int daemonize_watch(struct err *e);
/* Becomes USER[:GROUP], or :GROUP, by names; with the user's own groups. */
int become_user(const char *spec, struct err *e);
