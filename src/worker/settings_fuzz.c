/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a worker is told. Input: a digit (0 settings, 1 arguments, as JSON; 2 a build's query, as an agent sends it), the
 * text. Every query that front takes gives arguments that the worker takes, and that say the same.
 */
#include "api/arguments.h"
#include "base/cleanup.h"
#include "worker/settings.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_settings(const char *json)
{
	struct worker_settings s = { 0 };
	struct error e = { 0 };
	int r = settings_parse(json, &s, &e);

	assert(r == 0 ? s.run && s.tag_prefix && s.engine < ENGINE_COUNT : e.message[0] != '\0');
	assert(s.n_bases <= LIMIT_BASES);
	settings_done(&s);
	(void)settings_engine(json);
}

static void check_arguments(const char *json)
{
	struct build_arguments a = { 0 };
	struct error e = { 0 };
	int r = build_arguments_parse(json, &a, &e);

	assert(r == 0 || e.message[0]);
	assert(a.n_build_arg <= SETTINGS_BUILD_ARG_MAX);
	build_arguments_done(&a);
}

static bool same(const struct arguments *a, const char *name, const char *text)
{
	const struct argument *given = arguments_get(a, name);
	return given ? text && span_is(given->text, text) : !text;
}

static void check_query(const char *text, size_t n)
{
	static struct arguments given;
	static bool ready;
	const struct operation *op = operation_row(OPERATION_BUILD);
	struct argument_fault fault;
	struct build_arguments a = { 0 };
	struct error e = { 0 };
	struct buf json = BUF_INIT(LIMIT_ARGUMENTS_BYTES);

	if (!ready)
		ready = arguments_init(NULL) == 0;
	assert(ready);
	if (arguments_parse(op, (struct span){ text, n }, &given, &fault) == 0 &&
	    arguments_json(op, &given, &json) == 0) {
		int r = build_arguments_parse(json.data, &a, &e);
		assert(r == 0);
		assert(same(&given, "tag", a.tag) && same(&given, "target", a.target));
		assert(same(&given, "dockerfile", a.dockerfile));
		assert(same(&given, "platform", a.platform) && same(&given, "output", a.output));
		assert(a.no_cache == (arguments_number(&given, "no_cache", 0) == 1));
		unsigned at = 0;
		for (unsigned i = 0; i < given.n; i++)
			if (!strcmp(given.item[i].param->name, "build_arg"))
				assert(span_is(given.item[i].text, a.build_arg[at++]));
		assert(at == a.n_build_arg);
		build_arguments_done(&a);
	}
	buf_done(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 1)
		return 0;
	_cleanup_free_ char *text = malloc(n);
	assert(text);
	memcpy(text, data + 1, n - 1);
	text[n - 1] = '\0';
	if (data[0] == '2')
		check_query(text, n - 1);
	else if (data[0] & 1)
		check_arguments(text);
	else
		check_settings(text);
	return 0;
}
