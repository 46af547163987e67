/* SPDX-License-Identifier: BSD-3-Clause */
/* What other commands need of attachments. */
#pragma once
struct command_call;

/* Takes every attached port off its bridge and removes its veth pair. */
int attach_remove_all(struct command_call *c);
