/* SPDX-License-Identifier: BSD-3-Clause */
/* The rates of what ports send, the policy's or the port's own, whichever is lower, are told to
 * where packets can wait for their turn (datapath/poll/pace.h). Main thread. */
#pragma once

/* A port or the policy may have changed. */
void port_rates_changed(void);

/* What has changed since the last call takes effect. Called before the next message of any client
 * is read, so that who has set a rate finds it set. */
void port_rates_apply(void);
