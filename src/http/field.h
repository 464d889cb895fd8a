/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header fields and methods that the product knows by number, so that a lookup is an index and
 * not a search. One table of names; a test pins it. Owns nothing; called by head, body and writers.
 */
#ifndef POSTERN_HTTP_FIELD_H
#define POSTERN_HTTP_FIELD_H
#include "http/span.h"

/* In the order of their names' lengths, which is how they are looked up. */
enum http_field_id {
	HTTP_FIELD_OTHER,
	HTTP_FIELD_TE,
	HTTP_FIELD_AGE,
	HTTP_FIELD_VIA,
	HTTP_FIELD_DATE,
	HTTP_FIELD_ETAG,
	HTTP_FIELD_HOST,
	HTTP_FIELD_LINK,
	HTTP_FIELD_VARY,
	HTTP_FIELD_ALLOW,
	HTTP_FIELD_RANGE,
	HTTP_FIELD_ACCEPT,
	HTTP_FIELD_COOKIE,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_ORIGIN,
	HTTP_FIELD_PREFER,
	HTTP_FIELD_SERVER,
	HTTP_FIELD_EXPIRES,
	HTTP_FIELD_REFERER,
	HTTP_FIELD_TRAILER,
	HTTP_FIELD_UPGRADE,
	HTTP_FIELD_IF_MATCH,
	HTTP_FIELD_IF_RANGE,
	HTTP_FIELD_LOCATION,
	HTTP_FIELD_CONNECTION,
	HTTP_FIELD_KEEP_ALIVE,
	HTTP_FIELD_SET_COOKIE,
	HTTP_FIELD_USER_AGENT,
	HTTP_FIELD_RETRY_AFTER,
	HTTP_FIELD_CONTENT_TYPE,
	HTTP_FIELD_MAX_FORWARDS,
	HTTP_FIELD_ACCEPT_RANGES,
	HTTP_FIELD_AUTHORIZATION,
	HTTP_FIELD_CACHE_CONTROL,
	HTTP_FIELD_CONTENT_RANGE,
	HTTP_FIELD_IF_NONE_MATCH,
	HTTP_FIELD_LAST_EVENT_ID,
	HTTP_FIELD_LAST_MODIFIED,
	HTTP_FIELD_CONTENT_LENGTH,
	HTTP_FIELD_MCP_SESSION_ID,
	HTTP_FIELD_ACCEPT_ENCODING,
	HTTP_FIELD_IDEMPOTENCY_KEY,
	HTTP_FIELD_CONTENT_ENCODING,
	HTTP_FIELD_CONTENT_LANGUAGE,
	HTTP_FIELD_CONTENT_LOCATION,
	HTTP_FIELD_PROXY_CONNECTION,
	HTTP_FIELD_WWW_AUTHENTICATE,
	HTTP_FIELD_IF_MODIFIED_SINCE,
	HTTP_FIELD_TRANSFER_ENCODING,
	HTTP_FIELD_PROXY_AUTHENTICATE,
	HTTP_FIELD_CONTENT_DISPOSITION,
	HTTP_FIELD_IF_UNMODIFIED_SINCE,
	HTTP_FIELD_PROXY_AUTHORIZATION,
	HTTP_FIELD_MCP_PROTOCOL_VERSION,
	HTTP_FIELD_COUNT
};

/* Exact and case-sensitive, as methods are; case-insensitive matching is the policy's affair. */
enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_CONNECT,
	HTTP_METHOD_COUNT
};

/* HTTP_FIELD_OTHER for a name that is not in the table. Case does not matter. */
enum http_field_id http_field_id(struct span name);
/* As it is usually written, "Content-Length"; "" for HTTP_FIELD_OTHER. */
const char *http_field_name(enum http_field_id id);
enum http_method http_method_id(struct span method);
/* "GET"; "" for HTTP_METHOD_OTHER. */
const char *http_method_name(enum http_method method);
/* True when every byte is a tchar (RFC 9110 5.6.2) and there is one at least. */
bool http_is_token(struct span s);
#endif
