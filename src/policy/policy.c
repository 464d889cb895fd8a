/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the top level of a policy and the sections that concern the sandbox itself. */
#include "policy/model.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>

struct pending_warning {
	struct pending_warning *before;
	struct policy_warning warning;
};

int loader_no_memory(struct loader *l)
{
	return error_set(l->e, ENOMEM, "out of memory");
}

int loader_warn(struct loader *l, unsigned line, unsigned column, const char *format, ...)
{
	char message[400];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	struct pending_warning *w = arena_take(&l->p->arena, sizeof(*w));
	char *copy = arena_copy(&l->p->arena, message, strlen(message));
	if (!w || !copy)
		return loader_no_memory(l);
	*w = (struct pending_warning){
		.before = l->warnings,
		.warning = { .line = line, .column = column, .message = copy },
	};
	l->warnings = w;
	l->n_warnings++;
	return 0;
}

int loader_fail(struct loader *l, const struct yaml_node *n, const char *format, ...)
{
	char message[400];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return error_at(l->e, EINVAL, n->line, n->column, "%s", message);
}

int loader_expect(struct loader *l, const struct yaml_node *n, enum yaml_kind kind)
{
	static const char *const names[] = { "nothing", "text", "a list", "a mapping" };
	if (n->kind == kind)
		return 0;
	return loader_fail(l, n, "%s%s%sexpected %s, found %s", n->key ? "\"" : "",
			   n->key ? n->key : "", n->key ? "\": " : "", names[kind], names[n->kind]);
}

int loader_keys(struct loader *l, const struct yaml_node *mapping, const char *const *known,
		const char *const (*later)[2])
{
	int r = loader_expect(l, mapping, YAML_KIND_MAPPING);
	if (r < 0)
		return r;
	for (const struct yaml_node *c = mapping->child; c; c = c->next)
		for (size_t i = 0; later && later[i][0]; i++)
			if (!strcmp(c->key, later[i][0]))
				return error_at(l->e, EINVAL, c->key_line, c->key_column,
						"\"%s\" is not supported yet; %s", c->key,
						later[i][1]);
	return yaml_check_keys(mapping, known, l->e);
}

static int load_version(struct loader *l, const struct yaml_node *root)
{
	const struct yaml_node *n = yaml_get(root, "version");
	if (!n)
		return loader_fail(l, root, "\"version\" is missing; write \"version: 1\" first");
	int64_t version = 0;
	int r = yaml_read_integer(n, 1, 1, &version, NULL);
	return r < 0 ? loader_fail(l, n, "this reads version 1 only; write \"version: 1\"") : 0;
}

static int check_path(struct loader *l, const struct yaml_node *n)
{
	const char *s = n->text;
	if (s[0] != '/')
		return loader_fail(l, n, "the path \"%.100s\" is not absolute; begin it with \"/\"",
				   s);
	if (strlen(s) >= POLICY_PATH_MAX)
		return loader_fail(l, n, "the path is longer than %d bytes", POLICY_PATH_MAX - 1);
	for (const char *part = s; *part;) {
		part++;
		size_t size = strcspn(part, "/");
		if ((size == 1 && part[0] == '.') || (size == 2 && !strncmp(part, "..", 2)))
			return loader_fail(l, n,
					   "the path \"%.100s\" holds \".\" or \"..\"; write "
					   "where it leads",
					   s);
		if (!size && part[0])
			return loader_fail(l, n,
					   "the path \"%.100s\" holds \"//\"; write one \"/\"", s);
		part += size;
	}
	for (const char *c = s; *c; c++)
		if (iscntrl((unsigned char)*c))
			return loader_fail(l, n, "the path holds a control character");
	return 0;
}

static int load_path(struct loader *l, const struct yaml_node *n, bool writable,
		     struct policy_path *ret)
{
	int r = loader_expect(l, n, YAML_KIND_SCALAR);
	if (r < 0 || (r = check_path(l, n)) < 0)
		return r;
	size_t size = strlen(n->text);
	if (size > 1 && n->text[size - 1] == '/')
		size--;
	if (writable && size == 1)
		return loader_fail(l, n,
				   "read_write \"/\" would open everything; list the folders "
				   "that are needed");
	ret->path = arena_copy(&l->p->arena, n->text, size);
	ret->line = n->line;
	ret->column = n->column;
	return ret->path ? 0 : loader_no_memory(l);
}

/* At most LIMIT_POLICY_PATHS, those of the other list included. */
static int load_paths(struct loader *l, const struct yaml_node *list, bool writable, size_t others,
		      const struct policy_path **ret, size_t *ret_n)
{
	if (!list)
		return 0;
	int r = loader_expect(l, list, YAML_KIND_SEQUENCE);
	if (r < 0)
		return r;
	struct policy_path *paths = arena_take_array(&l->p->arena, list->count, sizeof(*paths));
	if (!paths)
		return loader_no_memory(l);
	size_t i = 0;
	for (const struct yaml_node *c = list->child; c; c = c->next, i++) {
		if (others + i == LIMIT_POLICY_PATHS)
			return loader_fail(l, c,
					   "more than %d paths; list folders instead of files",
					   LIMIT_POLICY_PATHS);
		if ((r = load_path(l, c, writable, &paths[i])) < 0)
			return r;
	}
	*ret = paths;
	*ret_n = i;
	return 0;
}

