/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes routes and their parameters. Input: "METHOD PATH?QUERY". What is taken lies within its row's limits and is written
 * as JSON that says the same; what is not gets a sentence.
 */
#include "api/arguments.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_one(const struct arguments *a, unsigned i, const json_t *object)
{
	const struct argument *item = &a->item[i];
	const struct param *p = item->param;
	const json_t *v = json_object_get(object, p->name);
	size_t at = 0, times = 0;

	for (unsigned k = 0; k < a->n; k++) {
		at += k < i && a->item[k].param == p;
		times += a->item[k].param == p;
	}
	assert(p->in == PARAM_QUERY && times <= (p->repeats ? p->repeats : 1));
	if (p->repeats) {
		assert(json_array_size(v) == times);
		v = json_array_get(v, at);
	}
	switch (p->type) {
	case PARAM_INTEGER:
		assert(item->number >= p->least && item->number <= p->most);
		assert(json_integer_value(v) == item->number);
		break;
	case PARAM_BOOLEAN:
		assert((item->number == 0 || item->number == 1) && json_is_boolean(v));
		assert(json_is_true(v) == (item->number == 1));
		break;
	case PARAM_STRING:
		assert(item->text.len >= (size_t)p->least && item->text.len <= (size_t)p->most);
		assert(span_is(item->text, json_string_value(v)));
		break;
	}
}

static void check_good(const struct operation *op, const struct arguments *a)
{
	struct buf out = BUF_INIT(LIMIT_ARGUMENTS_BYTES);
	int r = arguments_json(op, a, &out);

	assert(r == 0 || r == -ENOBUFS);
	if (r == 0) {
		json_t *object = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
		assert(json_is_object(object));
		for (unsigned i = 0; i < a->n; i++)
			check_one(a, i, object);
		json_decref(object);
	}
	buf_done(&out);
	for (const struct param *p = op->params; p->name; p++)
		assert(p->in != PARAM_QUERY || !p->required || arguments_get(a, p->name));
}

static void check_text(const char *text)
{
	for (; *text; text++)
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct arguments a;
	static bool ready;
	struct argument_fault fault = { 0 };
	struct route route = { 0 };
	char allow[64];

	if (!ready) {
		int r = arguments_init(NULL);
		assert(r == 0);
		ready = true;
	}
	const char *text = (const char *)data, *blank = n ? memchr(text, ' ', n) : NULL;
	if (!blank)
		return 0;
	const char *path = blank + 1, *end = text + n;
	const char *mark = path < end ? memchr(path, '?', (size_t)(end - path)) : NULL;
	size_t len = (size_t)((mark ? mark : end) - path);
	struct span query = { 0 };
	if (mark)
		query = (struct span){ mark + 1, (size_t)(end - mark) - 1 };
	int r = route_find(text, (size_t)(blank - text), path, len, &route, allow);
	if (r < 0) {
		assert(r == -ENOENT || (r == -EPERM && strlen(allow) > 0));
		(void)route_nearest(path, len);
		return 0;
	}
	for (unsigned i = 0; i < OPERATION_SEGMENTS_MAX && route.param[i].text; i++)
		assert(route.param[i].len > 0 &&
		       route.param[i].text + route.param[i].len <= path + len);
	r = arguments_parse(route.op, query, &a, &fault);
	if (r == 0) {
		check_good(route.op, &a);
	} else {
		assert(r == -EINVAL && strlen(fault.detail) > 0);
		check_text(fault.detail);
		check_text(fault.parameter);
	}
	return 0;
}
