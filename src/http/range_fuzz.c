/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes ranges. Input: eight bytes of size, the field's value. A range lies within the size, and means the same when written. */
#include "http/range.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_range range = { 0 }, again = { 0 };
	uint64_t total;
	char text[64];

	if (n < sizeof(total))
		return 0;
	memcpy(&total, data, sizeof(total));
	struct span value = { (const char *)data + sizeof(total), n - sizeof(total) };
	int r = http_range_parse(value, total, &range);
	assert(r == 0 || r == -ERANGE || r == -ENOENT);
	if (r < 0)
		return 0;
	assert(range.first <= range.last && range.last < total);
	snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64, range.first, range.last);
	r = http_range_parse(span_of(text), total, &again);
	assert(r == 0 && again.first == range.first && again.last == range.last);
	return 0;
}