static int load_filesystem(struct loader *l, const struct yaml_node *section)
{
	static const char *const known[] = { "include_workdir", "read_only", "read_write", NULL };
	struct policy_filesystem *fs = &l->p->filesystem;
	fs->include_workdir = !section;
	if (!section)
		return 0;
	fs->present = true;
	int r = loader_keys(l, section, known, NULL);
	const struct yaml_node *n = yaml_get(section, "include_workdir");
	if (r == 0 && n)
		r = yaml_read_bool(n, &fs->include_workdir, l->e);
	if (r == 0)
		r = load_paths(l, yaml_get(section, "read_only"), false, 0, &fs->read_only,
			       &fs->n_read_only);
	if (r == 0)
		r = load_paths(l, yaml_get(section, "read_write"), true, fs->n_read_only,
			       &fs->read_write, &fs->n_read_write);
	return r;
}

static int load_landlock(struct loader *l, const struct yaml_node *section)
{
	static const char *const known[] = { "compatibility", NULL };
	static const char *const values[] = { "best_effort", "hard_requirement", NULL };
	if (!section)
		return 0;
	int r = loader_keys(l, section, known, NULL);
	const struct yaml_node *n = yaml_get(section, "compatibility");
	if (r < 0 || !n)
		return r;
	if ((r = loader_expect(l, n, YAML_KIND_SCALAR)) < 0)
		return r;
	for (int i = 0; values[i]; i++)
		if (!strcmp(n->text, values[i])) {
			l->p->landlock = (enum policy_landlock)i;
			return 0;
		}
	return loader_fail(l, n, "compatibility is best_effort or hard_requirement, not \"%.60s\"",
			   n->text);
}

/* A user or group: a name, or a number of one that is not root. */
static int load_identity(struct loader *l, const struct yaml_node *n, const char **ret)
{
	if (!n)
		return 0;
	int r = loader_expect(l, n, YAML_KIND_SCALAR);
	if (r < 0)
		return r;
	const char *s = n->text;
	size_t size = strlen(s);
	if (!size)
		return 0;
	if (strspn(s, "0123456789") == size) {
		unsigned long long id = size > 10 ? ULLONG_MAX : strtoull(s, NULL, 10);
		if (id < 1 || id > 4294967294)
			return loader_fail(l, n,
					   "\"%s\": a number from 1 to 4294967294 is expected, "
					   "not %.20s",
					   n->key, s);
	} else if (!strcmp(s, "root")) {
		return loader_fail(l, n, "\"%s\": not root; write an ordinary one, or leave it out",
				   n->key);
	} else if (size > 32 || isdigit((unsigned char)*s) || *s == '-' || *s == '.' ||
		   strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
			   size) {
		return loader_fail(l, n, "\"%s\": \"%.60s\" is no name and no number", n->key, s);
	}
	*ret = s;
	return 0;
}

static int load_process(struct loader *l, const struct yaml_node *section)
{
	static const char *const known[] = { "run_as_user", "run_as_group", NULL };
	struct policy_process *process = &l->p->process;
	if (!section)
		return 0;
	int r = loader_keys(l, section, known, NULL);
	if (r == 0)
		r = load_identity(l, yaml_get(section, "run_as_user"), &process->run_as_user);
	if (r == 0)
		r = load_identity(l, yaml_get(section, "run_as_group"), &process->run_as_group);
	return r;
}

static int load_root(struct loader *l, const struct yaml_node *root)
{
	static const char *const known[] = { "version", "filesystem_policy", "landlock",
					     "process", "network_policies",  NULL };
	static const char *const later[][2] = {
		{ "network_middlewares", "remove it" },
		{ NULL, NULL },
	};
	if (root->kind == YAML_KIND_NULL)
		return loader_fail(l, root, "the policy is empty; write \"version: 1\" first");
	int r = loader_keys(l, root, known, later);
	if (r == 0)
		r = load_version(l, root);
	if (r == 0)
		r = load_filesystem(l, yaml_get(root, "filesystem_policy"));
	if (r == 0)
		r = load_landlock(l, yaml_get(root, "landlock"));
	if (r == 0)
		r = load_process(l, yaml_get(root, "process"));
	if (r == 0)
		r = load_networks(l, yaml_get(root, "network_policies"));
	if (r == 0 && index_build(l->p) < 0)
		r = loader_no_memory(l);
	return r;
}

static int by_warning_place(const void *a, const void *b)
{
	const struct policy_warning *x = a, *y = b;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->column < y->column ? -1 : x->column > y->column;
}

