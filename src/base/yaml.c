/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the tree of nodes from libyaml's events, and reads values out of it. */
#include "base/yaml.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <yaml.h>

#define CORE_TAG_PREFIX	 "tag:yaml.org,2002:"
#define QUOTED_IN_ERRORS "%.60s" /* a file's text in a message is cut here */

struct yaml_document {
	struct arena arena;
	char *file;
	struct yaml_node *root;
};

/* One mapping or sequence that is being filled. */
struct level {
	struct yaml_node *node;
	struct yaml_node *last; /* its last child */
	const char *key; /* of the entry whose value comes next; NULL when a key comes next */
	unsigned key_line, key_column;
};

struct builder {
	struct yaml_document *doc;
	struct error *e;
	struct level stack[YAML_DEPTH_MAX];
	unsigned depth;
	unsigned nodes;
	unsigned documents;
};

void yaml_document_free(struct yaml_document *d)
{
	if (!d)
		return;
	arena_done(&d->arena);
	free(d->file);
	free(d);
}

static void free_document(struct yaml_document **d)
{
	yaml_document_free(*d);
}

static int fail(struct builder *b, const yaml_mark_t *at, const char *message)
{
	return error_at(b->e, EINVAL, (unsigned)at->line + 1, (unsigned)at->column + 1, "%s",
			message);
}

static int new_node(struct builder *b, const yaml_mark_t *at, enum yaml_kind kind,
		    struct yaml_node **ret)
{
	if (++b->nodes > YAML_NODES_MAX)
		return fail(b, at, "too many values in one file (more than 20000)");
	struct yaml_node *n = arena_take(&b->doc->arena, sizeof(*n));
	if (!n)
		return error_set(b->e, ENOMEM, "out of memory");
	*n = (struct yaml_node){
		.kind = kind,
		.line = (unsigned)at->line + 1,
		.column = (unsigned)at->column + 1,
	};
	*ret = n;
	return 0;
}

/* Put a finished or freshly opened node where it belongs: root, list item, or value of a key. */
static void attach(struct builder *b, struct yaml_node *n)
{
	if (!b->depth) {
		b->doc->root = n;
		return;
	}
	struct level *top = &b->stack[b->depth - 1];
	if (top->node->kind == YAML_KIND_MAPPING) {
		n->key = top->key;
		n->key_line = top->key_line;
		n->key_column = top->key_column;
		top->key = NULL;
	}
	if (top->last)
		top->last->next = n;
	else
		top->node->child = n;
	top->last = n;
	top->node->count++;
}

static bool expects_key(const struct builder *b)
{
	if (!b->depth)
		return false;
	const struct level *top = &b->stack[b->depth - 1];
	return top->node->kind == YAML_KIND_MAPPING && !top->key;
}

/* The core tag's short name ("str"), "" for none, NULL for a foreign one. */
static const char *short_tag(const yaml_char_t *tag)
{
	if (!tag)
		return "";
	if (strncmp((const char *)tag, CORE_TAG_PREFIX, strlen(CORE_TAG_PREFIX)) != 0)
		return NULL;
	return (const char *)tag + strlen(CORE_TAG_PREFIX);
}

static bool tag_is_one_of(const yaml_char_t *tag, const char *const *names)
{
	const char *name = short_tag(tag);
	if (!name)
		return false;
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return !*name;
}

static bool is_null_word(const char *s)
{
	return !*s || !strcmp(s, "~") || !strcmp(s, "null") || !strcmp(s, "Null") ||
	       !strcmp(s, "NULL");
}

static int copy_text(struct builder *b, const yaml_event_t *ev, const char **ret)
{
	const char *text = (const char *)ev->data.scalar.value;
	size_t n = ev->data.scalar.length;
	if (memchr(text, '\0', n))
		return fail(b, &ev->start_mark, "a NUL character is not allowed in a value");
	*ret = arena_copy(&b->doc->arena, text, n);
	return *ret ? 0 : error_set(b->e, ENOMEM, "out of memory");
}

