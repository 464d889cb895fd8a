/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of bytes that someone else owns: pointer and length, no NUL at the end. Every part of the
 * codec hands out views into the caller's own buffer, valid as long as that buffer stays where it
 * is.
 */
#ifndef POSTERN_HTTP_SPAN_H
#define POSTERN_HTTP_SPAN_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *data; /* may be NULL when len is 0; not NUL-terminated */
	size_t len;	  /* bytes */
};

/* A span of a string literal. */
#define SPAN(literal) ((struct span){ .data = (literal), .len = sizeof(literal) - 1 })

static inline struct span span_of(const char *text)
{
	return (struct span){ .data = text, .len = strlen(text) };
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
	return span_equal(a, span_of(text));
}

/* The same without regard to the case of ASCII letters; nothing else is folded. */
bool span_equal_nocase(struct span a, struct span b);

static inline bool span_is_nocase(struct span a, const char *text)
{
	return span_equal_nocase(a, span_of(text));
}

/* Without the white space (OWS, RFC 9110 5.6.3) around it. */
struct span span_trim(struct span s);

/* For printf("%.*s"): spans that come from a head hold no NUL. */
#define SPAN_FORMAT(s) (int)(s).len, (s).data
#endif
