/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the engines. */
#include "api/engine_choice.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const char *const names[] = { "auto", "buildah", "podman", "docker" };
static_assert(sizeof(names) / sizeof(names[0]) == ENGINE_COUNT, "a name per engine choice");

const char *engine_choice_name(enum engine_choice c)
{
	return names[c];
}

int engine_choice_find(const char *name)
{
	for (int i = 0; i < ENGINE_COUNT; i++)
		if (!strcmp(name, names[i]))
			return i;
	return -ENOENT;
}
