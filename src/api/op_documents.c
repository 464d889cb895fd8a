/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that need no token: what this server is, and whether it is well. */
#include "api/operation.h"

static const struct param no_params[] = { { .name = NULL } };
static const enum problem no_problems[] = { PROBLEM_NONE };

static const struct answer text_answers[] = {
	{ 200, ANSWER_TEXT, "A page of plain text.", NULL },
	{ 0 },
};
static const struct answer json_answers[] = {
	{ 200, ANSWER_JSON, "The document.", NULL },
	{ 0 },
};
static const struct answer health_answers[] = {
	{ 200, ANSWER_HEALTH, "The server takes requests.", NULL },
	{ 503, ANSWER_HEALTH, "The server is ending: no new job is taken.", NULL },
	{ 0 },
};

const struct operation operation_index = {
	.id = OPERATION_INDEX,
	.name = "index",
	.method = "GET",
	.path = "/",
	.summary = "How to use this server with curl",
	.help = "Start here.",
	.params = no_params,
	.answers = text_answers,
	.problems = no_problems,
	.open = true,
};

const struct operation operation_healthz = {
	.id = OPERATION_HEALTHZ,
	.name = "healthz",
	.method = "GET",
	.path = "/healthz",
	.summary = "Whether the server is well",
	.help = "Answers as soon as requests are taken.",
	.params = no_params,
	.answers = health_answers,
	.problems = no_problems,
	.open = true,
};

const struct operation operation_openapi = {
	.id = OPERATION_OPENAPI,
	.name = "openapi",
	.method = "GET",
	.path = "/openapi.json",
	.summary = "This API as OpenAPI 3.1",
	.help = "Every parameter, body, response, header and problem.",
	.params = no_params,
	.answers = json_answers,
	.problems = no_problems,
	.open = true,
};

const struct operation operation_tools = {
	.id = OPERATION_TOOLS,
	.name = "tools",
	.method = "GET",
	.path = "/tools.json",
	.summary = "The operations as tools for a language model",
	.help = "Name, description, JSON Schema of the input, and how to call each by HTTP.",
	.params = no_params,
	.answers = json_answers,
	.problems = no_problems,
	.open = true,
};
