/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds and filters a log. */
#include "worker/joblog.h"

#include <assert.h>
#include <stdio.h>

static void write_text(struct joblog *l, const char *text, size_t n)
{
	uint64_t room = l->limit - l->written;
	if (l->cut || !n)
		return;
	size_t take = n < room ? n : (size_t)room;
	while (take && take < n && (text[take] & 0xc0) == 0x80) /* not within a character */
		take--;
	l->write(l->arg, text, take);
	l->written += take;
	if (take == n)
		return;
	char note[96];
	int len = snprintf(note, sizeof(note), "\n[the log was cut here, at %llu bytes]\n",
			   (unsigned long long)l->written);
	l->write(l->arg, note, (size_t)len);
	l->cut = true;
}

void joblog_feed(struct joblog *l, const char *bytes, size_t n)
{
	static char text[3 * JOBLOG_PIECE + 12];
	assert(n <= JOBLOG_PIECE);
	write_text(l, text, text_filter_feed(&l->filter, bytes, n, text));
}

void joblog_end(struct joblog *l)
{
	char text[8];
	write_text(l, text, text_filter_end(&l->filter, text));
}
