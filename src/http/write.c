/* SPDX-License-Identifier: Apache-2.0 */
/* The head writer. */
#include "http/write.h"
#include "http/byte.h"
#include <assert.h>
#include <errno.h>
#include <time.h>

static void fail(struct http_writer *w, int code)
{
	if (!w->failed)
		w->failed = -code;
}

static void put(struct http_writer *w, const char *data, size_t n)
{
	if (w->failed || n > w->size - w->len) {
		fail(w, ENOBUFS);
		return;
	}
	memcpy(w->out + w->len, data, n);
	w->len += n;
}

/* A literal or constant that is known to be clean. */
static void put_constant(struct http_writer *w, const char *text)
{
	put(w, text, strlen(text));
}

/* Text of others: refused when a byte is not of that class. */
static void put_checked(struct http_writer *w, struct span s, enum byte_class class)
{
	for (size_t i = 0; i < s.len; i++)
		if (!byte_is(s.data[i], class)) {
			fail(w, EINVAL);
			return;
		}
	if (s.len > 0)
		put(w, s.data, s.len);
}

#define DIGITS_MAX 20 /* of a 64-bit number */

static void put_number(struct http_writer *w, uint64_t value)
{
	char digits[DIGITS_MAX];
	size_t at = DIGITS_MAX;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	put(w, digits + at, DIGITS_MAX - at);
}

void http_write_status(struct http_writer *w, unsigned status, const char *reason)
{
	assert(status >= 100 && status <= 999);
	put_constant(w, "HTTP/1.1 ");
	put_number(w, status);
	put_constant(w, " ");
	put_checked(w, span_of(reason ? reason : http_reason(status)), BYTE_VALUE);
	put_constant(w, "\r\n");
}

void http_write_request(struct http_writer *w, struct span method, struct span target)
{
	if (method.len == 0 || target.len == 0)
		fail(w, EINVAL);
	put_checked(w, method, BYTE_TOKEN);
	put_constant(w, " ");
	put_checked(w, target, BYTE_TARGET);
	put_constant(w, " HTTP/1.1\r\n");
}

void http_write_field(struct http_writer *w, struct span name, struct span value)
{
	if (name.len == 0)
		fail(w, EINVAL);
	put_checked(w, name, BYTE_TOKEN);
	put_constant(w, ": ");
	put_checked(w, value, BYTE_VALUE);
	put_constant(w, "\r\n");
}

void http_write_span(struct http_writer *w, enum http_field_id id, struct span value)
{
	assert(id != HTTP_FIELD_OTHER);
	put_constant(w, http_field_name(id));
	put_constant(w, ": ");
	put_checked(w, value, BYTE_VALUE);
	put_constant(w, "\r\n");
}

void http_write_text(struct http_writer *w, enum http_field_id id, const char *value)
{
	http_write_span(w, id, span_of(value));
}

void http_write_number(struct http_writer *w, enum http_field_id id, uint64_t value)
{
	assert(id != HTTP_FIELD_OTHER);
	put_constant(w, http_field_name(id));
	put_constant(w, ": ");
	put_number(w, value);
	put_constant(w, "\r\n");
}

void http_write_constant(struct http_writer *w, const char *lines)
{
	put_constant(w, lines);
}

static void put_two(char *at, unsigned value)
{
	at[0] = (char)('0' + value / 10 % 10);
	at[1] = (char)('0' + value % 10);
}

/* Without strftime(), whose names of days and months follow the locale. */
const char *http_date(uint64_t wall_ms, char out[HTTP_DATE_SIZE])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm t = { 0 };

	gmtime_r(&seconds, &t);
	memcpy(out, "Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE_SIZE);
	memcpy(out, days + 3 * t.tm_wday, 3);
	put_two(out + 5, (unsigned)t.tm_mday);
	memcpy(out + 8, months + 3 * t.tm_mon, 3);
	put_two(out + 12, (unsigned)(t.tm_year + 1900) / 100);
	put_two(out + 14, (unsigned)(t.tm_year + 1900) % 100);
	put_two(out + 17, (unsigned)t.tm_hour);
	put_two(out + 20, (unsigned)t.tm_min);
	put_two(out + 23, (unsigned)t.tm_sec);
	return out;
}

void http_write_date(struct http_writer *w, uint64_t wall_ms)
{
	static char text[HTTP_DATE_SIZE];
	static uint64_t second = UINT64_MAX;

	if (wall_ms / 1000 != second) {
		second = wall_ms / 1000;
		http_date(wall_ms, text);
	}
	put_constant(w, "Date: ");
	put(w, text, HTTP_DATE_SIZE - 1);
	put_constant(w, "\r\n");
}

int http_write_end(struct http_writer *w, size_t *ret_len)
{
	put_constant(w, "\r\n");
	if (w->failed)
		return w->failed;
	*ret_len = w->len;
	return 0;
}

const char *http_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} reasons[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 103, "Early Hints" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 407, "Proxy Authentication Required" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 425, "Too Early" },
		{ 426, "Upgrade Required" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}
