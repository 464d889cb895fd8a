/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds placeholders of credentials, openshell:resolve:env:NAME, in text, however the text spells them. Used by dialer
 * (credential.c), which puts credentials in their place, and by proxy (relay.c), which lets none out where none is put in. Owns
 * nothing, allocates nothing, and knows no credential.
 */
#ifndef POSTERN_PROXY_PLACEHOLDER_H
#define POSTERN_PROXY_PLACEHOLDER_H
#include "http/head.h"
#include "http/span.h"

/* How the text spells characters. Each stands for itself besides. */
enum placeholder_text {
	PLACEHOLDER_PLAIN,
	PLACEHOLDER_PERCENT, /* %3A: targets and forms (RFC 3986 2.1) */
	PLACEHOLDER_JSON,    /* \u003a and \/: strings of JSON (RFC 8259 7) */
};

/* The character that text begins with, and how many of its bytes spell it. text is not empty. */
char placeholder_read(struct span text, enum placeholder_text how, size_t *ret_len);
/* Where the first placeholder begins, and how many bytes spell what comes before its NAME. */
bool placeholder_find(struct span text, enum placeholder_text how, size_t *ret_at, size_t *ret_len);

/* What kind of text the body of a request is: application/json, forms, text/ and no encoding of its content. False: none in which
 * placeholders would mean something. */
bool placeholder_body(const struct http_head *h, enum placeholder_text *ret);

#define PLACEHOLDER_MARKER     "openshell:resolve:env:"
#define PLACEHOLDER_MARKER_LEN (sizeof(PLACEHOLDER_MARKER) - 1)

/* An escape that is being read: its bytes so far, and what they spell; no bytes: none. */
struct placeholder_escape {
	unsigned n, code;
};

/* Text that comes in pieces; zeroed, and `how` set. */
struct placeholder_watch {
	enum placeholder_text how;
	/* below: the watch's own */
	unsigned matched; /* characters of the marker that stand at the end of what was read */
	struct placeholder_escape escape;
	size_t read, began;		      /* bytes; where the last character begins … */
	size_t start[PLACEHOLDER_MARKER_LEN]; /* … and the marker's */
};
/* Whether with this piece a placeholder is there. */
bool placeholder_seen(struct placeholder_watch *w, struct span piece);
#endif
