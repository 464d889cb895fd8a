/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents that are generated say what the table of operations says: every operation, its parameters with their limits,
 * its answers and problems, and nothing else. And the table holds what it says of itself.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "api/arguments.h"
#include "api/generate.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>

static json_t *openapi, *tools;
static char *page;

static int make(void **state)
{
	(void)state;
	_cleanup_free_ char *o = generate_openapi(), *t = generate_tools();
	page = generate_index("run/");
	openapi = o ? json_loads(o, JSON_REJECT_DUPLICATES, NULL) : NULL;
	tools = t ? json_loads(t, JSON_REJECT_DUPLICATES, NULL) : NULL;
	return page && openapi && tools && arguments_init(NULL) == 0 ? 0 : -1;
}

static int drop(void **state)
{
	(void)state;
	json_decref(openapi);
	json_decref(tools);
	free(page);
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

static const json_t *openapi_of(const struct operation *op)
{
	char method[16] = "";
	for (size_t i = 0; op->method[i] && i < sizeof(method) - 1; i++)
		method[i] = (char)tolower(op->method[i]);
	return json_object_get(json_object_get(json_object_get(openapi, "paths"), op->path),
			       method);
}

static const json_t *tool_of(const struct operation *op)
{
	size_t i;
	json_t *tool;
	json_array_foreach(json_object_get(tools, "tools"), i,
			   tool) if (!strcmp(text_of(tool, "name"), op->name)) return tool;
	return NULL;
}

static unsigned count(const struct operation *op)
{
	unsigned n = 0;
	while (op->params[n].name)
		n++;
	return n;
}

/* A schema says the row's type and limits, and nothing that the row does not. */
static void check_schema(const struct param *p, const json_t *schema)
{
	assert_non_null(schema);
	if (p->repeats) {
		assert_string_equal(text_of(schema, "type"), "array");
		assert_int_equal(json_integer_value(json_object_get(schema, "maxItems")),
				 p->repeats);
		schema = json_object_get(schema, "items");
	}
	static const char *const types[] = {
		[PARAM_STRING] = "string", [PARAM_INTEGER] = "integer", [PARAM_BOOLEAN] = "boolean"
	};
	assert_string_equal(text_of(schema, "type"), types[p->type]);
	const json_t *least = json_object_get(schema,
					      p->type == PARAM_STRING ? "minLength" : "minimum"),
		     *most = json_object_get(schema,
					     p->type == PARAM_STRING ? "maxLength" : "maximum");
	if (p->type == PARAM_BOOLEAN || p->ignored) {
		assert_true(!least && !most && !json_object_get(schema, "pattern"));
		return;
	}
	assert_true(json_is_integer(least) && json_integer_value(least) == p->least);
	assert_true(json_is_integer(most) && json_integer_value(most) == p->most);
	assert_string_equal(text_of(schema, "pattern"), p->pattern ? p->pattern : "");
}

static void openapi_says_what_the_table_says(void **state)
{
	(void)state;
	static const char *const places[] = {
		[PARAM_PATH] = "path", [PARAM_QUERY] = "query", [PARAM_HEADER] = "header"
	};
	size_t operations = 0;
	const char *path, *method;
	json_t *of_path, *of_method;
	json_object_foreach(json_object_get(openapi, "paths"), path, of_path)
		json_object_foreach(of_path, method, of_method) operations++;
	assert_int_equal(operations, OPERATION_COUNT);
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		const struct operation *op = operation_row(i);
		const json_t *o = openapi_of(op), *parameters = json_object_get(o, "parameters");
		assert_string_equal(text_of(o, "operationId"), op->name);
		assert_string_equal(text_of(o, "summary"), op->summary);
		assert_string_equal(text_of(o, "description"), op->help);
		assert_int_equal(json_array_size(parameters), count(op));
		for (unsigned k = 0; k < count(op); k++) {
			const struct param *p = &op->params[k];
			const json_t *v = json_array_get(parameters, k);
			assert_string_equal(text_of(v, "name"), p->name);
			assert_string_equal(text_of(v, "in"), places[p->in]);
			assert_string_equal(text_of(v, "description"), p->description);
			assert_int_equal(json_is_true(json_object_get(v, "required")), p->required);
			check_schema(p, json_object_get(v, "schema"));
		}
		const json_t *security = json_object_get(o, "security");
		assert_true(op->open ? json_is_array(security) && !json_array_size(security)
				     : !security);
		assert_int_equal(json_object_get(o, "requestBody") != NULL, op->body != BODY_NONE);
		assert_string_equal(text_of(o, "x-grant"), op->grant ? op->grant : "");
		assert_int_equal(json_is_true(json_object_get(o, "x-job")), op->job);
	}
}

