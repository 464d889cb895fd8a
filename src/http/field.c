/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the known header fields and methods, and their lookup by length. */
#include "http/field.h"
#include "base/cleanup.h"
#include "http/byte.h"
#include <assert.h>
#include <stdint.h>

#define NAME(text)                                                                                 \
	{                                                                                          \
		.data = (text), .len = sizeof(text) - 1                                            \
	}
#define NAME_LONGEST 20 /* bytes: MCP-Protocol-Version */

static const struct span field_names[] = {
	[HTTP_FIELD_OTHER] = NAME(""),
	[HTTP_FIELD_TE] = NAME("TE"),
	[HTTP_FIELD_AGE] = NAME("Age"),
	[HTTP_FIELD_VIA] = NAME("Via"),
	[HTTP_FIELD_DATE] = NAME("Date"),
	[HTTP_FIELD_ETAG] = NAME("ETag"),
	[HTTP_FIELD_HOST] = NAME("Host"),
	[HTTP_FIELD_LINK] = NAME("Link"),
	[HTTP_FIELD_VARY] = NAME("Vary"),
	[HTTP_FIELD_ALLOW] = NAME("Allow"),
	[HTTP_FIELD_RANGE] = NAME("Range"),
	[HTTP_FIELD_ACCEPT] = NAME("Accept"),
	[HTTP_FIELD_COOKIE] = NAME("Cookie"),
	[HTTP_FIELD_EXPECT] = NAME("Expect"),
	[HTTP_FIELD_ORIGIN] = NAME("Origin"),
	[HTTP_FIELD_PREFER] = NAME("Prefer"),
	[HTTP_FIELD_SERVER] = NAME("Server"),
	[HTTP_FIELD_EXPIRES] = NAME("Expires"),
	[HTTP_FIELD_REFERER] = NAME("Referer"),
	[HTTP_FIELD_TRAILER] = NAME("Trailer"),
	[HTTP_FIELD_UPGRADE] = NAME("Upgrade"),
	[HTTP_FIELD_IF_MATCH] = NAME("If-Match"),
	[HTTP_FIELD_IF_RANGE] = NAME("If-Range"),
	[HTTP_FIELD_LOCATION] = NAME("Location"),
	[HTTP_FIELD_CONNECTION] = NAME("Connection"),
	[HTTP_FIELD_KEEP_ALIVE] = NAME("Keep-Alive"),
	[HTTP_FIELD_SET_COOKIE] = NAME("Set-Cookie"),
	[HTTP_FIELD_USER_AGENT] = NAME("User-Agent"),
	[HTTP_FIELD_RETRY_AFTER] = NAME("Retry-After"),
	[HTTP_FIELD_CONTENT_TYPE] = NAME("Content-Type"),
	[HTTP_FIELD_MAX_FORWARDS] = NAME("Max-Forwards"),
	[HTTP_FIELD_ACCEPT_RANGES] = NAME("Accept-Ranges"),
	[HTTP_FIELD_AUTHORIZATION] = NAME("Authorization"),
	[HTTP_FIELD_CACHE_CONTROL] = NAME("Cache-Control"),
	[HTTP_FIELD_CONTENT_RANGE] = NAME("Content-Range"),
	[HTTP_FIELD_IF_NONE_MATCH] = NAME("If-None-Match"),
	[HTTP_FIELD_LAST_EVENT_ID] = NAME("Last-Event-ID"),
	[HTTP_FIELD_LAST_MODIFIED] = NAME("Last-Modified"),
	[HTTP_FIELD_CONTENT_LENGTH] = NAME("Content-Length"),
	[HTTP_FIELD_MCP_SESSION_ID] = NAME("Mcp-Session-Id"),
	[HTTP_FIELD_ACCEPT_ENCODING] = NAME("Accept-Encoding"),
	[HTTP_FIELD_IDEMPOTENCY_KEY] = NAME("Idempotency-Key"),
	[HTTP_FIELD_CONTENT_ENCODING] = NAME("Content-Encoding"),
	[HTTP_FIELD_CONTENT_LANGUAGE] = NAME("Content-Language"),
	[HTTP_FIELD_CONTENT_LOCATION] = NAME("Content-Location"),
	[HTTP_FIELD_PROXY_CONNECTION] = NAME("Proxy-Connection"),
	[HTTP_FIELD_WWW_AUTHENTICATE] = NAME("WWW-Authenticate"),
	[HTTP_FIELD_IF_MODIFIED_SINCE] = NAME("If-Modified-Since"),
	[HTTP_FIELD_TRANSFER_ENCODING] = NAME("Transfer-Encoding"),
	[HTTP_FIELD_PROXY_AUTHENTICATE] = NAME("Proxy-Authenticate"),
	[HTTP_FIELD_CONTENT_DISPOSITION] = NAME("Content-Disposition"),
	[HTTP_FIELD_IF_UNMODIFIED_SINCE] = NAME("If-Unmodified-Since"),
	[HTTP_FIELD_PROXY_AUTHORIZATION] = NAME("Proxy-Authorization"),
	[HTTP_FIELD_MCP_PROTOCOL_VERSION] = NAME("MCP-Protocol-Version"),
};
static_assert(ELEMENTS(field_names) == HTTP_FIELD_COUNT, "a name for every known field");
static_assert(HTTP_FIELD_COUNT <= 64, "struct http_head keeps a bit for each");

