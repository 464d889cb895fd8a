/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and checks a harness file. */
#include "runner/harness.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "base/yaml.h"
#include "runner/expand.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>

/* The fields of the schema: those we act upon, then those that are other runners' business. */
static const char *const acted_upon[] = { "policy",	 "api_servers", "host_files",
					  "env",	 "runner_env",	"timeout_minutes",
					  "pre_script",	 "post_script", "command",
					  "description", "doc",		NULL };
static const char *const not_ours[] = { "agent",
					"base",
					"role",
					"slug",
					"model",
					"effort",
					"image",
					"providers",
					"openshell",
					"skills",
					"plugins",
					"agent_input",
					"validation_loop",
					"sandbox_timeout_seconds",
					"readonly_repo",
					"security",
					"forge",
					"allowed_remote_resources",
					"allow_runtime_fetch",
					"max_runtime_fetches",
					"trigger",
					NULL };

/* What every reader of a part needs. */
struct loader {
	struct harness *h;
	const char *const *environment;
	struct error *e;
};

static int wrong(const struct loader *l, const struct yaml_node *at, const char *what)
{
	return error_at(l->e, EINVAL, at->line, at->column, "%s", what);
}

static int out_of_memory(const struct loader *l)
{
	return error_set(l->e, ENOMEM, "out of memory");
}

/* The node's text with ${VAR} replaced; -ENOENT without filling *e when optional and VAR is not set. */
static int read_expanded(const struct loader *l, const struct yaml_node *n, bool optional,
			 char **ret)
{
	const char *text;
	int r = yaml_read_string(n, &text, l->e);
	if (r < 0)
		return r;
	char missing[256] = "";
	r = expand(text, l->environment, LIMIT_HARNESS_VALUE, ret, missing, sizeof(missing));
	if (r == -ENOENT && !optional)
		return error_at(l->e, EINVAL, n->line, n->column,
				"${%s} is not set in the environment; set it or remove it here",
				missing);
	if (r == -EINVAL)
		return wrong(l, n, "'${' must be followed by a variable's name and '}'");
	if (r == -ENOBUFS)
		return wrong(l, n, "the value is too long once ${VAR} is replaced");
	if (r == -ENOMEM)
		return out_of_memory(l);
	return r;
}

/* A path of the host's, relative ones below the harness's folder; the caller frees. */
static char *below_harness(const struct harness *h, const char *path)
{
	char *joined = NULL;
	if (*path == '/')
		return strdup(path);
	return asprintf(&joined, "%s/%s", h->directory, path) < 0 ? NULL : joined;
}

static int read_path(const struct loader *l, const struct yaml_node *n, char **ret)
{
	_cleanup_free_ char *text = NULL;
	int r = read_expanded(l, n, false, &text);
	if (r < 0)
		return r;
	if (!*text)
		return wrong(l, n, "expected a path, found an empty string");
	if (strstr(text, "://"))
		return wrong(l, n, "this is a URL; fetch the file and name its path here");
	*ret = below_harness(l->h, text);
	return *ret ? 0 : out_of_memory(l);
}

static bool is_variable_name(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	return true;
}

