/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet's way, for people: the STEPs and PARTs of a TRACE answer, or of a TRACED packet
 * (api/messages.def). One printer for every command that shows them. */
#pragma once
#include "datapath/api/msg.h"
#include "datapath/base/str.h"

/* One line per step, indented by its depth; with times when the steps have them. */
void trace_text_steps(struct attrs answer, struct str *out);
/* What becomes of the packet as a whole, in a line or two: outputs, or the reason with its remedy.
 */
void trace_text_result(struct attrs answer, struct str *out);
/* The megaflow of each part, and for every field the step that read it. */
void trace_text_megaflows(struct attrs answer, struct str *out);
/* The reason when nothing leaves; NULL when something does, or when a controller has it. */
const char *trace_text_drop(struct attrs answer);
/* The policy rule that refuses it, as far as `trace_text_drop` says so; NULL: none does. */
const char *trace_text_denied_by(struct attrs answer);
