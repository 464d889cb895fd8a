/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schemas of what the API answers with, and of its parameters. */
#include "api/generate.h"
#include "api/jobtable.h"
#include "api/operation.h"

#include <assert.h>

/* Kept as JSON, since that is how one reads a schema. The test of src/api/job_json.c holds what is
 * written against it. */
static const char schemas[] =
	"{\"Job\": {"
	" \"type\": \"object\", \"description\": \"One asked-for execution of an operation.\","
	" \"additionalProperties\": false,"
	" \"required\": [\"id\", \"operation\", \"state\", \"created\", \"started\", \"ended\","
	"  \"stage\", \"result\", \"artifacts\", \"log\", \"events\"],"
	" \"properties\": {"
	"  \"id\": {\"type\": \"string\"},"
	"  \"operation\": {\"type\": \"string\"},"
	"  \"state\": {\"type\": \"string\", \"enum\": []},"
	"  \"created\": {\"type\": \"string\", \"format\": \"date-time\"},"
	"  \"started\": {\"type\": [\"string\", \"null\"], \"format\": \"date-time\"},"
	"  \"ended\": {\"type\": [\"string\", \"null\"], \"format\": \"date-time\"},"
	"  \"stage\": {\"type\": \"string\", \"description\": \"What it is doing, for people.\"},"
	"  \"result\": {\"oneOf\": [{\"type\": \"null\"}, {\"$ref\": "
	"\"#/components/schemas/Result\"}]},"
	"  \"artifacts\": {\"type\": \"array\", \"items\": {"
	"\"$ref\": \"#/components/schemas/Artifact\"}},"
	"  \"log\": {\"type\": \"string\", \"description\": \"Path of the log.\"},"
	"  \"events\": {\"type\": \"string\", \"description\": \"Path of the event stream.\"}}},"

	"\"Artifact\": {"
	" \"type\": \"object\", \"description\": \"A file that a job leaves for the agent.\","
	" \"additionalProperties\": false,"
	" \"required\": [\"name\", \"size\", \"media_type\", \"href\"],"
	" \"properties\": {"
	"  \"name\": {\"type\": \"string\"},"
	"  \"size\": {\"type\": \"integer\", \"description\": \"Bytes.\"},"
	"  \"media_type\": {\"type\": \"string\"},"
	"  \"href\": {\"type\": \"string\", \"description\": \"Path to fetch it from.\"}}},"

	"\"Result\": {"
	" \"type\": \"object\", \"description\": \"What came of a job that has ended. A failure "
	"has "
	"error, and what is known of the step that failed.\","
	" \"additionalProperties\": false,"
	" \"properties\": {"
	"  \"image_id\": {\"type\": \"string\"}, \"digest\": {\"type\": \"string\"},"
	"  \"tag\": {\"type\": \"string\", \"description\": \"The image's full name.\"},"
	"  \"size\": {\"type\": \"integer\"}, \"layers\": {\"type\": \"integer\"},"
	"  \"engine\": {\"type\": \"string\"}, \"engine_version\": {\"type\": \"string\"},"
	"  \"contained\": {\"type\": \"boolean\"},"
	"  \"stages\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {"
	"   \"name\": {\"type\": \"string\"}, \"seconds\": {\"type\": \"number\"}}}},"
	"  \"error\": {\"type\": \"string\"}, \"hint\": {\"type\": \"string\"},"
	"  \"step\": {\"type\": \"string\"},"
	"  \"line\": {\"type\": \"integer\", \"description\": \"Of the Dockerfile.\"},"
	"  \"exit_code\": {\"type\": \"integer\"},"
	"  \"last_lines\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}}},"

	"\"JobList\": {"
	" \"type\": \"object\", \"additionalProperties\": false,"
	" \"required\": [\"jobs\"],"
	" \"properties\": {"
	"  \"jobs\": {\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Job\"}}}},"

	"\"Health\": {"
	" \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"status\"],"
	" \"properties\": {\"status\": {\"type\": \"string\", \"enum\": [\"ok\", \"draining\"]}}},"

	"\"Problem\": {"
	" \"type\": \"object\", \"description\": \"RFC 9457, with a hint: the next thing to try.\","
	" \"required\": [\"type\", \"title\", \"status\", \"hint\"],"
	" \"properties\": {"
	"  \"type\": {\"type\": \"string\", \"enum\": []},"
	"  \"title\": {\"type\": \"string\"},"
	"  \"status\": {\"type\": \"integer\"},"
	"  \"detail\": {\"type\": \"string\", \"description\": \"What is wrong with this "
	"request.\"},"
	"  \"hint\": {\"type\": \"string\", \"description\": \"The next thing to try.\"},"
	"  \"parameter\": {\"type\": \"string\", \"description\": \"The parameter at fault.\"}}}}";

static json_t *enum_of(json_t *all, const char *schema, const char *property)
{
	json_t *s = json_object_get(json_object_get(all, schema), "properties");
	return json_object_get(json_object_get(s, property), "enum");
}

json_t *api_schemas(void)
{
	json_t *all = json_loads(schemas, JSON_REJECT_DUPLICATES, NULL);
	assert(all);
	json_t *states = enum_of(all, "Job", "state"), *types = enum_of(all, "Problem", "type");
	for (unsigned s = JOB_QUEUED; s < JOB_STATE_COUNT; s++)
		json_array_append_new(states, json_string(job_state_name(s)));
	for (unsigned p = PROBLEM_NONE + 1; p < PROBLEM_COUNT; p++)
		json_array_append_new(
			types, json_sprintf("%s%s", PROBLEM_TYPE_PREFIX, problem_row(p)->name));
	return all;
}

static json_t *value_schema(const struct param *p)
{
	switch (p->type) {
	case PARAM_INTEGER:
		return json_pack("{ss, sI, sI}", "type", "integer", "minimum", (json_int_t)p->least,
				 "maximum", (json_int_t)p->most);
	case PARAM_BOOLEAN:
		return json_pack("{ss}", "type", "boolean");
	case PARAM_STRING:
		break;
	}
	if (p->ignored)
		return json_pack("{ss}", "type", "string");
	json_t *s = json_pack("{ss, sI, sI}", "type", "string", "minLength", (json_int_t)p->least,
			      "maxLength", (json_int_t)p->most);
	if (p->pattern)
		json_object_set_new(s, "pattern", json_string(p->pattern));
	return s;
}

json_t *param_schema(const struct param *p)
{
	if (!p->repeats)
		return value_schema(p);
	return json_pack("{ss, so, si}", "type", "array", "items", value_schema(p), "maxItems",
			 (int)p->repeats);
}
