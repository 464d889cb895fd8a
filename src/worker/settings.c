/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a worker's settings and a build's arguments from JSON. */
#include "worker/settings.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <errno.h>
#include <jansson.h>

static void cleanup_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

static int load(const char *text, const char *what, json_t **ret, struct error *e)
{
	json_error_t why;
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	if (!j)
		return error_set(e, EINVAL, "%s: %s", what, why.text);
	if (!json_is_object(j)) {
		json_decref(j);
		return error_set(e, EINVAL, "%s: expected a JSON object", what);
	}
	*ret = j;
	return 0;
}

/* A member that holds a string without NULs becomes *ret (which the caller's struct owns). */
static int take_string(const json_t *value, const char *key, char **ret, struct error *e)
{
	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
		return error_set(e, EINVAL, "%s: expected a string", key);
	free(*ret);
	*ret = strdup(json_string_value(value));
	return *ret ? 0 : error_set(e, ENOMEM, "out of memory");
}

static int take_strings(const json_t *value, const char *key, char **list, unsigned max,
			unsigned *ret_n, struct error *e)
{
	if (!json_is_array(value))
		return error_set(e, EINVAL, "%s: expected a list of strings", key);
	if (json_array_size(value) > max)
		return error_set(e, E2BIG, "%s: at most %u are taken", key, max);
	for (size_t i = 0; i < json_array_size(value); i++) {
		int r = take_string(json_array_get(value, i), key, &list[i], e);
		if (r < 0)
			return r;
		*ret_n = (unsigned)i + 1;
	}
	return 0;
}

static int take_bool(const json_t *value, const char *key, bool *ret, struct error *e)
{
	if (!json_is_boolean(value))
		return error_set(e, EINVAL, "%s: expected true or false", key);
	*ret = json_is_true(value);
	return 0;
}

static int take_engine(const json_t *value, enum engine_choice *ret, struct error *e)
{
	int found = json_is_string(value) ? engine_choice_find(json_string_value(value)) : -EINVAL;
	if (found < 0)
		return error_set(e, EINVAL, "engine: expected auto, buildah, podman or docker");
	*ret = (enum engine_choice)found;
	return 0;
}

struct number_row {
	const char *key;
	size_t offset;
	uint64_t standard; /* when it is not given; nothing above is taken */
};
static const struct number_row numbers[] = {
	{ "seconds", offsetof(struct worker_settings, seconds), LIMIT_JOB_SECONDS },
	{ "memory_bytes", offsetof(struct worker_settings, memory_bytes),
	  LIMIT_BUILD_MEMORY_BYTES },
	{ "processes", offsetof(struct worker_settings, processes), LIMIT_BUILD_PROCESSES },
	{ "file_bytes", offsetof(struct worker_settings, file_bytes), LIMIT_BUILD_FILE_BYTES },
	{ "storage_bytes", offsetof(struct worker_settings, storage_bytes),
	  LIMIT_BUILD_STORAGE_BYTES },
	{ "log_bytes", offsetof(struct worker_settings, log_bytes), LIMIT_JOB_LOG_BYTES },
	{ "context_bytes", offsetof(struct worker_settings, context_bytes), LIMIT_CONTEXT_BYTES },
	{ "context_entries", offsetof(struct worker_settings, context_entries),
	  LIMIT_CONTEXT_ENTRIES },
};

static uint64_t *number_of(struct worker_settings *s, const struct number_row *row)
{
	return (uint64_t *)(void *)((char *)s + row->offset);
}

static int take_number(const json_t *value, const char *key, struct worker_settings *s,
		       struct error *e)
{
	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		if (strcmp(key, numbers[i].key) != 0)
			continue;
		json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;
		if (n < 1 || (uint64_t)n > numbers[i].standard)
			return error_set(e, ERANGE, "%s: expected an integer from 1 to %llu", key,
					 (unsigned long long)numbers[i].standard);
		*number_of(s, &numbers[i]) = (uint64_t)n;
		return 0;
	}
	return error_set(e, EINVAL, "unknown setting '%s'", key);
}

static int take_setting(const char *key, const json_t *value, struct worker_settings *s,
			struct error *e)
{
	if (!strcmp(key, "run"))
		return take_string(value, key, &s->run, e);
	if (!strcmp(key, "tag_prefix"))
		return take_string(value, key, &s->tag_prefix, e);
	if (!strcmp(key, "docker_socket"))
		return take_string(value, key, &s->docker_socket, e);
	if (!strcmp(key, "engine"))
		return take_engine(value, &s->engine, e);
	if (!strcmp(key, "trust_dockerfiles"))
		return take_bool(value, key, &s->trust_dockerfiles, e);
	if (!strcmp(key, "bases"))
		return take_strings(value, key, s->bases, LIMIT_BASES, &s->n_bases, e);
	return take_number(value, key, s, e);
}

