/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations, and the way from a method and path to a row. */
#include "api/operation.h"
#include "base/cleanup.h"
#include "base/nearest.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

static const struct operation *const rows[] = {
	[OPERATION_BUILD] = &operation_build,
	[OPERATION_JOBS] = &operation_jobs,
	[OPERATION_JOB] = &operation_job,
	[OPERATION_JOB_LOG] = &operation_job_log,
	[OPERATION_JOB_EVENTS] = &operation_job_events,
	[OPERATION_JOB_ARTIFACT] = &operation_job_artifact,
	[OPERATION_JOB_CANCEL] = &operation_job_cancel,
	[OPERATION_INDEX] = &operation_index,
	[OPERATION_HEALTHZ] = &operation_healthz,
	[OPERATION_OPENAPI] = &operation_openapi,
	[OPERATION_TOOLS] = &operation_tools,
};
static_assert(ELEMENTS(rows) == OPERATION_COUNT, "a row per operation");

const struct operation *operation_row(enum operation_id id)
{
	assert(id < OPERATION_COUNT);
	return rows[id];
}

const enum problem *operation_common_problems(bool open)
{
	static const enum problem closed_list[] = {
		PROBLEM_BAD_REQUEST,   PROBLEM_UNAUTHENTICATED,
		PROBLEM_TOKEN_EXPIRED, PROBLEM_TIMEOUT,
		PROBLEM_TOO_LARGE,     PROBLEM_TARGET_TOO_LONG,
		PROBLEM_INVALID,       PROBLEM_HEAD_TOO_LARGE,
		PROBLEM_INTERNAL,      PROBLEM_TOO_MANY_REQUESTS,
		PROBLEM_OVERLOADED,    PROBLEM_NOT_IMPLEMENTED,
		PROBLEM_HTTP_VERSION,  PROBLEM_NONE,
	};
	static const enum problem open_list[] = {
		PROBLEM_BAD_REQUEST,	   PROBLEM_TIMEOUT,    PROBLEM_TOO_LARGE,
		PROBLEM_TARGET_TOO_LONG,   PROBLEM_INVALID,    PROBLEM_HEAD_TOO_LARGE,
		PROBLEM_TOO_MANY_REQUESTS, PROBLEM_OVERLOADED, PROBLEM_NOT_IMPLEMENTED,
		PROBLEM_HTTP_VERSION,	   PROBLEM_NONE,
	};
	return open ? open_list : closed_list;
}

/* Whether path is of the form pattern; a parameter takes one segment, which is not empty. */
static bool path_matches(const char *pattern, const char *path, size_t len,
			 struct route_param *ret_params)
{
	const char *end = path + len;
	unsigned n = 0;
	while (*pattern) {
		if (*pattern != '{') {
			if (path == end || *path++ != *pattern++)
				return false;
			continue;
		}
		const char *start = path;
		while (path < end && *path != '/')
			path++;
		if (path == start)
			return false;
		assert(n < OPERATION_SEGMENTS_MAX);
		ret_params[n++] = (struct route_param){ start, (size_t)(path - start) };
		pattern = strchr(pattern, '}') + 1;
	}
	return path == end;
}

static void allow_method(char *allow, size_t size, const char *method)
{
	size_t used = strlen(allow);
	snprintf(allow + used, size - used, "%s%s%s", used ? ", " : "", method,
		 strcmp(method, "GET") ? "" : ", HEAD");
}

int route_find(const char *method, size_t method_len, const char *path, size_t path_len,
	       struct route *ret, char ret_allow[64])
{
	char allow[64] = "";
	if (method_len == 4 && !memcmp(method, "HEAD", 4)) {
		method = "GET";
		method_len = 3;
	}
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		struct route route = { .op = rows[i] }; /* without the parameters of others */
		if (!path_matches(rows[i]->path, path, path_len, route.param))
			continue;
		if (strlen(rows[i]->method) == method_len &&
		    !memcmp(rows[i]->method, method, method_len)) {
			*ret = route;
			return 0;
		}
		allow_method(allow, sizeof(allow), rows[i]->method);
	}
	if (!*allow)
		return -ENOENT;
	memcpy(ret_allow, allow, sizeof(allow));
	return -EPERM;
}

/* The pattern with the path's own segments in its parameters' places, so that an id that is right
 * does not count as a difference. False when it has other segments than the pattern. */
static bool fill_in(const char *pattern, const char *path, char *out, size_t size)
{
	size_t used = 0;
	while (*pattern && *path == '/' && *pattern == '/') {
		const char *segment = ++path, *part = ++pattern;
		path += strcspn(path, "/");
		pattern += strcspn(pattern, "/");
		bool parameter = *part == '{';
		int n = snprintf(out + used, size - used, "/%.*s",
				 (int)(parameter ? path - segment : pattern - part),
				 parameter ? segment : part);
		if (n < 0 || (size_t)n >= size - used)
			return false;
		used += (size_t)n;
	}
	return !*pattern && !*path;
}

const char *route_nearest(const char *path, size_t path_len)
{
	char word[72], filled[OPERATION_COUNT][72];
	const char *candidates[OPERATION_COUNT + 1] = { NULL }, *patterns[OPERATION_COUNT];
	unsigned n = 0;
	if (path_len >= sizeof(word))
		return NULL;
	memcpy(word, path, path_len);
	word[path_len] = '\0';
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		if (!fill_in(rows[i]->path, word, filled[n], sizeof(filled[n])))
			snprintf(filled[n], sizeof(filled[n]), "%s", rows[i]->path);
		candidates[n] = filled[n];
		patterns[n++] = rows[i]->path;
	}
	const char *near = nearest_word(word, candidates);
	for (unsigned i = 0; near && i < n; i++)
		if (candidates[i] == near)
			return patterns[i];
	return NULL;
}
