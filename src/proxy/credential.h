/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credentials of a run, what they are bound to, and putting one where a request holds its placeholder. Owned by dialer alone, in
 * memory that is locked, left out of dumps and wiped. Never hands a value to anyone but the caller's own buffer; never logs.
 *
 * A placeholder is openshell:resolve:env:NAME or openshell:resolve:env:v<digits>_NAME. It is replaced in the values of header fields,
 * inside the base64 of Basic credentials, in the segments of a path, the values of a query, and in bodies of JSON, forms and text. A
 * server shows much of what it gets to whoever asks (in errors, results, logs): a binding may say, into Authorization only.
 */
#ifndef POSTERN_CREDENTIAL_H
#define POSTERN_CREDENTIAL_H
#include "http/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct credentials;

/* 0, -ENOMEM (also when the memory cannot be locked). */
int credentials_new(struct credentials **ret);
/* Wipe and release; NULL is fine. */
void credentials_free(struct credentials *c);

/* How a binding is narrower than its host, port and path: bits. */
enum credential_binding {
	CREDENTIAL_AUTHORIZATION_ONLY = 1 << 0, /* into no other field, nor anywhere else */
	CREDENTIAL_TLS_ONLY =
		1 << 1, /* to nobody who was not verified; so it is for port 443 in any case */
};

/* Add a credential, or another binding of one that is there with the same value. path: a prefix that ends where a segment ends; ""
 * and "/" mean every path; a trailing slash, asterisk or two are not part of it. how: bits of enum credential_binding. 0; -EINVAL: a
 * name that is none, or a value that could not stand in a header field; -EEXIST: the name is there with another value; -ENOSPC past the
 * limits. */
int credentials_add(struct credentials *c, const char *name, struct span value, const char *host,
		    uint16_t port, const char *path, unsigned how);

/* Where a request goes. */
struct credential_way {
	const char *host; /* lower case */
	uint16_t port;
	bool tls; /* over TLS, to a server that was verified to be the host */
};

/* The head (of a request in canonical form) and its body with every placeholder replaced, one behind the other; they stand in the
 * store's own locked memory until the next call of any function here, and should be wiped as soon as they were used. body: all of it,
 * or empty: whatever body there is goes its own way. head's own target gives the path. 0; -EACCES: a credential is bound elsewhere, or
 * not for going in the clear; -ENOKEY: no such credential; -ENOTSUP: a placeholder where its binding, or its value, cannot go
 * (names of a query's or form's values, bodies of another type, a path that the value would lead elsewhere); -EBADMSG: no such head;
 * -ENOBUFS: it does not fit. */
int credentials_fill(struct credentials *c, const struct credential_way *way, struct span head,
		     struct span body, struct span *ret);
void credentials_wipe(struct credentials *c);
/* Whether there is one. */
bool credentials_any(const struct credentials *c);
#endif