static bool has_status(const struct operation *op, unsigned status)
{
	for (const struct answer *a = op->answers; a->status; a++)
		if (a->status == status)
			return true;
	for (const enum problem *p = op->problems; *p; p++)
		if (problem_row(*p)->status == status)
			return true;
	for (const enum problem *p = operation_common_problems(op->open); *p; p++)
		if (problem_row(*p)->status == status)
			return true;
	return false;
}

static void openapi_lists_every_answer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		const struct operation *op = operation_row(i);
		json_t *responses = json_object_get(openapi_of(op), "responses"), *response;
		const char *status;
		char key[16];
		json_object_foreach(responses, status, response)
		{
			assert_true(has_status(op, (unsigned)strtoul(status, NULL, 10)));
			assert_true(strlen(text_of(response, "description")) > 0);
		}
		for (const struct answer *a = op->answers; a->status; a++) {
			snprintf(key, sizeof(key), "%u", a->status);
			response = json_object_get(responses, key);
			assert_non_null(strstr(text_of(response, "description"), a->description));
			for (const char *const *h = a->headers; h && *h; h++)
				assert_non_null(
					json_object_get(json_object_get(response, "headers"), *h));
		}
		for (const enum problem *p = op->problems; *p; p++) {
			const struct problem_row *row = problem_row(*p);
			snprintf(key, sizeof(key), "%u", row->status);
			response = json_object_get(responses, key);
			assert_non_null(strstr(text_of(response, "description"), row->title));
			assert_non_null(json_object_get(json_object_get(response, "content"),
							"application/problem+json"));
		}
	}
}

static void tools_say_what_the_table_says(void **state)
{
	(void)state;
	size_t closed = 0;
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		const struct operation *op = operation_row(i);
		const json_t *tool = tool_of(op);
		assert_int_equal(tool != NULL, !op->open);
		if (op->open)
			continue;
		closed++;
		const json_t *http = json_object_get(tool, "http");
		const json_t *schema = json_object_get(tool, "input_schema");
		const json_t *properties = json_object_get(schema, "properties");
		assert_string_equal(text_of(http, "method"), op->method);
		assert_string_equal(text_of(http, "path"), op->path);
		assert_non_null(strstr(text_of(tool, "description"), op->help));
		assert_int_equal(json_object_size(properties), count(op));
		assert_int_equal(json_object_size(json_object_get(http, "in")), count(op));
		size_t required = 0;
		for (const struct param *p = op->params; p->name; p++) {
			check_schema(p, json_object_get(properties, p->name));
			required += p->required;
		}
		const json_t *list = json_object_get(schema, "required");
		assert_int_equal(json_array_size(list), required);
		for (size_t k = 0; k < required; k++) {
			const char *name = json_string_value(json_array_get(list, k));
			const struct param *p = op->params;
			while (p->name && strcmp(p->name, name) != 0)
				p++;
			assert_true(p->name && p->required);
		}
	}
	assert_int_equal(json_array_size(json_object_get(tools, "tools")), closed);
}

static void the_page_says_what_the_table_says(void **state)
{
	(void)state;
	unsigned lines = 0;
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		const struct operation *op = operation_row(i);
		char line[512];
		snprintf(line, sizeof(line), "\n%s %s: %s\n", op->method, op->path, op->summary);
		const char *at = strstr(page, line);
		assert_non_null(at);
		at += strlen(line);
		const char *end = at; /* the lines that are indented */
		while (!strncmp(end, "    ", 4))
			end = strchr(end, '\n') + 1;
		for (const struct param *p = op->params; p->name; p++) {
			snprintf(line, sizeof(line),
				 p->in == PARAM_HEADER ? "%s: " : "%s=", p->name);
			const char *found = strstr(at, line);
			assert_true(p->in == PARAM_PATH || (found && found < end));
		}
		if (op->curl)
			assert_true(strstr(at, op->curl) && strstr(at, op->curl) < end);
	}
	static const char *const methods[] = { "\nGET /", "\nPOST /", "\nPUT /", "\nDELETE /" };
	for (size_t m = 0; m < ELEMENTS(methods); m++)
		for (const char *at = page; (at = strstr(at, methods[m])); at++)
			lines++;
	assert_int_equal(lines, OPERATION_COUNT);
	assert_non_null(strstr(page, "run/NAME"));
}

static bool takes(const struct param *p, struct span text)
{
	struct argument_fault fault;
	int64_t number;
	return argument_check(p, text, &number, &fault) == 0;
}

static bool takes_number(const struct param *p, int64_t value)
{
	char text[32];
	snprintf(text, sizeof(text), "%lld", (long long)value);
	return takes(p, span_of(text));
}