static int on_scalar(struct builder *b, const yaml_event_t *ev)
{
	static const char *const tags[] = { "str", "int", "bool", "float", "null", NULL };
	if (ev->data.scalar.anchor)
		return fail(b, &ev->start_mark, "anchors are not supported; write the value out");
	if (!tag_is_one_of(ev->data.scalar.tag, tags))
		return fail(b, &ev->start_mark, "this tag is not supported; remove it");
	const char *text = NULL;
	int r = copy_text(b, ev, &text);
	if (r < 0)
		return r;
	bool quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
		      !strcmp(short_tag(ev->data.scalar.tag), "str");
	if (expects_key(b)) {
		struct level *top = &b->stack[b->depth - 1];
		if (!quoted && is_null_word(text))
			return fail(b, &ev->start_mark, "a key is missing here");
		if (++b->nodes > YAML_NODES_MAX)
			return fail(b, &ev->start_mark,
				    "too many values in one file (more than 20000)");
		top->key = text;
		top->key_line = (unsigned)ev->start_mark.line + 1;
		top->key_column = (unsigned)ev->start_mark.column + 1;
		return 0;
	}
	struct yaml_node *n;
	bool null = !quoted && is_null_word(text);
	r = new_node(b, &ev->start_mark, null ? YAML_KIND_NULL : YAML_KIND_SCALAR, &n);
	if (r < 0)
		return r;
	n->text = null ? NULL : text;
	n->quoted = quoted;
	attach(b, n);
	return 0;
}

static int on_open(struct builder *b, const yaml_event_t *ev, enum yaml_kind kind)
{
	static const char *const seq_tags[] = { "seq", NULL }, *const map_tags[] = { "map", NULL };
	bool list = kind == YAML_KIND_SEQUENCE;
	if (list ? ev->data.sequence_start.anchor != NULL : ev->data.mapping_start.anchor != NULL)
		return fail(b, &ev->start_mark, "anchors are not supported; write the value out");
	if (list ? !tag_is_one_of(ev->data.sequence_start.tag, seq_tags)
		 : !tag_is_one_of(ev->data.mapping_start.tag, map_tags))
		return fail(b, &ev->start_mark, "this tag is not supported; remove it");
	if (expects_key(b))
		return fail(b, &ev->start_mark, "a key must be a single word or quoted text");
	if (b->depth == YAML_DEPTH_MAX)
		return fail(b, &ev->start_mark, "nested too deeply (more than 32 levels)");
	struct yaml_node *n;
	int r = new_node(b, &ev->start_mark, kind, &n);
	if (r < 0)
		return r;
	attach(b, n);
	b->stack[b->depth++] = (struct level){ .node = n };
	return 0;
}

static int by_key_then_place(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	int r = strcmp(x->key, y->key);
	if (r)
		return r;
	if (x->key_line != y->key_line)
		return x->key_line < y->key_line ? -1 : 1;
	return x->key_column < y->key_column ? -1 : 1;
}

/* Sorted, so that a file of 20,000 keys is not compared pair by pair. */
static int check_duplicates(struct builder *b, const struct yaml_node *mapping)
{
	if (mapping->count < 2)
		return 0;
	_cleanup_free_ const struct yaml_node **all = calloc(mapping->count, sizeof(*all));
	if (!all)
		return error_set(b->e, ENOMEM, "out of memory");
	size_t n = 0;
	for (const struct yaml_node *c = mapping->child; c; c = c->next)
		all[n++] = c;
	qsort(all, n, sizeof(*all), by_key_then_place);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(all[i - 1]->key, all[i]->key))
			return error_at(b->e, EINVAL, all[i]->key_line, all[i]->key_column,
					"the key \"" QUOTED_IN_ERRORS
					"\" is given twice (first on line %u); keep one",
					all[i]->key, all[i - 1]->key_line);
	return 0;
}

