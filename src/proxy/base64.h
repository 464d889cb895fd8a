/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 4, with padding), for the one header field whose value hides others: Basic
 * credentials. Called by credential.c. Neither function keeps a byte.
 */
#ifndef POSTERN_BASE64_H
#define POSTERN_BASE64_H
#include <stddef.h>

/* Strict: padded, no white space, no stray bits. 0 and the length; -EILSEQ; -ENOBUFS. */
int base64_decode(const char *text, size_t n, char *out, size_t size, size_t *ret_len);
/* 0 and the length (no NUL is written); -ENOBUFS. */
int base64_encode(const char *bytes, size_t n, char *out, size_t size, size_t *ret_len);
#endif
