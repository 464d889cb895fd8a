/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes globs: delimiter, pattern and text from one input ("/PATTERN\nTEXT"). Where a pattern has
 * no wildcard, matching must be equality; everywhere a match must begin with the prefix.
 */
#include "policy/glob.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	const char *pattern = (const char *)data + 1, *end = memchr(pattern, '\n', n - 1);
	if (!end)
		return 0;
	struct span text = { end + 1, n - 2 - (size_t)(end - pattern) };
	struct arena arena = { 0 };
	const struct glob *g = NULL;
	struct error e = { 0 };
	const char *copy = arena_copy(&arena, pattern, (size_t)(end - pattern));
	if (glob_compile(copy, data[0] == '/' ? '/' : 0, &arena, &g, &e) == 0) {
		bool whole = false;
		struct span prefix = glob_prefix(g, &whole);
		bool matches = glob_match(g, text);
		if (whole)
			assert(matches == span_equal(prefix, text));
		if (matches)
			assert(text.len >= prefix.len &&
			       (!prefix.len || !memcmp(prefix.data, text.data, prefix.len)));
	} else {
		assert(!g && e.message[0]);
	}
	arena_done(&arena);
	return 0;
}