/* The first field with a name of that many bytes; those of the same length follow it. */
static const uint8_t first_of_length[NAME_LONGEST + 1] = {
	[2] = HTTP_FIELD_TE,
	[3] = HTTP_FIELD_AGE,
	[4] = HTTP_FIELD_DATE,
	[5] = HTTP_FIELD_ALLOW,
	[6] = HTTP_FIELD_ACCEPT,
	[7] = HTTP_FIELD_EXPIRES,
	[8] = HTTP_FIELD_IF_MATCH,
	[10] = HTTP_FIELD_CONNECTION,
	[11] = HTTP_FIELD_RETRY_AFTER,
	[12] = HTTP_FIELD_CONTENT_TYPE,
	[13] = HTTP_FIELD_ACCEPT_RANGES,
	[14] = HTTP_FIELD_CONTENT_LENGTH,
	[15] = HTTP_FIELD_ACCEPT_ENCODING,
	[16] = HTTP_FIELD_CONTENT_ENCODING,
	[17] = HTTP_FIELD_IF_MODIFIED_SINCE,
	[18] = HTTP_FIELD_PROXY_AUTHENTICATE,
	[19] = HTTP_FIELD_CONTENT_DISPOSITION,
	[20] = HTTP_FIELD_MCP_PROTOCOL_VERSION,
};

static const struct span method_names[] = {
	[HTTP_METHOD_OTHER] = NAME(""),	     [HTTP_METHOD_GET] = NAME("GET"),
	[HTTP_METHOD_HEAD] = NAME("HEAD"),   [HTTP_METHOD_POST] = NAME("POST"),
	[HTTP_METHOD_PUT] = NAME("PUT"),     [HTTP_METHOD_DELETE] = NAME("DELETE"),
	[HTTP_METHOD_PATCH] = NAME("PATCH"), [HTTP_METHOD_OPTIONS] = NAME("OPTIONS"),
	[HTTP_METHOD_TRACE] = NAME("TRACE"), [HTTP_METHOD_CONNECT] = NAME("CONNECT"),
};
static_assert(ELEMENTS(method_names) == HTTP_METHOD_COUNT, "a name for every known method");

bool span_equal_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (byte_lower(a.data[i]) != byte_lower(b.data[i]))
			return false;
	return true;
}

struct span span_trim(struct span s)
{
	while (s.len > 0 && byte_is_space(s.data[0]))
		s = (struct span){ s.data + 1, s.len - 1 };
	while (s.len > 0 && byte_is_space(s.data[s.len - 1]))
		s.len--;
	return s;
}

enum http_field_id http_field_id(struct span name)
{
	if (name.len > NAME_LONGEST)
		return HTTP_FIELD_OTHER;
	unsigned id = first_of_length[name.len];
	if (id == HTTP_FIELD_OTHER)
		return HTTP_FIELD_OTHER;
	for (; id < HTTP_FIELD_COUNT && field_names[id].len == name.len; id++)
		if (span_equal_nocase(name, field_names[id]))
			return (enum http_field_id)id;
	return HTTP_FIELD_OTHER;
}

const char *http_field_name(enum http_field_id id)
{
	assert((unsigned)id < HTTP_FIELD_COUNT);
	return field_names[id].data;
}

enum http_method http_method_id(struct span method)
{
	for (unsigned id = HTTP_METHOD_OTHER + 1; id < HTTP_METHOD_COUNT; id++)
		if (span_equal(method, method_names[id]))
			return (enum http_method)id;
	return HTTP_METHOD_OTHER;
}

const char *http_method_name(enum http_method method)
{
	assert((unsigned)method < HTTP_METHOD_COUNT);
	return method_names[method].data;
}

bool http_is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!byte_is(s.data[i], BYTE_TOKEN))
			return false;
	return s.len > 0;
}
