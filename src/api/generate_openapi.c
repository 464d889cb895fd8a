/* SPDX-License-Identifier: Apache-2.0 */
/* Writes /openapi.json (OpenAPI 3.1) from the table of operations. */
#include "api/generate.h"
#include "api/operation.h"
#include "base/limit.h"

#include <assert.h>
#include <ctype.h>

static const char *const places[] = {
	[PARAM_PATH] = "path", [PARAM_QUERY] = "query", [PARAM_HEADER] = "header"
};

/* The response headers that rows name, and those of problems. */
static const struct header {
	const char *name, *type, *description;
} headers[] = {
	{ "Accept-Ranges", "string", "bytes: Range is understood." },
	{ "Allow", "string", "The methods that this path takes." },
	{ "Content-Range", "string", "Which bytes these are, of how many." },
	{ "ETag", "string", "Stands for this very content." },
	{ "Location", "string", "Path of the job." },
	{ "Preference-Applied", "string", "The wait that was granted, when one was asked for." },
	{ "Retry-After", "integer", "Seconds after which to ask again." },
	{ "WWW-Authenticate", "string", "Bearer." },
	{ NULL, NULL, NULL },
};

static json_t *header_ref(const char *name)
{
	return json_pack("{s s+}", "$ref", "#/components/headers/", name);
}

static json_t *schema_ref(const char *name)
{
	return json_pack("{s s+}", "$ref", "#/components/schemas/", name);
}

static json_t *content(const char *media_type, json_t *schema)
{
	return json_pack("{s {s o}}", media_type, "schema", schema);
}

static json_t *answer_content(enum answer_kind kind)
{
	switch (kind) {
	case ANSWER_JOB:
		return content("application/json", schema_ref("Job"));
	case ANSWER_JOB_LIST:
		return content("application/json", schema_ref("JobList"));
	case ANSWER_HEALTH:
		return content("application/json", schema_ref("Health"));
	case ANSWER_JSON:
		return content("application/json", json_pack("{ss}", "type", "object"));
	case ANSWER_TEXT:
	case ANSWER_LOG:
		return content("text/plain; charset=utf-8", json_pack("{ss}", "type", "string"));
	case ANSWER_EVENTS:
		return content("text/event-stream", json_pack("{ss}", "type", "string"));
	case ANSWER_FILE:
		return content("*/*", json_object());
	case ANSWER_NONE:
		break;
	}
	return NULL;
}

static json_t *status_key_get(json_t *responses, unsigned status)
{
	char key[8];
	snprintf(key, sizeof(key), "%u", status);
	return json_object_get(responses, key);
}

static json_t *status_key_add(json_t *responses, unsigned status, json_t *response)
{
	char key[8];
	snprintf(key, sizeof(key), "%u", status);
	json_object_set_new(responses, key, response);
	return response;
}

static void add_answer(json_t *responses, const struct answer *a)
{
	json_t *r = json_pack("{ss}", "description", a->description);
	json_t *c = answer_content(a->kind), *h = json_object();
	for (const char *const *name = a->headers; name && *name; name++)
		json_object_set_new(h, *name, header_ref(*name));
	json_object_set_new(r, "headers", h);
	if (c)
		json_object_set_new(r, "content", c);
	status_key_add(responses, a->status, r);
}

/* Several problems may share a status: one response then describes them all. */
static void add_problem(json_t *responses, enum problem code)
{
	const struct problem_row *row = problem_row(code);
	json_t *r = status_key_get(responses, row->status);
	if (!r)
		r = status_key_add(responses, row->status,
				   json_pack("{ss, s{}, s{}, s[]}", "description", "", "headers",
					     "content", "x-problems"));
	json_t *names = json_object_get(r, "x-problems");
	if (!names) {
		names = json_array();
		json_object_set_new(r, "x-problems", names);
	}
	json_array_append_new(names, json_string(row->name));
	const char *before = json_string_value(json_object_get(r, "description"));
	json_object_set_new(r, "description",
			    json_sprintf("%s%s%s.", before, *before ? " " : "", row->title));
	json_t *c = json_object_get(r, "content");
	json_object_set_new(c, "application/problem+json",
			    json_pack("{s o}", "schema", schema_ref("Problem")));
	json_t *h = json_object_get(r, "headers");
	if (row->status == 401)
		json_object_set_new(h, "WWW-Authenticate", header_ref("WWW-Authenticate"));
	if (row->status == 429 || row->status == 503)
		json_object_set_new(h, "Retry-After", header_ref("Retry-After"));
	if (code == PROBLEM_RANGE)
		json_object_set_new(h, "Content-Range", header_ref("Content-Range"));
}