static int order_warnings(struct loader *l)
{
	struct policy *p = l->p;
	p->warnings = arena_take_array(&p->arena, l->n_warnings, sizeof(*p->warnings));
	if (!p->warnings)
		return loader_no_memory(l);
	p->n_warnings = l->n_warnings;
	size_t i = l->n_warnings;
	for (const struct pending_warning *w = l->warnings; w; w = w->before)
		p->warnings[--i] = w->warning;
	qsort(p->warnings, p->n_warnings, sizeof(*p->warnings), by_warning_place);
	return 0;
}

/* Takes bytes over in any case. */
static int load_text(char *bytes, size_t n, const char *file, struct policy **ret, struct error *e)
{
	_cleanup_policy_ struct policy *p = calloc(1, sizeof(*p));
	if (!p || !bytes) {
		free(bytes);
		return error_set(e, ENOMEM, "out of memory");
	}
	p->text = bytes;
	p->text_len = n;
	int r = yaml_parse(bytes, n, file, &p->document, e);
	if (r < 0)
		return r;
	struct loader l = { .p = p, .e = e };
	r = load_root(&l, yaml_root(p->document));
	if (r == 0)
		r = order_warnings(&l);
	if (r < 0) {
		error_in_file(e, file);
		return r;
	}
	*ret = TAKE_PTR(p);
	return 0;
}

int policy_load(const char *bytes, size_t n, const char *file, struct policy **ret, struct error *e)
{
	char *copy = malloc(n + 1);
	if (copy)
		memcpy(copy, bytes, n);
	return load_text(copy, n, file, ret, e);
}

int policy_load_file(const char *path, struct policy **ret, struct error *e)
{
	_cleanup_free_ char *data = NULL;
	size_t n = 0;
	int r = file_read(path, YAML_FILE_MAX, &data, &n);
	if (r < 0) {
		error_set(e, -r, "cannot read the policy: %s", strerror(-r));
		error_in_file(e, path);
		return r;
	}
	return load_text(TAKE_PTR(data), n, path, ret, e);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	arena_done(&p->arena);
	yaml_document_free(p->document);
	free(p->text);
	free(p);
}

const char *policy_text(const struct policy *p, size_t *ret_len)
{
	*ret_len = p->text_len;
	return p->text;
}

const char *policy_file(const struct policy *p)
{
	return yaml_file(p->document);
}

const struct policy_warning *policy_warnings(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_warnings;
	return p->warnings;
}

const struct policy_filesystem *policy_filesystem(const struct policy *p)
{
	return &p->filesystem;
}

enum policy_landlock policy_landlock(const struct policy *p)
{
	return p->landlock;
}

const struct policy_process *policy_process(const struct policy *p)
{
	return &p->process;
}

bool policy_has_network(const struct policy *p)
{
	return p->n_networks > 0;
}

static bool same_paths(const struct policy_path *a, size_t n_a, const struct policy_path *b,
		       size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (strcmp(a[i].path, b[i].path) != 0)
			return false;
	return true;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool policy_same_sandbox(const struct policy *a, const struct policy *b, const char **ret_what)
{
	const struct policy_filesystem *x = &a->filesystem, *y = &b->filesystem;
	*ret_what = NULL;
	if (x->include_workdir != y->include_workdir ||
	    !same_paths(x->read_only, x->n_read_only, y->read_only, y->n_read_only) ||
	    !same_paths(x->read_write, x->n_read_write, y->read_write, y->n_read_write))
		*ret_what = "filesystem_policy";
	else if (a->landlock != b->landlock)
		*ret_what = "landlock";
	else if (!same_text(a->process.run_as_user, b->process.run_as_user) ||
		 !same_text(a->process.run_as_group, b->process.run_as_group))
		*ret_what = "process";
	else if (policy_has_network(a) != policy_has_network(b))
		*ret_what = "whether there are any network_policies";
	else if (policy_looks_into_tls(a) != policy_looks_into_tls(b))
		*ret_what = "whether any TLS is looked into";
	return !*ret_what;
}

size_t policy_endpoint_count(const struct policy *p)
{
	return p->n_endpoints;
}

bool policy_looks_into_tls(const struct policy *p)
{
	for (size_t i = 0; i < p->n_endpoints; i++)
		if (!p->endpoints[i].tls_skip)
			return true;
	return false;
}

void policy_endpoint(const struct policy *p, size_t i, struct policy_endpoint *ret)
{
	const struct endpoint *ep = &p->endpoints[i];
	*ret = (struct policy_endpoint){
		.policy = ep->network->key,
		.host = ep->host,
		.ports = ep->ports,
		.n_ports = ep->n_ports,
		.path = ep->path,
		.inspected = ep->inspected,
		.calls = ep->inspected && ep->inspection.protocol != POLICY_PROTOCOL_REST,
		.enforced = ep->enforced,
		.host_wildcard = ep->kind != HOST_EXACT,
		.line = ep->line,
	};
}
