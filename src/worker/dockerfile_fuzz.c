/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of Dockerfiles. Input: the file. A fault has a line that is in the file; the lines of instructions rise
 * and are where dockerfile_line() finds them.
 */
#include "base/cleanup.h"
#include "worker/dockerfile.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *text = malloc(n + 1);
	char lines[256], *at = lines, *end;
	struct error e = { 0 };
	unsigned most = 1, before = 0;

	assert(text);
	if (n)
		memcpy(text, data, n);
	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
		most += text[i] == '\n';
	int r = dockerfile_check(text, n, &e);
	assert(r == 0 || (r == -EINVAL && e.message[0] && e.line <= most));
	dockerfile_lines(text, n, lines, sizeof(lines));
	assert(strlen(lines) < sizeof(lines));
	for (; *at; at = end + (*end == ' ')) {
		unsigned line = (unsigned)strtoul(at, &end, 10);
		assert(end > at && line > before && line <= most);
		before = line;
	}
	for (unsigned stage = 0; stage < 3; stage++)
		for (unsigned step = 1; step < 4; step++)
			assert(dockerfile_line(text, n, stage, step, "RUN x") <= most);
	return 0;
}
