/* SPDX-License-Identifier: Apache-2.0 */
/* Writes /tools.json: the operations as tools for a language model. */
#include "api/generate.h"
#include "api/operation.h"

static const char *const places[] = {
	[PARAM_PATH] = "path", [PARAM_QUERY] = "query", [PARAM_HEADER] = "header"
};

static json_t *input_schema(const struct operation *op)
{
	json_t *properties = json_object(), *required = json_array();
	for (const struct param *p = op->params; p->name; p++) {
		json_t *s = param_schema(p);
		json_object_set_new(s, "description", json_string(p->description));
		json_object_set_new(properties, p->name, s);
		if (p->required)
			json_array_append_new(required, json_string(p->name));
	}
	return json_pack("{ss, so, so, sb}", "type", "object", "properties", properties, "required",
			 required, "additionalProperties", 0);
}

static json_t *tool(const struct operation *op)
{
	json_t *in = json_object();
	for (const struct param *p = op->params; p->name; p++)
		json_object_set_new(in, p->name, json_string(places[p->in]));
	json_t *http = json_pack("{ss, ss, so}", "method", op->method, "path", op->path, "in", in);
	if (op->body == BODY_ARCHIVE)
		json_object_set_new(http, "body",
				    json_string("tar archive, plain or compressed with gzip or "
						"zstd; not part of the input"));
	if (op->curl)
		json_object_set_new(http, "curl", json_string(op->curl));
	return json_pack("{ss, ss++, so, so}", "name", op->name, "description", op->summary, ". ",
			 op->help, "input_schema", input_schema(op), "http", http);
}

char *generate_tools(void)
{
	json_t *tools = json_array();
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		if (!operation_row(i)->open)
			json_array_append_new(tools, tool(operation_row(i)));
	json_t *document = json_pack(
		"{ss, so}", "how_to_call",
		"Send the HTTP request that \"http\" describes to the server that this document "
		"came "
		"from, with the header 'Authorization: Bearer TOKEN'; in a sandbox the token is in "
		"the environment variable API_TOKEN. In the curl lines A is that header and U the "
		"server's URL.",
		"tools", tools);
	char *text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	return text;
}
