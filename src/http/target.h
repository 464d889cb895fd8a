/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets (RFC 9112 3.2), authorities (host and port) and the canonical form of a path, the
 * one form on which policies decide, routes match and requests are sent on. Called by front, proxy,
 * and the policy's loader. Never allocates; writes only into the caller's buffers.
 */
#ifndef POSTERN_HTTP_TARGET_H
#define POSTERN_HTTP_TARGET_H
#include "http/field.h"
#include "http/refusal.h"
#include "http/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of an authority that names none: RFC 9110 4.2. */
#define HTTP_PORT  80
#define HTTPS_PORT 443

#define HTTP_PATH_RAW_MAX 4096 /* bytes of a path as received */
/* Bytes that a canonical path can have: every received byte may become three, and a NUL. */
#define HTTP_PATH_CANONICAL_SIZE (HTTP_PATH_RAW_MAX * 3 + 2)

enum http_target_form {
	HTTP_TARGET_ORIGIN,    /* /path?query */
	HTTP_TARGET_ABSOLUTE,  /* scheme://authority/path?query */
	HTTP_TARGET_AUTHORITY, /* host:port, of CONNECT only */
	HTTP_TARGET_ASTERISK,  /* *, of OPTIONS only */
};

enum http_host_kind {
	HTTP_HOST_NAME,
	HTTP_HOST_IPV4, /* four decimal numbers without leading zeroes */
	HTTP_HOST_IPV6, /* written in brackets */
	HTTP_HOST_NUMBER, /* 127.1, 0x7f000001, 2130706433: no name, though some resolvers would read it
			     as an address; never dial it */
};

struct http_authority {
	enum http_host_kind kind;
	struct span host; /* as received; IPv6 without its brackets; never empty, a name at most 253
			     bytes */
	bool has_port;
	uint16_t port; /* 1 to 65535 when has_port, else 0 */
};

struct http_target {
	enum http_target_form form;
	struct span scheme;		 /* absolute: "http", "https", whatever was written */
	struct http_authority authority; /* absolute and authority form */
	struct span path; /* origin and absolute: as received; may be empty in absolute form */
	bool has_query;
	struct span query; /* after the first ?, as received */
};

/* Take a request target apart. 0, or -EBADMSG with *ret_why; *ret is then untouched. CONNECT takes
 * authority form with a port only, and nothing else does; `*` is for OPTIONS only. */
int http_target_parse(struct span target, enum http_method method, struct http_target *ret,
		      enum http_refusal *ret_why);

/* Parse "host", "host:port", "[v6]:port"; userinfo, an empty host or port, port 0,
 * ports with leading zeroes and IPv6 zones are refused. 0 or -EINVAL. */
int http_authority_parse(struct span text, struct http_authority *ret);

enum http_path_flags {
	HTTP_PATH_ALLOW_ENCODED_SLASH = 1 << 0, /* keep %2F, which never splits a segment */
	/* Refuse raw ` < > instead of encoding them, as OpenShell does inside tunnels. */
	HTTP_PATH_REFUSE_RAW_QUOTES = 1 << 1,
};

/* The canonical form of a path into out, NUL-terminated: percent-encodings of unreserved
 * characters, sub-delimiters, `:` and `@` decoded, the others upper-case; characters that need it
 * encoded; `//` collapsed; `;parameters` of segments dropped before dot segments are resolved.
 * Refused: controls (raw or encoded), raw bytes outside ASCII, `#`, `?`, a bad percent-encoding,
 * `..` above the root, %2F unless allowed, more than HTTP_PATH_RAW_MAX bytes, no `/` at the front.
 * An empty path is "/". Canonical paths are their own canonical form. size should be
 * HTTP_PATH_CANONICAL_SIZE; -ENOBUFS when it does not do. 0, or -EBADMSG with *ret_why. */
int http_path_canonical(struct span path, unsigned flags, char *out, size_t size, size_t *ret_len,
			enum http_refusal *ret_why);
/* Whether it is what that makes of it; of any length that a target may have. */
bool http_path_is_canonical(struct span path, unsigned flags);
/* Decode every percent-encoding into out, NUL-terminated; out may be s.data itself. -EILSEQ for a
 * bad encoding or %00, -ENOBUFS when it does not fit in size with its NUL. */
int http_percent_decode(struct span s, char *out, size_t size, size_t *ret_len);
#endif
