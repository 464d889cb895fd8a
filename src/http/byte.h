/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which classes of the grammar a byte is in: one table for the whole codec. Internal to src/http.
 */
#ifndef POSTERN_HTTP_BYTE_H
#define POSTERN_HTTP_BYTE_H
#include "http/span.h"
#include <stdbool.h>
#include <stdint.h>

enum byte_class {
	BYTE_TOKEN = 1 << 0,  /* tchar, RFC 9110 5.6.2 */
	BYTE_VALUE = 1 << 1,  /* field values and reasons: HTAB, SP, visible, above 0x7f */
	BYTE_TARGET = 1 << 2, /* visible or above 0x7f: what may stand in a request line's target */
	BYTE_PCHAR = 1 << 3,  /* unreserved, sub-delims, ":" and "@", RFC 3986 3.3 */
	BYTE_HOST = 1 << 4,   /* letters, digits, "-", "." and "_" */
};

extern const uint8_t byte_classes[256];

static inline bool byte_is(char c, enum byte_class class)
{
	return (byte_classes[(unsigned char)c] & class) != 0;
}

static inline char byte_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool byte_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool byte_is_alnum(char c)
{
	char l = byte_lower(c);
	return byte_is_digit(c) || (l >= 'a' && l <= 'z');
}

/* 0 to 15, or -1. */
static inline int byte_hex(char c)
{
	if (byte_is_digit(c))
		return c - '0';
	char l = byte_lower(c);
	return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* White space of the grammar: OWS, RFC 9110 5.6.3. */
static inline bool byte_is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* The byte that the percent-encoding at s.data[at] stands for, or -1 when it is not one. */
static inline int byte_percent(struct span s, size_t at)
{
	if (s.len - at < 3)
		return -1;
	int high = byte_hex(s.data[at + 1]), low = byte_hex(s.data[at + 2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}
#endif