/* Add or replace one variable; takes value. */
static int set_variable(struct harness_variables *v, const char *name, char *value)
{
	for (unsigned i = 0; i < v->count; i++) {
		if (strcmp(v->list[i].name, name) != 0)
			continue;
		free(v->list[i].value);
		v->list[i].value = value;
		return 0;
	}
	if (v->count == LIMIT_HARNESS_VARIABLES)
		return -ENOBUFS;
	struct harness_variable *list = reallocarray(v->list, v->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	v->list = list;
	list[v->count].name = strdup(name);
	if (!list[v->count].name)
		return -ENOMEM;
	list[v->count++].value = value;
	return 0;
}

static int read_variables(const struct loader *l, const struct yaml_node *map,
			  struct harness_variables *v)
{
	if (map->kind == YAML_KIND_NULL)
		return 0;
	if (map->kind != YAML_KIND_MAPPING)
		return wrong(l, map, "expected a mapping of names to values");
	for (const struct yaml_node *n = map->child; n; n = n->next) {
		if (!is_variable_name(n->key))
			return error_at(l->e, EINVAL, n->key_line, n->key_column,
					"'%s' is not a variable's name (letters, digits and _)",
					n->key);
		_cleanup_free_ char *value = NULL;
		int r = read_expanded(l, n, false, &value);
		if (r < 0)
			return r;
		r = set_variable(v, n->key, value);
		if (r == -ENOBUFS)
			return wrong(l, n, "more variables than a harness may have");
		if (r < 0)
			return out_of_memory(l);
		value = NULL;
	}
	return 0;
}

static int read_env(const struct loader *l, const struct yaml_node *env)
{
	static const char *const known[] = { "runner", "sandbox", NULL };
	if (env->kind == YAML_KIND_NULL)
		return 0;
	if (env->kind != YAML_KIND_MAPPING)
		return wrong(l, env, "expected a mapping with 'runner' and 'sandbox'");
	int r = yaml_check_keys(env, known, l->e);
	const struct yaml_node *n;
	if (r == 0 && (n = yaml_get(env, "runner")))
		r = read_variables(l, n, &l->h->runner_env);
	if (r == 0 && (n = yaml_get(env, "sandbox")))
		r = read_variables(l, n, &l->h->sandbox_env);
	return r;
}

/* Append a word to a NULL-terminated list; takes word. */
static int add_word(char ***list, unsigned *count, char *word)
{
	char **grown = word ? reallocarray(*list, *count + 2, sizeof(*grown)) : NULL;
	if (!grown) {
		free(word);
		return -ENOMEM;
	}
	*list = grown;
	grown[(*count)++] = word;
	grown[*count] = NULL;
	return 0;
}

static int split_words(char ***list, unsigned *count, const char *text)
{
	for (const char *p = text; *p;) {
		size_t skip = strspn(p, " \t\n");
		size_t n = strcspn(p + skip, " \t\n");
		if (n && add_word(list, count, strndup(p + skip, n)) < 0)
			return -ENOMEM;
		p += skip + n;
	}
	return 0;
}

static int read_words(const struct loader *l, const struct yaml_node *n, char ***list,
		      unsigned *count)
{
	if (n->kind != YAML_KIND_SEQUENCE)
		return wrong(l, n, "expected a list of words");
	if (n->count + *count > LIMIT_HARNESS_WORDS)
		return wrong(l, n, "too many words");
	for (const struct yaml_node *w = n->child; w; w = w->next) {
		char *word = NULL;
		int r = read_expanded(l, w, false, &word);
		if (r == 0 && add_word(list, count, word) < 0)
			r = out_of_memory(l);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A list is argv; a string is a line for /bin/sh -c. */
static int read_command(const struct loader *l, const struct yaml_node *n)
{
	struct harness *h = l->h;
	if (n->kind == YAML_KIND_SEQUENCE) {
		if (!n->count)
			return wrong(l, n,
				     "an empty command; leave the field out or give its words");
		return read_words(l, n, &h->command, &h->n_command);
	}
	const char *text;
	int r = yaml_read_string(n, &text, l->e);
	if (r < 0)
		return r;
	if (!text[strspn(text, " \t\n")])
		return wrong(l, n, "an empty command; leave the field out or give a command");
	if (add_word(&h->command, &h->n_command, strdup("/bin/sh")) < 0 ||
	    add_word(&h->command, &h->n_command, strdup("-c")) < 0 ||
	    add_word(&h->command, &h->n_command, strdup(text)) < 0)
		return out_of_memory(l);
	return 0;
}

static int read_server_name(const struct loader *l, const struct yaml_node *server,
			    struct harness_server *s)
{
	const struct yaml_node *n = yaml_get(server, "name");
	const char *name;
	if (!n)
		return wrong(l, server, "this server has no 'name'");
	int r = yaml_read_string(n, &name, l->e);
	if (r < 0)
		return r;
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (!islower((unsigned char)*name) || name[len] || len > 32)
		return wrong(l, n,
			     "a server's name is a lower-case letter, then letters, digits and "
			     "hyphens, 32 at most");
	for (unsigned i = 0; i < l->h->n_servers; i++)
		if (l->h->servers[i].name && !strcmp(l->h->servers[i].name, name))
			return error_at(l->e, EINVAL, n->line, n->column,
					"two servers are named '%s'; their logs and tokens need "
					"different names",
					name);
	s->name = strdup(name);
	return s->name ? 0 : out_of_memory(l);
}

/* `postern`, or `postern serve ARGUMENT…`, is ourselves; anything else is the path of a program. */
static int read_server_program(const struct loader *l, const struct yaml_node *server,
			       struct harness_server *s)
{
	const struct yaml_node *n = yaml_get(server, "script");
	_cleanup_free_ char *text = NULL;
	if (!n)
		return wrong(l, server, "this server has no 'script'");
	int r = read_expanded(l, n, false, &text);
	if (r < 0)
		return r;
	size_t first = strcspn(text, " \t\n");
	if (first == strlen("postern") && !strncmp(text, "postern", first)) {
		if (split_words(&s->args, &s->n_args, text + first) < 0)
			return out_of_memory(l);
		if (s->n_args > LIMIT_HARNESS_WORDS)
			return wrong(l, n, "too many words");
		if (s->n_args && strcmp(s->args[0], "serve") != 0)
			return wrong(l, n, "only 'postern serve' is a server");
		if (!s->n_args && add_word(&s->args, &s->n_args, strdup("serve")) < 0)
			return out_of_memory(l);
		return 0;
	}
	return read_path(l, n, &s->program);
}

static int read_server(const struct loader *l, const struct yaml_node *server,
		       struct harness_server *s)
{
	static const char *const known[] = { "name", "script", "args", "port", "env", NULL };
	s->place = (struct harness_place){ server->line, server->column };
	if (server->kind != YAML_KIND_MAPPING)
		return wrong(l, server, "expected a mapping with 'name', 'script' and 'port'");
	int r = yaml_check_keys(server, known, l->e);
	if (r == 0)
		r = read_server_name(l, server, s);
	if (r == 0)
		r = read_server_program(l, server, s);
	const struct yaml_node *n;
	if (r == 0 && (n = yaml_get(server, "args")))
		r = read_words(l, n, &s->args, &s->n_args);
	if (r == 0 && (n = yaml_get(server, "port"))) {
		int64_t port;
		r = yaml_read_integer(n, 0, 65535, &port, l->e);
		if (r == 0)
			s->port = (unsigned)port;
		for (unsigned i = 0; r == 0 && port && i + 1 < l->h->n_servers; i++)
			if (l->h->servers[i].port == s->port)
				r = error_at(l->e, EINVAL, n->line, n->column,
					     "port %u is already that of server '%s'", s->port,
					     l->h->servers[i].name);
	}
	if (r == 0 && (n = yaml_get(server, "env")))
		r = read_variables(l, n, &s->env);
	return r;
}

static int read_servers(const struct loader *l, const struct yaml_node *list)
{
	if (list->kind == YAML_KIND_NULL)
		return 0;
	if (list->kind != YAML_KIND_SEQUENCE)
		return wrong(l, list, "expected a list of servers");
	if (list->count > LIMIT_HARNESS_SERVERS)
		return wrong(l, list, "more servers than a harness may have");
	struct harness *h = l->h;
	h->servers = calloc(list->count + 1, sizeof(*h->servers));
	if (!h->servers)
		return out_of_memory(l);
	for (const struct yaml_node *n = list->child; n; n = n->next) {
		int r = read_server(l, n, &h->servers[h->n_servers++]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_file(const struct loader *l, const struct yaml_node *file, struct harness_file *f)
{
	static const char *const known[] = { "src", "dest", "expand", "optional", NULL };
	f->place = (struct harness_place){ file->line, file->column };
	if (file->kind != YAML_KIND_MAPPING)
		return wrong(l, file, "expected a mapping with 'src' and 'dest'");
	int r = yaml_check_keys(file, known, l->e);
	if (r < 0)
		return r;
	const struct yaml_node *src = yaml_get(file, "src"), *dest = yaml_get(file, "dest"), *n;
	if (!src || !dest)
		return wrong(l, file, src ? "this file has no 'dest'" : "this file has no 'src'");
	if ((n = yaml_get(file, "expand")) && (r = yaml_read_bool(n, &f->expand, l->e)) < 0)
		return r;
	if ((n = yaml_get(file, "optional")) && (r = yaml_read_bool(n, &f->optional, l->e)) < 0)
		return r;
	const char *text;
	r = yaml_read_string(dest, &text, l->e);
	if (r < 0)
		return r;
	if (!*text || strstr(text, "/../") || !strncmp(text, "../", 3) || !strcmp(text, ".."))
		return wrong(l, dest, "expected the file's path in the sandbox, without '..'");
	f->dest = strdup(text);
	if (!f->dest)
		return out_of_memory(l);
	_cleanup_free_ char *path = NULL;
	r = read_expanded(l, src, f->optional, &path);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	f->src = below_harness(l->h, path);
	return f->src ? 0 : out_of_memory(l);
}

static int read_files(const struct loader *l, const struct yaml_node *list)
{
	if (list->kind == YAML_KIND_NULL)
		return 0;
	if (list->kind != YAML_KIND_SEQUENCE)
		return wrong(l, list, "expected a list of files");
	if (list->count > LIMIT_HARNESS_FILES)
		return wrong(l, list, "more files than a harness may have");
	struct harness *h = l->h;
	h->files = calloc(list->count + 1, sizeof(*h->files));
	if (!h->files)
		return out_of_memory(l);
	for (const struct yaml_node *n = list->child; n; n = n->next) {
		int r = read_file(l, n, &h->files[h->n_files++]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Every key is one of the schema's; those that are not ours are noted. */
static int check_fields(const struct loader *l, const struct yaml_node *root)
{
	const char *known[ELEMENTS(acted_upon) + ELEMENTS(not_ours)];
	size_t n = 0;
	for (size_t i = 0; acted_upon[i]; i++)
		known[n++] = acted_upon[i];
	for (size_t i = 0; not_ours[i]; i++)
		known[n++] = not_ours[i];
	known[n] = NULL;
	int r = yaml_check_keys(root, known, l->e);
	if (r < 0)
		return r;
	_cleanup_buf_ struct buf names = BUF_INIT(sizeof(l->h->ignored) - 1);
	for (const struct yaml_node *field = root->child; field; field = field->next)
		for (size_t i = 0; not_ours[i]; i++)
			if (!strcmp(field->key, not_ours[i]))
				(void)buf_printf(&names, "%s%s", names.len ? ", " : "", field->key);
	snprintf(l->h->ignored, sizeof(l->h->ignored), "%s", names.data ? names.data : "");
	return 0;
}

static int read_fields(const struct loader *l, const struct yaml_node *root)
{
	struct harness *h = l->h;
	const struct yaml_node *n;
	int r = check_fields(l, root);
	if (r == 0 && (n = yaml_get(root, "policy")))
		r = read_path(l, n, &h->policy);
	if (r == 0 && (n = yaml_get(root, "pre_script"))) {
		h->pre_place = (struct harness_place){ n->line, n->column };
		r = read_path(l, n, &h->pre_script);
	}
	if (r == 0 && (n = yaml_get(root, "post_script"))) {
		h->post_place = (struct harness_place){ n->line, n->column };
		r = read_path(l, n, &h->post_script);
	}
	/* The older runner_env first, so that env.runner wins. */
	if (r == 0 && (n = yaml_get(root, "runner_env")))
		r = read_variables(l, n, &h->runner_env);
	if (r == 0 && (n = yaml_get(root, "env")))
		r = read_env(l, n);
	if (r == 0 && (n = yaml_get(root, "command")))
		r = read_command(l, n);
	if (r == 0 && (n = yaml_get(root, "timeout_minutes"))) {
		int64_t minutes = 0;
		r = yaml_read_integer(n, 1, LIMIT_TIMEOUT_MINUTES, &minutes, l->e);
		h->timeout_minutes = (unsigned)minutes;
	}
	if (r == 0 && (n = yaml_get(root, "api_servers")))
		r = read_servers(l, n);
	if (r == 0 && (n = yaml_get(root, "host_files")))
		r = read_files(l, n);
	return r;
}

static void cleanup_document(struct yaml_document **d)
{
	yaml_document_free(*d);
}

static void cleanup_harness(struct harness **h)
{
	harness_free(*h);
}

int harness_load(const char *path, const char *const *environment, struct harness **ret,
		 struct error *e)
{
	_cleanup_(cleanup_document) struct yaml_document *d = NULL;
	_cleanup_(cleanup_harness) struct harness *h = calloc(1, sizeof(*h));
	struct loader l = { h, environment, e };
	if (!h)
		return out_of_memory(&l);
	int r = yaml_parse_file(path, &d, e);
	if (r < 0)
		return r;
	h->name = strdup(path);
	h->path = realpath(path, NULL);
	_cleanup_free_ char *copy = h->path ? strdup(h->path) : NULL;
	h->directory = copy ? strdup(dirname(copy)) : NULL;
	if (!h->name || !h->directory)
		return out_of_memory(&l);
	const struct yaml_node *root = yaml_root(d);
	if (!root || root->kind != YAML_KIND_MAPPING)
		r = error_at(e, EINVAL, 1, 1, "a harness is a mapping of fields to values");
	else
		r = read_fields(&l, root);
	if (r < 0)
		return error_in_file(e, path);
	*ret = TAKE_PTR(h);
	return 0;
}

static void free_variables(struct harness_variables *v)
{
	for (unsigned i = 0; i < v->count; i++) {
		free(v->list[i].name);
		free(v->list[i].value);
	}
	free(v->list);
}

static void free_words(char **words)
{
	for (char **w = words; w && *w; w++)
		free(*w);
	free(words);
}

void harness_free(struct harness *h)
{
	if (!h)
		return;
	for (unsigned i = 0; i < h->n_servers; i++) {
		free(h->servers[i].name);
		free(h->servers[i].program);
		free_words(h->servers[i].args);
		free_variables(&h->servers[i].env);
	}
	for (unsigned i = 0; i < h->n_files; i++) {
		free(h->files[i].src);
		free(h->files[i].dest);
	}
	free_variables(&h->runner_env);
	free_variables(&h->sandbox_env);
	free_words(h->command);
	free(h->servers);
	free(h->files);
	free(h->name);
	free(h->path);
	free(h->directory);
	free(h->policy);
	free(h->pre_script);
	free(h->post_script);
	free(h);
}