static void limits_are_held_where_they_are_told(void **state)
{
	(void)state;
	static char longest[8192];
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		for (const struct param *p = operation_row(i)->params; p->name; p++) {
			if (!takes(p, span_of(p->example)))
				fail_msg("%s: %s does not take its own example",
					 operation_row(i)->name, p->name);
			if (p->type == PARAM_INTEGER) {
				assert_true(takes_number(p, p->least) && takes_number(p, p->most));
				assert_false(takes_number(p, p->least - 1));
				assert_false(takes_number(p, p->most + 1));
			}
			if (p->type != PARAM_STRING)
				continue;
			assert_true(p->most < (int64_t)sizeof(longest));
			assert_int_equal(takes(p, SPAN("")), p->least == 0);
			memset(longest, 'a', sizeof(longest));
			assert_false(takes(p, (struct span){ longest, (size_t)p->most + 1 }));
			if (!p->pattern)
				assert_true(takes(p, (struct span){ longest, (size_t)p->most }));
		}
}

static void refused_characters_are_named(void **state)
{
	(void)state;
	static const struct {
		struct span text;
		const char *words;
	} rows[] = {
		{ SPAN("A=b\nc"), "build_arg must not contain a line feed (%0A)." },
		{ SPAN("A=b\r"), "build_arg must not contain a carriage return (%0D)." },
		{ SPAN("A=\t"), "build_arg must not contain a tab (%09)." },
		{ SPAN("A=\x7f"), "build_arg must not contain a control character." },
		{ SPAN("A=\xff"), "build_arg is not UTF-8." },
		{ SPAN("A"), "build_arg is not of the form that is wanted: " },
	};
	const struct param *p = operation_build.params;
	while (strcmp(p->name, "build_arg") != 0)
		p++;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct argument_fault fault;
		int64_t number;
		assert_int_equal(argument_check(p, rows[i].text, &number, &fault), -EINVAL);
		assert_non_null(strstr(fault.detail, rows[i].words));
	}
}

static void routes(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path;
		int result;
		enum operation_id id;
		const char *first, *second, *allow;
	} rows[] = {
		{ "POST", "/build", 0, OPERATION_BUILD, NULL, NULL, NULL },
		{ "GET", "/jobs", 0, OPERATION_JOBS, NULL, NULL, NULL },
		{ "HEAD", "/jobs", 0, OPERATION_JOBS, NULL, NULL, NULL },
		{ "GET", "/jobs/x", 0, OPERATION_JOB, "x", NULL, NULL },
		{ "DELETE", "/jobs/x", 0, OPERATION_JOB_CANCEL, "x", NULL, NULL },
		{ "GET", "/jobs/x/artifacts/y.z", 0, OPERATION_JOB_ARTIFACT, "x", "y.z", NULL },
		{ "GET", "/", 0, OPERATION_INDEX, NULL, NULL, NULL },
		{ "PUT", "/jobs", -EPERM, 0, NULL, NULL, "GET, HEAD" },
		{ "PUT", "/jobs/x", -EPERM, 0, NULL, NULL, "GET, HEAD, DELETE" },
		{ "get", "/jobs", -EPERM, 0, NULL, NULL, "GET, HEAD" },
		{ "HEAD", "/build", -EPERM, 0, NULL, NULL, "POST" },
		{ "GET", "/jobs/", -ENOENT, 0, NULL, NULL, NULL },
		{ "GET", "/jobs//log", -ENOENT, 0, NULL, NULL, NULL },
		{ "GET", "/jobs/x/y", -ENOENT, 0, NULL, NULL, NULL },
		{ "GET", "/jobs/x/log/", -ENOENT, 0, NULL, NULL, NULL },
		{ "GET", "//jobs", -ENOENT, 0, NULL, NULL, NULL },
		{ "GET", "", -ENOENT, 0, NULL, NULL, NULL },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct route route;
		char allow[64] = "";
		memset(&route, 0x55, sizeof(route)); /* whatever the caller left there */
		int r = route_find(rows[i].method, strlen(rows[i].method), rows[i].path,
				   strlen(rows[i].path), &route, allow);
		assert_int_equal(r, rows[i].result);
		if (r == -EPERM)
			assert_string_equal(allow, rows[i].allow);
		if (r < 0)
			continue;
		const char *const wanted[] = { rows[i].first, rows[i].second, NULL };
		assert_int_equal(route.op->id, rows[i].id);
		for (unsigned k = 0; k < ELEMENTS(wanted); k++) {
			struct span got = { route.param[k].text, route.param[k].len };
			assert_int_equal(got.data != NULL, wanted[k] != NULL);
			assert_true(span_is(got, wanted[k] ? wanted[k] : ""));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openapi_says_what_the_table_says),
		cmocka_unit_test(openapi_lists_every_answer),
		cmocka_unit_test(tools_say_what_the_table_says),
		cmocka_unit_test(the_page_says_what_the_table_says),
		cmocka_unit_test(limits_are_held_where_they_are_told),
		cmocka_unit_test(refused_characters_are_named),
		cmocka_unit_test(routes),
	};
	return cmocka_run_group_tests(tests, make, drop);
}
