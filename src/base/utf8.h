/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes are UTF-8 (Unicode 3.9, table 3-7: no surrogates, nothing overlong), and text made so. Owns nothing.
 */
#ifndef POSTERN_UTF8_H
#define POSTERN_UTF8_H
#include "base/buf.h"
#include <stdbool.h>

/* Bytes of the well-formed character that n bytes begin with; 0 when there is none (n is 0, too). */
size_t utf8_length(const char *s, size_t n);
bool utf8_is_valid(const char *s, size_t n);
/* How many of n bytes there are before a character at their end that may be whole when more bytes have come: n, or up to
 * three fewer. */
size_t utf8_whole(const char *s, size_t n);
/* Append n bytes, U+FFFD in the place of each that is part of no character. 0, -ENOBUFS or -ENOMEM. */
int utf8_append(struct buf *b, const char *s, size_t n);
#endif
