/* SPDX-License-Identifier: BSD-3-Clause */
/* A policy that must be confirmed in time. The database keeps two documents beside it, written in
 * the same transaction: "previous", the policy to go back to, and "confirm", the wall clock [ms]
 * until which it may be confirmed. The datapath has the same time limit and goes back by itself;
 * what is here makes the database follow, also after sluiced was away. Event-loop thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct policy_run;
struct unixctl_call;

uint64_t policy_confirm_until(const struct policy_run *r); /* 0: nothing waits */
/* Its time is over: it must not be sent any more. */
bool policy_confirm_is_overdue(const struct policy_run *r);
/* What `rollback` goes back to; NULL: nothing. Borrowed until the loop runs again. */
const char *policy_confirm_previous(const struct policy_run *r);
/* The database goes back to the policy before. */
void policy_confirm_go_back(struct policy_run *r);
/* Answers the call. */
void policy_confirm(struct policy_run *r, struct unixctl_call *call);
