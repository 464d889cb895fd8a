/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the YAML tree: any bytes give a tree within the limits or an error with a place. */
#include "base/yaml.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned walk(const struct yaml_node *n, unsigned depth)
{
	assert(depth <= YAML_DEPTH_MAX + 1 && n->line && n->column);
	int64_t number;
	bool on;
	const char *text;
	(void)yaml_read_integer(n, INT64_MIN, INT64_MAX, &number, NULL);
	(void)yaml_read_bool(n, &on, NULL);
	(void)yaml_read_string(n, &text, NULL);
	unsigned all = 1, children = 0;
	for (const struct yaml_node *c = n->child; c; c = c->next, children++)
		all += walk(c, depth + 1);
	assert(children == n->count);
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const known[] = { "a", "version", "network_policies", NULL };
	struct yaml_document *d = NULL;
	struct error e = { 0 };
	if (yaml_parse((const char *)data, n, "fuzz", &d, &e) < 0) {
		assert(!d && e.code && e.message[0]);
		return 0;
	}
	assert(walk(yaml_root(d), 0) <= YAML_NODES_MAX);
	(void)yaml_check_keys(yaml_root(d), known, &e);
	yaml_document_free(d);
	return 0;
}
