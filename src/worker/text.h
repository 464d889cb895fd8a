/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile output made plain: what a build prints, on its way into a log that people read on a
 * terminal, and single lines of it on their way into JSON. Lets through UTF-8 text, newline and tab.
 * ESC and every other character that steers a terminal (C1, bidirectional overrides, separators of
 * lines) becomes U+FFFD; a carriage return ends a line, as progress bars mean it. Used by
 * postern-worker; owns nothing, allocates nothing.
 */
#ifndef POSTERN_WORKER_TEXT_H
#define POSTERN_WORKER_TEXT_H
#include <stddef.h>
#include <stdint.h>

/* State between pieces of a stream; zero is the start. */
struct text_filter {
	unsigned char part[4]; /* of a UTF-8 sequence that is not whole yet */
	unsigned have, want;
	unsigned last; /* the byte written last; '\r' when that was a newline for a '\r' */
};

/* Filter n bytes into out, which must have room for 3 * n + 12 bytes; the number written. Bytes
 * that are not UTF-8, and characters that steer a terminal, become U+FFFD. */
size_t text_filter_feed(struct text_filter *f, const void *bytes, size_t n, char *out);
/* The end of the stream: what is left of a sequence, and a newline if the last line has none. */
size_t text_filter_end(struct text_filter *f, char out[8]);

/* One line: filter `in` (n bytes) into out (size bytes, NUL-terminated, cut at a character), with
 * newlines and tabs as spaces. Returns out. */
char *text_line(const char *in, size_t n, char *out, size_t size);
#endif
