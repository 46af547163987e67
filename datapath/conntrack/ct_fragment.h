/* SPDX-License-Identifier: BSD-3-Clause */
/* Later fragments have no ports: the edges of policed ports, which hold nothing back, know them by
 * the first one of their datagram, which must have come before. (ct() of OpenFlow puts datagrams
 * together instead: datapath/exec/fragments.h.)
 *
 * One table of sets for the process, because first and later fragments may come by different
 * queues. Bounded: in a full set a port's own entry goes before anybody else's. A later fragment
 * that would overwrite what the first one said is not known. Poll threads; a lock a set. */
#pragma once
#include "datapath/conntrack/ct_packet.h"

enum { CT_FRAGMENT_SETS = 1024, CT_FRAGMENT_WAYS = 4, CT_FRAGMENT_MS = 2000 };

/* Remembers a first fragment, completes the tuple of a later one. False: its first one is not
 * known. Other packets pass. */
bool ct_fragment_track(struct ct_packet *p, uint32_t now_ms);
