/* SPDX-License-Identifier: Apache-2.0 */
/* The table of reasons for refusing a message. */
#include "http/refusal.h"
#include "base/cleanup.h"
#include <assert.h>
#include <stddef.h>

struct row {
	unsigned status;
	const char *message;
};

static const struct row rows[] = {
	[HTTP_REFUSED_NOTHING] = { 400, "Nothing is wrong with the message." },
	[HTTP_REFUSED_LINE_END] = { 400, "A line does not end in CR LF." },
	[HTTP_REFUSED_REQUEST_LINE] = { 400,
					"The request line is not a method, a target and a version "
					"with one space between them." },
	[HTTP_REFUSED_METHOD] = { 400, "The method is not a token." },
	[HTTP_REFUSED_TARGET_BYTE] = { 400, "The request target contains a control character." },
	[HTTP_REFUSED_TARGET_LONG] = { 414, "The request target is too long." },
	[HTTP_REFUSED_VERSION] = { 400, "The request line does not end in an HTTP version." },
	[HTTP_REFUSED_VERSION_OTHER] = { 505, "Only HTTP/1.1 and HTTP/1.0 are understood." },
	[HTTP_REFUSED_STATUS_LINE] = { 400, "The status line is malformed." },
	[HTTP_REFUSED_FIELD_NAME] = { 400,
				      "A header field's name is not a token followed by a colon." },
	[HTTP_REFUSED_FIELD_VALUE] = { 400,
				       "A header field's value contains a control character or is "
				       "not UTF-8." },
	[HTTP_REFUSED_FIELD_FOLDED] = { 400, "A header field is continued on a second line." },
	[HTTP_REFUSED_HEAD_LONG] = { 431, "The header section is too long." },
	[HTTP_REFUSED_FIELDS_MANY] = { 431, "There are too many header fields." },
	[HTTP_REFUSED_LENGTH] = { 400, "Content-Length is not a plain decimal number." },
	[HTTP_REFUSED_LENGTH_TWICE] = { 400, "Content-Length appears more than once." },
	[HTTP_REFUSED_LENGTH_AND_ENCODING] = { 400, "Content-Length and Transfer-Encoding "
						    "contradict each "
						    "other." },
	[HTTP_REFUSED_ENCODING] = { 400, "Transfer-Encoding is not exactly one \"chunked\"." },
	[HTTP_REFUSED_ENCODING_OTHER] = { 501,
					  "Only the transfer coding \"chunked\" is understood." },
	[HTTP_REFUSED_ENCODING_OLD] = { 400, "HTTP/1.0 has no Transfer-Encoding." },
	[HTTP_REFUSED_HOST_MISSING] = { 400, "The Host header field is missing." },
	[HTTP_REFUSED_HOST_TWICE] = { 400, "Host appears more than once." },
	[HTTP_REFUSED_HOST] = { 400, "Host is not a host name or address with an optional port." },
	[HTTP_REFUSED_CONNECTION] = { 400,
				      "Connection is not a list of tokens, or names a field that "
				      "belongs to the message." },
	[HTTP_REFUSED_CHUNK_SIZE] = { 400, "A chunk's size is not a plain hexadecimal number." },
	[HTTP_REFUSED_CHUNK_LINE_LONG] = { 400, "A chunk's size line is too long." },
	[HTTP_REFUSED_CHUNK_END] = { 400, "A chunk is longer or shorter than its size says." },
	[HTTP_REFUSED_TRAILER] = { 400, "A trailer field is malformed or must not be a trailer." },
	[HTTP_REFUSED_TRAILER_LONG] = { 431, "The trailer section is too long." },
	[HTTP_REFUSED_TRUNCATED] = { 400, "The connection ended inside the message." },
	[HTTP_REFUSED_TARGET_FORM] = { 400,
				       "The request target has none of the forms that its method "
				       "allows." },
	[HTTP_REFUSED_TARGET_AUTHORITY] = { 400,
					    "The request target's host or port is malformed, or it "
					    "carries user information." },
	[HTTP_REFUSED_TARGET_FRAGMENT] = { 400, "The request target contains a '#'." },
	[HTTP_REFUSED_TARGET_PERCENT] = { 400, "The request target contains a '%' without two "
					       "hexadecimal digits." },
	[HTTP_REFUSED_TARGET_CONTROL] = { 400, "The request target contains an encoded control "
					       "character." },
	[HTTP_REFUSED_TARGET_RAW] = { 400, "The request target contains a byte that must be "
					   "percent-encoded." },
	[HTTP_REFUSED_TARGET_ABOVE_ROOT] = { 400,
					     "The request target's path climbs above its root." },
	[HTTP_REFUSED_TARGET_SLASH] = { 400,
					"The request target's path contains an encoded slash." },
	[HTTP_REFUSED_TARGET_PATH_LONG] = { 400, "The request target's path is too long." },
};
static_assert(ELEMENTS(rows) == HTTP_REFUSED_COUNT, "a row for every refusal");

unsigned http_refusal_status(enum http_refusal why)
{
	assert((unsigned)why < HTTP_REFUSED_COUNT);
	return rows[why].status;
}

const char *http_refusal_message(enum http_refusal why)
{
	assert((unsigned)why < HTTP_REFUSED_COUNT);
	return rows[why].message;
}
