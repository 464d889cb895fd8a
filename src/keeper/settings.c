/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the server's configuration. */
#include "keeper/settings.h"
#include "api/engine_choice.h"
#include "api/tag.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "base/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>

static int read_engine(const struct yaml_node *n, bool trusted, struct buf *out, struct error *e)
{
	const char *text;
	int r = yaml_read_string(n, &text, e);
	if (r < 0)
		return r;
	int choice = engine_choice_find(text);
	if (choice < 0)
		return error_at(e, EINVAL, n->line, n->column,
				"no engine '%.40s'; write auto, buildah, podman or docker", text);
	if (choice == ENGINE_DOCKER && !trusted)
		return error_at(e, EINVAL, n->line, n->column,
				"a dockerd fetches outside any jail: engine docker needs "
				"`trust_dockerfiles: true`");
	return buf_printf(out, "\"engine\":\"%s\",", text);
}

static int read_socket(const struct yaml_node *n, struct buf *out, struct error *e)
{
	const char *text;
	int r = yaml_read_string(n, &text, e);
	if (r < 0)
		return r;
	if (*text != '/' || strlen(text) > 107 || strpbrk(text, "\"\\\n\r\t"))
		return error_at(e, EINVAL, n->line, n->column,
				"expected the absolute path of a dockerd's socket");
	return buf_printf(out, "\"docker_socket\":\"%s\",", text);
}

static int read_bases(const struct yaml_node *n, struct buf *out, struct error *e)
{
	if (n->kind != YAML_KIND_SEQUENCE)
		return error_at(e, EINVAL, n->line, n->column,
				"expected a list of names, such as [debian-tcc]");
	int r = buf_append_str(out, "\"bases\":[");
	unsigned count = 0;
	for (const struct yaml_node *c = n->child; r == 0 && c; c = c->next) {
		const char *text;
		r = yaml_read_string(c, &text, e);
		if (r < 0)
			return r;
		if (!tag_is_base_name(text))
			return error_at(e, EINVAL, c->line, c->column,
					"'%.64s' is not a base image's name: up to 64 small "
					"letters and digits, with '.', '_' or '-' between them; "
					"`postern base list` shows those there are",
					text);
		if (++count > LIMIT_BASES)
			return error_at(e, EINVAL, c->line, c->column,
					"at most %d base images can be granted", LIMIT_BASES);
		r = buf_printf(out, "\"%s\"%s", text, c->next ? "," : "");
	}
	return r < 0 ? r : buf_append_str(out, "],");
}

#define OF_KEEPER(member) (1 + offsetof(struct serve_limits, member))

/* The limits: nothing above `most` is taken. */
static const struct limit_row {
	const char *key;
	uint64_t most;
	bool of_worker;	  /* is handed on to workers */
	size_t of_keeper; /* OF_KEEPER(member); 0: none of its own */
} limit_rows[] = {
	{ "seconds", LIMIT_JOB_SECONDS, true, OF_KEEPER(seconds) },
	{ "memory_bytes", LIMIT_BUILD_MEMORY_BYTES, true, 0 },
	{ "processes", LIMIT_BUILD_PROCESSES, true, 0 },
	{ "file_bytes", LIMIT_BUILD_FILE_BYTES, true, 0 },
	{ "storage_bytes", LIMIT_BUILD_STORAGE_BYTES, true, OF_KEEPER(storage_bytes) },
	{ "log_bytes", LIMIT_JOB_LOG_BYTES, true, 0 },
	{ "context_bytes", LIMIT_CONTEXT_BYTES, true, 0 },
	{ "context_entries", LIMIT_CONTEXT_ENTRIES, true, 0 },
	{ "jobs_running", LIMIT_JOBS_RUNNING, false, OF_KEEPER(jobs_running) },
	{ "jobs_queued", LIMIT_JOBS_QUEUED, false, OF_KEEPER(jobs_queued) },
};

static int read_limits(const struct yaml_node *n, struct buf *out, struct serve_limits *limits,
		       struct error *e)
{
	const char *known[ELEMENTS(limit_rows) + 1] = { NULL };
	for (size_t i = 0; i < ELEMENTS(limit_rows); i++)
		known[i] = limit_rows[i].key;
	if (n->kind != YAML_KIND_MAPPING)
		return error_at(e, EINVAL, n->line, n->column,
				"expected limits by name, such as { seconds: 600 }");
	int r = yaml_check_keys(n, known, e);
	for (const struct yaml_node *c = n->child; r == 0 && c; c = c->next) {
		const struct limit_row *row = limit_rows;
		int64_t value;
		while (strcmp(row->key, c->key) != 0)
			row++;
		r = yaml_read_integer(c, 1, (int64_t)row->most, &value, e);
		if (r == 0 && row->of_keeper)
			memcpy((char *)limits + row->of_keeper - 1, &value, sizeof(value));
		if (r == 0 && row->of_worker)
			r = buf_printf(out, "\"%s\":%" PRId64 ",", c->key, value);
	}
	return r;
}

static int convert(const struct yaml_node *root, struct buf *out, struct serve_limits *limits,
		   struct error *e)
{
	static const char *const known[] = { "engine",	      "trust_dockerfiles",
					     "docker_socket", "bases",
					     "limits",	      NULL };
	const struct yaml_node *n;
	bool trusted = false;
	if (root->kind == YAML_KIND_NULL)
		return 0;
	if (root->kind != YAML_KIND_MAPPING)
		return error_at(e, EINVAL, root->line, root->column,
				"expected settings by name, such as `engine: auto`");
	int r = yaml_check_keys(root, known, e);
	if (r == 0 && (n = yaml_get(root, "trust_dockerfiles")))
		r = yaml_read_bool(n, &trusted, e);
	if (r == 0)
		r = buf_printf(out, "\"trust_dockerfiles\":%s,", trusted ? "true" : "false");
	if (r == 0 && (n = yaml_get(root, "engine")))
		r = read_engine(n, trusted, out, e);
	if (r == 0 && (n = yaml_get(root, "docker_socket")))
		r = read_socket(n, out, e);
	if (r == 0 && (n = yaml_get(root, "bases")))
		r = read_bases(n, out, e);
	if (r == 0 && (n = yaml_get(root, "limits")))
		r = read_limits(n, out, limits, e);
	return r;
}

int serve_settings_load(const char *path, struct buf *out, struct serve_limits *ret_limits,
			struct error *e)
{
	struct serve_limits limits = { .seconds = LIMIT_JOB_SECONDS,
				       .jobs_running = DEFAULT_JOBS_RUNNING,
				       .jobs_queued = DEFAULT_JOBS_QUEUED,
				       .storage_bytes = LIMIT_BUILD_STORAGE_BYTES };
	struct yaml_document *d = NULL;
	int r = buf_append_str(out, "{");
	if (path && r == 0) {
		r = yaml_parse_file(path, &d, e);
		if (r == 0)
			r = convert(yaml_root(d), out, &limits, e);
		yaml_document_free(d);
		if (r == -ENOBUFS)
			error_set(e, EINVAL, "the configuration is too large");
		if (r < 0)
			return error_in_file(e, path);
		if (out->data[out->len - 1] == ',')
			out->data[--out->len] = '\0';
	}
	*ret_limits = limits;
	return r < 0 ? r : buf_append_str(out, "}");
}