static int on_close(struct builder *b)
{
	const struct yaml_node *n = b->stack[--b->depth].node;
	return n->kind == YAML_KIND_MAPPING ? check_duplicates(b, n) : 0;
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->documents++)
			return fail(b, &ev->start_mark, "a second document; keep one per file");
		return 0;
	case YAML_ALIAS_EVENT:
		return fail(b, &ev->start_mark, "aliases are not supported; write the value out");
	case YAML_SCALAR_EVENT:
		return on_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, ev, YAML_KIND_SEQUENCE);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, ev, YAML_KIND_MAPPING);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(b);
	default:
		return 0;
	}
}

/* libyaml reports encoding errors by byte offset only. */
static int reader_error(struct builder *b, const yaml_parser_t *p, const char *bytes, size_t n)
{
	unsigned line = 1, column = 1;
	for (size_t i = 0; i < n && i < p->problem_offset; i++) {
		if (bytes[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	return error_at(b->e, EINVAL, line, column, "not UTF-8 text: %s",
			p->problem ? p->problem : "bad character");
}

static int parser_error(struct builder *b, const yaml_parser_t *p, const char *bytes, size_t n)
{
	if (p->error == YAML_MEMORY_ERROR)
		return error_set(b->e, ENOMEM, "out of memory");
	if (p->error == YAML_READER_ERROR)
		return reader_error(b, p, bytes, n);
	char message[200];
	snprintf(message, sizeof(message), "not YAML: %s%s%s", p->context ? p->context : "",
		 p->context ? ": " : "", p->problem ? p->problem : "malformed");
	return fail(b, &p->problem_mark, message);
}

static int build(struct builder *b, yaml_parser_t *p, const char *bytes, size_t n)
{
	for (;;) {
		yaml_event_t ev;
		if (!yaml_parser_parse(p, &ev))
			return parser_error(b, p, bytes, n);
		int r = on_event(b, &ev);
		bool end = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
		if (r < 0 || end)
			return r;
	}
}

int yaml_parse(const char *bytes, size_t n, const char *file, struct yaml_document **ret,
	       struct error *e)
{
	if (n > YAML_FILE_MAX) {
		error_set(e, EFBIG, "the file is larger than 1 MiB");
		error_in_file(e, file);
		return -EFBIG;
	}
	_cleanup_(free_document) struct yaml_document *d = calloc(1, sizeof(*d));
	yaml_parser_t parser;
	if (!d || !(d->file = strdup(file)) || !yaml_parser_initialize(&parser))
		return error_set(e, ENOMEM, "out of memory");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, n);
	struct builder b = { .doc = d, .e = e };
	const yaml_mark_t start = { 0 };
	int r = build(&b, &parser, bytes, n);
	yaml_parser_delete(&parser);
	if (r == 0 && !d->root) /* an empty file: a null at its start */
		r = new_node(&b, &start, YAML_KIND_NULL, &d->root);
	if (r < 0) {
		error_in_file(e, file);
		return r;
	}
	*ret = TAKE_PTR(d);
	return 0;
}

int yaml_parse_file(const char *path, struct yaml_document **ret, struct error *e)
{
	_cleanup_free_ char *data = NULL;
	size_t n = 0;
	int r = file_read(path, YAML_FILE_MAX, &data, &n);
	if (r < 0) {
		if (r == -EFBIG)
			error_set(e, EFBIG, "the file is larger than 1 MiB");
		else
			error_set(e, -r, "cannot read it: %s", strerror(-r));
		error_in_file(e, path);
		return r;
	}
	return yaml_parse(data, n, path, ret, e);
}

const struct yaml_node *yaml_root(const struct yaml_document *d)
{
	return d->root;
}

const char *yaml_file(const struct yaml_document *d)
{
	return d->file;
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
	if (!mapping || mapping->kind != YAML_KIND_MAPPING)
		return NULL;
	for (const struct yaml_node *c = mapping->child; c; c = c->next)
		if (!strcmp(c->key, key))
			return c;
	return NULL;
}

static const char *found(const struct yaml_node *n)
{
	switch (n->kind) {
	case YAML_KIND_NULL:
		return "nothing";
	case YAML_KIND_SEQUENCE:
		return "a list";
	case YAML_KIND_MAPPING:
		return "a mapping";
	default:
		return "text";
	}
}

int yaml_read_string(const struct yaml_node *n, const char **ret, struct error *e)
{
	if (n->kind != YAML_KIND_SCALAR)
		return error_at(e, EINVAL, n->line, n->column, "expected text, found %s", found(n));
	*ret = n->text;
	return 0;
}

/* Decimal only, so that 0700 or 1_000 are not silently something else. */
static bool parse_integer(const char *s, int64_t *ret)
{
	bool negative = *s == '-';
	s += negative;
	if (!*s || (s[0] == '0' && s[1]))
		return false;
	int64_t v = 0;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, negative ? '0' - *s : *s - '0', &v))
			return false;
	}
	*ret = v;
	return true;
}

