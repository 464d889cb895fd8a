/* SPDX-License-Identifier: Apache-2.0 */
/* For tests only: names the wall that a jail lacks, from a file beside the program. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "jail/internal.h"

#include <limits.h>

#define SUFFIX ".weakness"

static char weakness[32];

void weak_load(void)
{
	char path[PATH_MAX];
	_cleanup_free_ char *text = NULL;
	size_t len;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(SUFFIX));
	if (n < 0)
		return;
	memcpy(path + n, SUFFIX, sizeof(SUFFIX));
	if (file_read(path, sizeof(weakness), &text, &len) == 0)
		snprintf(weakness, sizeof(weakness), "%.*s", (int)strcspn(text, "\n"), text);
}

bool lacks(const char *wall)
{
	return !strcmp(weakness, wall);
}
