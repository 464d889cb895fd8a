/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte buffer that grows up to a limit given when it is made. Owns its bytes. Never grows past
 * its limit: appending then returns -ENOBUFS and leaves the buffer as it was.
 */
#ifndef POSTERN_BUF_H
#define POSTERN_BUF_H
#include <stddef.h>

struct buf {
	char *data; /* NUL-terminated whenever not NULL; may hold NULs of its own */
	size_t len; /* bytes */
	size_t cap; /* bytes */
	size_t max; /* bytes, the terminating NUL not counted */
};

#define BUF_INIT(limit) ((struct buf){ .max = (limit) })

/* Append n bytes; 0, -ENOBUFS (limit) or -ENOMEM. */
int buf_append(struct buf *b, const void *bytes, size_t n);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Append ASCII's capital letters as small ones, and the rest as it is. */
void buf_append_lower(struct buf *b, const char *bytes, size_t n);
/* Append what somebody else chose so that it is visible: all but printable ASCII, and the characters of `marks`, as \xNN. After
 * most bytes it is cut, and ends in "...". */
void buf_append_visible(struct buf *b, const char *bytes, size_t n, size_t most, const char *marks);
/* Make room for n more bytes and return where to write them, or NULL; then call buf_wrote(). */
char *buf_reserve(struct buf *b, size_t n);
void buf_wrote(struct buf *b, size_t n);
/* Empty it, keeping the memory. */
void buf_clear(struct buf *b);
/* Release the memory; the buffer can be used again. */
void buf_done(struct buf *b);
/* Hand over the bytes (NUL-terminated; the caller frees), leaving the buffer empty. Never NULL
 * unless out of memory. */
char *buf_take(struct buf *b);

#define _cleanup_buf_ __attribute__((cleanup(buf_done)))
#endif