int yaml_read_integer(const struct yaml_node *n, int64_t least, int64_t most, int64_t *ret,
		      struct error *e)
{
	int64_t v = 0;
	if (n->kind != YAML_KIND_SCALAR)
		return error_at(e, EINVAL, n->line, n->column,
				"expected an integer from %lld to %lld, found %s", (long long)least,
				(long long)most, found(n));
	if (n->quoted || !parse_integer(n->text, &v) || v < least || v > most)
		return error_at(e, EINVAL, n->line, n->column,
				"expected an integer from %lld to %lld, found %s" QUOTED_IN_ERRORS
				"%s",
				(long long)least, (long long)most, n->quoted ? "the text \"" : "",
				n->text, n->quoted ? "\"" : "");
	*ret = v;
	return 0;
}

int yaml_read_bool(const struct yaml_node *n, bool *ret, struct error *e)
{
	static const char *const yes[] = { "true", "True", "TRUE" };
	static const char *const no[] = { "false", "False", "FALSE" };
	if (n->kind != YAML_KIND_SCALAR)
		return error_at(e, EINVAL, n->line, n->column, "expected true or false, found %s",
				found(n));
	for (size_t i = 0; i < ELEMENTS(yes) && !n->quoted; i++) {
		bool on = !strcmp(n->text, yes[i]);
		if (on || !strcmp(n->text, no[i])) {
			*ret = on;
			return 0;
		}
	}
	return error_at(e, EINVAL, n->line, n->column,
			"expected true or false, found %s" QUOTED_IN_ERRORS "%s",
			n->quoted ? "the text \"" : "", n->text, n->quoted ? "\"" : "");
}

int yaml_check_keys(const struct yaml_node *mapping, const char *const *known, struct error *e)
{
	if (mapping->kind != YAML_KIND_MAPPING)
		return error_at(e, EINVAL, mapping->line, mapping->column,
				"expected a mapping, found %s", found(mapping));
	for (const struct yaml_node *c = mapping->child; c; c = c->next) {
		const char *const *k = known;
		while (*k && strcmp(*k, c->key) != 0)
			k++;
		if (*k)
			continue;
		const char *near = nearest_word(c->key, known);
		if (near)
			return error_at(e, EINVAL, c->key_line, c->key_column,
					"unknown key \"" QUOTED_IN_ERRORS
					"\"; did you mean \"%s\"?",
					c->key, near);
		char list[240] = "";
		size_t used = 0;
		for (k = known; *k && used + strlen(*k) + 3 < sizeof(list); k++)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", *k);
		return error_at(e, EINVAL, c->key_line, c->key_column,
				"unknown key \"" QUOTED_IN_ERRORS "\"; known here: %s", c->key,
				list);
	}
	return 0;
}