static json_t *responses_of(const struct operation *op)
{
	json_t *responses = json_object();
	for (const struct answer *a = op->answers; a->status; a++)
		add_answer(responses, a);
	for (const enum problem *p = op->problems; *p; p++)
		add_problem(responses, *p);
	for (const enum problem *p = operation_common_problems(op->open); *p; p++) {
		bool own = false;
		for (const enum problem *q = op->problems; *q; q++)
			own = own || *q == *p;
		if (!own)
			add_problem(responses, *p);
	}
	return responses;
}

static json_t *parameter(const struct param *p)
{
	json_t *v =
		json_pack("{ss, ss, sb, ss, so}", "name", p->name, "in", places[p->in], "required",
			  p->required, "description", p->description, "schema", param_schema(p));
	json_t *e = p->type == PARAM_STRING ? json_string(p->example)
					    : json_loads(p->example, JSON_DECODE_ANY, NULL);
	assert(e);
	json_object_set_new(v, "example", p->repeats ? json_pack("[o]", e) : e);
	if (p->repeats) {
		json_object_set_new(v, "style", json_string("form"));
		json_object_set_new(v, "explode", json_true());
	}
	return v;
}

static json_t *body_of(const struct operation *op)
{
	static const char *const types[] = { "application/x-tar", "application/gzip",
					     "application/zstd", "application/octet-stream", NULL };
	json_t *c = json_object();
	for (const char *const *t = types; *t; t++)
		json_object_set_new(c, *t, json_pack("{s{}}", "schema"));
	char text[200];
	snprintf(text, sizeof(text),
		 "A tar archive, plain or compressed with gzip or zstd, known by its first bytes "
		 "whatever Content-Type says; at most %llu MiB.",
		 (unsigned long long)op->body_max >> 20);
	return json_pack("{ss, sb, so}", "description", text, "required", 1, "content", c);
}

static json_t *operation_of(const struct operation *op)
{
	json_t *parameters = json_array();
	for (const struct param *p = op->params; p->name; p++)
		json_array_append_new(parameters, parameter(p));
	json_t *v = json_pack("{ss, ss, ss, so, so}", "operationId", op->name, "summary",
			      op->summary, "description", op->help, "parameters", parameters,
			      "responses", responses_of(op));
	if (op->body != BODY_NONE)
		json_object_set_new(v, "requestBody", body_of(op));
	if (op->open)
		json_object_set_new(v, "security", json_array());
	if (op->job)
		json_object_set_new(v, "x-job", json_true());
	if (op->grant)
		json_object_set_new(v, "x-grant", json_string(op->grant));
	return v;
}

static json_t *paths(void)
{
	json_t *all = json_object();
	for (unsigned i = 0; i < OPERATION_COUNT; i++) {
		const struct operation *op = operation_row(i);
		char method[16];
		size_t n = 0;
		for (; n < sizeof(method) - 1 && op->method[n]; n++)
			method[n] = (char)tolower((unsigned char)op->method[n]);
		method[n] = '\0';
		json_t *path = json_object_get(all, op->path);
		if (!path) {
			path = json_object();
			json_object_set_new(all, op->path, path);
		}
		json_object_set_new(path, method, operation_of(op));
	}
	return all;
}

static json_t *components(void)
{
	json_t *all = json_object();
	for (const struct header *h = headers; h->name; h++)
		json_object_set_new(all, h->name,
				    json_pack("{ss, s{ss}}", "description", h->description,
					      "schema", "type", h->type));
	return json_pack("{so, so, s{s{ss, ss, ss}}}", "schemas", api_schemas(), "headers", all,
			 "securitySchemes", "token", "type", "http", "scheme", "bearer",
			 "description",
			 "The run's token; in a sandbox: the environment variable API_TOKEN.");
}

char *generate_openapi(void)
{
	json_t *document = json_pack(
		"{ss, s{ss, ss, ss}, s[{ss}], s[{s[]}], so, so}", "openapi", "3.1.0", "info",
		"title", "postern", "version", POSTERN_VERSION, "description",
		"What the host does for the agent of one run. Every GET also answers HEAD. Other "
		"methods get 405 with Allow. Errors are application/problem+json with a hint.",
		"servers", "url", "/", "security", "token", "paths", paths(), "components",
		components());
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_decref(document);
	return text;
}