int settings_parse(const char *text, struct worker_settings *ret, struct error *e)
{
	*ret = (struct worker_settings){ 0 };
	for (size_t i = 0; i < ELEMENTS(numbers); i++)
		*number_of(ret, &numbers[i]) = numbers[i].standard;
	_cleanup_json_ json_t *j = NULL;
	int r = load(text, "settings", &j, e);
	if (r < 0)
		return r;
	const char *key;
	json_t *value;
	json_object_foreach(j, key, value)
	{
		r = take_setting(key, value, ret, e);
		if (r < 0)
			return r;
	}
	if (!ret->run || !ret->tag_prefix)
		return error_set(e, EINVAL, "settings: run and tag_prefix are needed");
	if (ret->engine == ENGINE_DOCKER && !ret->trust_dockerfiles)
		return error_set(e, EPERM,
				 "engine docker is refused: dockerd fetches and runs outside any "
				 "jail; trust_dockerfiles: true allows it");
	return 0;
}

enum engine_choice settings_engine(const char *text)
{
	enum engine_choice choice = ENGINE_AUTO;
	_cleanup_json_ json_t *j = json_loads(text, 0, NULL);
	const json_t *value = json_object_get(j, "engine");
	if (value)
		(void)take_engine(value, &choice, NULL);
	return choice;
}

void settings_done(struct worker_settings *s)
{
	free(s->run);
	free(s->tag_prefix);
	free(s->docker_socket);
	for (unsigned i = 0; i < LIMIT_BASES; i++)
		free(s->bases[i]);
	*s = (struct worker_settings){ 0 };
}

static int take_argument(const char *key, const json_t *value, struct build_arguments *a,
			 struct error *e)
{
	const struct {
		const char *key;
		char **to;
	} strings[] = { { "tag", &a->tag },
			{ "dockerfile", &a->dockerfile },
			{ "target", &a->target },
			{ "platform", &a->platform },
			{ "output", &a->output } };
	for (size_t i = 0; i < ELEMENTS(strings); i++)
		if (!strcmp(key, strings[i].key))
			return take_string(value, key, strings[i].to, e);
	if (!strcmp(key, "build_arg"))
		return take_strings(value, key, a->build_arg, SETTINGS_BUILD_ARG_MAX,
				    &a->n_build_arg, e);
	if (!strcmp(key, "no_cache"))
		return take_bool(value, key, &a->no_cache, e);
	return error_set(e, EINVAL, "unknown argument '%s'", key);
}

/* An engine takes a value that begins with '-' for an option, and control characters would reach
 * the log through its messages. */
static int check_text(const char *key, const char *value, struct error *e)
{
	if (!value)
		return 0;
	if (!*value)
		return error_set(e, EINVAL, "%s is empty", key);
	if (*value == '-')
		return error_set(e, EINVAL, "%s must not begin with '-'", key);
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return error_set(e, EINVAL, "%s has a control character in it", key);
	return 0;
}

static int check_build_args(const struct build_arguments *a, struct error *e)
{
	for (unsigned i = 0; i < a->n_build_arg; i++) {
		const char *s = a->build_arg[i];
		size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789_");
		/* Without a '=' an engine takes the value from its own environment. */
		if (!n || s[n] != '=' || (*s >= '0' && *s <= '9'))
			return error_set(e, EINVAL, "build_arg: expected KEY=VALUE");
	}
	return 0;
}

int build_arguments_parse(const char *text, struct build_arguments *ret, struct error *e)
{
	*ret = (struct build_arguments){ 0 };
	_cleanup_json_ json_t *j = NULL;
	int r = load(text, "arguments", &j, e);
	const char *key;
	json_t *value;
	if (r == 0)
		json_object_foreach(j, key, value)
		{
			r = take_argument(key, value, ret, e);
			if (r < 0)
				return r;
		}
	if (r == 0)
		r = check_text("dockerfile", ret->dockerfile, e);
	if (r == 0)
		r = check_text("target", ret->target, e);
	if (r == 0)
		r = check_text("platform", ret->platform, e);
	if (r == 0)
		r = check_text("output", ret->output, e);
	return r == 0 ? check_build_args(ret, e) : r;
}

void build_arguments_done(struct build_arguments *a)
{
	free(a->tag);
	free(a->dockerfile);
	free(a->target);
	free(a->platform);
	free(a->output);
	for (unsigned i = 0; i < SETTINGS_BUILD_ARG_MAX; i++)
		free(a->build_arg[i]);
	*a = (struct build_arguments){ 0 };
}
