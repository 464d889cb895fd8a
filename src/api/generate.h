/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is generated from the table of operations: the page at /, /openapi.json and /tools.json.
 * Called by front, once, at its start. The texts are the caller's to free.
 */
#ifndef POSTERN_GENERATE_H
#define POSTERN_GENERATE_H
#include <jansson.h>

/* Stands in the page where the server's own name and port, as the client knows it, belong. */
#define GENERATE_HOST_MARK "\001"

/* The page at /; image_prefix is what the names of this run's images begin with. NULL: out of
 * memory. */
char *generate_index(const char *image_prefix);
char *generate_openapi(void);
char *generate_tools(void);

/* The schemas of what is answered with, by name: "Job", "JobList", "Health", "Problem". A new
 * object. */
json_t *api_schemas(void);
/* The JSON Schema of one parameter's value. */
struct param;
json_t *param_schema(const struct param *p);
/* "urn:postern:problem:no-such-job" begins with this. */
#define PROBLEM_TYPE_PREFIX "urn:postern:problem:"
#endif
