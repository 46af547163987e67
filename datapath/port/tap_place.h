/* SPDX-License-Identifier: BSD-3-Clause */
/* Where an internal port's tap is: it may have been moved into a network namespace, and renamed
 * there, before this process died. A tap carries a random number in its alias which is also in
 * <rundir>/taps/<port>; the next process looks for it in the namespaces that it can see. The number
 * is not known to others, so that a container cannot have a host port put into it.
 *
 * Device thread. For datapath/port only. */
#pragma once
#include <net/if.h>

/* Marks the port's tap, called `name` in the thread's namespace. 0 or -errno: then it can only be
 * found again under its name in this namespace. */
int tap_place_mark(const char *port, const char *name);
/* Finds the marked tap: *ns is the namespace (the caller closes it), `name` what it is called
 * there. -ENOENT: there is none. */
int tap_place_find(const char *port, int *ns, char name[IFNAMSIZ]);
/* The tap is gone for good. */
void tap_place_forget(const char *port);
