/* SPDX-License-Identifier: Apache-2.0 */
/* Makes environments. */
#include "runner/environment.h"
#include "base/cleanup.h"

#include <errno.h>

const char *environment_get(const char *const *list, const char *name)
{
	size_t n = strlen(name);
	for (; list && *list; list++)
		if (!strncmp(*list, name, n) && (*list)[n] == '=')
			return *list + n + 1;
	return NULL;
}

void environment_set(struct environment *e, const char *name, const char *value)
{
	char *entry = NULL;
	size_t n = strlen(name);
	if (!value || e->failed)
		return;
	if (asprintf(&entry, "%s=%s", name, value) < 0) {
		e->failed = -ENOMEM;
		return;
	}
	for (unsigned i = 0; i < e->count; i++) {
		if (strncmp(e->list[i], name, n) != 0 || e->list[i][n] != '=')
			continue;
		free(e->list[i]);
		e->list[i] = entry;
		return;
	}
	char **list = reallocarray(e->list, e->count + 2, sizeof(*list));
	if (!list) {
		free(entry);
		e->failed = -ENOMEM;
		return;
	}
	e->list = list;
	list[e->count++] = entry;
	list[e->count] = NULL;
}

void environment_set_all(struct environment *e, const struct harness_variables *v)
{
	for (unsigned i = 0; i < v->count; i++)
		environment_set(e, v->list[i].name, v->list[i].value);
}

void environment_copy(struct environment *e, const char *const *list)
{
	for (; list && *list; list++) {
		const char *equals = strchr(*list, '=');
		_cleanup_free_ char *name =
			equals ? strndup(*list, (size_t)(equals - *list)) : NULL;
		if (name)
			environment_set(e, name, equals + 1);
	}
}

void environment_copy_basic(struct environment *e, const char *const *list)
{
	static const char *const names[] = {
		"HOME",
		"USER",
		"LOGNAME",
		"SHELL",
		"LANG",
		"LC_ALL",
		"TZ",
		"XDG_CACHE_HOME",
		"XDG_DATA_HOME",
		"XDG_CONFIG_HOME",
		"XDG_RUNTIME_DIR",
		"ASAN_OPTIONS",
		"UBSAN_OPTIONS",
	};
	const char *path = environment_get(list, "PATH");
	environment_set(e, "PATH", path ? path : "/usr/local/bin:/usr/bin:/bin");
	for (size_t i = 0; i < ELEMENTS(names); i++)
		environment_set(e, names[i], environment_get(list, names[i]));
}

void environment_done(struct environment *e)
{
	for (unsigned i = 0; i < e->count; i++)
		free(e->list[i]);
	free(e->list);
	*e = (struct environment){ 0 };
}
