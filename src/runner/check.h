/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be known to be wrong with a harness before anything of it is started: its policy, and the
 * programs that it names. Called by run.c. Looks, and changes nothing.
 */
#ifndef POSTERN_CHECK_H
#define POSTERN_CHECK_H
#include "base/error.h"
#include "runner/harness.h"

struct policy; /* policy/policy.h */

/* 0, or -errno with *e at its place in the policy or the harness; -EOPNOTSUPP when this machine lacks
 * what the policy insists on. */
int check_harness(const struct harness *h, const struct policy *policy, struct error *e);
#endif
