/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job's log on its way out: made plain text, and cut at its limit with a line that says so. Used by
 * postern-worker for whatever an engine prints; owns nothing.
 */
#ifndef POSTERN_WORKER_JOBLOG_H
#define POSTERN_WORKER_JOBLOG_H
#include "worker/text.h"

#include <stdbool.h>

#define JOBLOG_PIECE (32 * 1024) /* bytes that may be fed at once */

struct joblog {
	uint64_t limit; /* bytes */
	void (*write)(void *arg, const char *text, size_t n);
	void *arg;
	struct text_filter filter;
	uint64_t written;
	bool cut;
};

void joblog_feed(struct joblog *l, const char *bytes, size_t n);
/* No more will come: end the last line. */
void joblog_end(struct joblog *l);
#endif
