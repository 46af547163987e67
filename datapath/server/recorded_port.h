/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports in a recording: what their devices said of themselves, and the class that says it again in
 * a replay, where packets come from the recording and go nowhere. Main thread, but for the class's
 * rx_burst and tx_burst. */
#pragma once
#include "datapath/port/port.h"

struct recording;
struct rec_in;

/* The facts at the end of PORT and OPENED; p NULL: there is no device. */
void recorded_port_put(struct recording *r, const struct port *p);
/* In a slot: its status is now another one. */
void recorded_port_moved(const struct port *p, const struct port_status *now);

extern const struct port_class port_class_recorded;
/* What the next open, set or refresh of that port says; behind port number and name or not. False:
 * the event is damaged. */
bool recorded_port_expect(uint32_t id, struct rec_in *in);
bool recorded_port_state(struct rec_in *in); /* STATE */
void recorded_port_forget(void);             /* all that was expected */
