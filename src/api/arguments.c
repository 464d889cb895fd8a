/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a request's parameters against its operation's row. */
#include "api/arguments.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "http/query.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <regex.h>
#include <stdarg.h>

#define VALUE_MAX 4096 /* bytes of a value that is compared with a pattern */

/* The rows' patterns, compiled; the table is small, so it is searched by address. */
static struct {
	const char *pattern;
	regex_t compiled;
} patterns[OPERATION_COUNT * OPERATION_PARAMS_MAX];
static unsigned n_patterns;

static const regex_t *pattern_get(const char *pattern)
{
	for (unsigned i = 0; i < n_patterns; i++)
		if (patterns[i].pattern == pattern)
			return &patterns[i].compiled;
	return NULL;
}

int arguments_init(struct error *e)
{
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		for (const struct param *p = operation_row(i)->params; p->name; p++) {
			if (!p->pattern || pattern_get(p->pattern))
				continue;
			assert(n_patterns < sizeof(patterns) / sizeof(patterns[0]));
			if (regcomp(&patterns[n_patterns].compiled, p->pattern,
				    REG_EXTENDED | REG_NOSUB))
				return error_set(e, EINVAL, "%s: %s: bad pattern %s",
						 operation_row(i)->name, p->name, p->pattern);
			patterns[n_patterns++].pattern = p->pattern;
		}
	return 0;
}

static int fault(struct argument_fault *f, const char *parameter, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int fault(struct argument_fault *f, const char *parameter, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(f->detail, sizeof(f->detail), format, args);
	va_end(args);
	snprintf(f->parameter, sizeof(f->parameter), "%s", parameter);
	f->hint[0] = '\0';
	return -EINVAL;
}

static int example(struct argument_fault *f, const struct param *p)
{
	snprintf(f->hint, sizeof(f->hint), "For example: %s%s%s. %.200s", p->name,
		 p->in == PARAM_HEADER ? ": " : "=", p->example, p->description);
	return -EINVAL;
}

static int check_integer(const struct param *p, struct span text, int64_t *ret,
			 struct argument_fault *f)
{
	int64_t v = 0;
	bool good = text.len > 0 && text.len <= 18;
	for (size_t i = 0; good && i < text.len; i++) {
		good = text.data[i] >= '0' && text.data[i] <= '9';
		v = v * 10 + (text.data[i] - '0');
	}
	if (!good || v < p->least || v > p->most) {
		fault(f, p->name, "%s must be an integer from %" PRId64 " to %" PRId64 ".", p->name,
		      p->least, p->most);
		return example(f, p);
	}
	*ret = v;
	return 0;
}

static int check_boolean(const struct param *p, struct span text, int64_t *ret,
			 struct argument_fault *f)
{
	if (span_is(text, "true") || span_is(text, "1"))
		*ret = 1;
	else if (span_is(text, "false") || span_is(text, "0"))
		*ret = 0;
	else
		return fault(f, p->name, "%s must be true or false.", p->name);
	return 0;
}

/* No segment of the path is "..". */
static bool stays_inside(struct span path)
{
	for (size_t i = 0; i < path.len;) {
		size_t n = 0;
		while (i + n < path.len && path.data[i + n] != '/')
			n++;
		if (n == 2 && !memcmp(path.data + i, "..", 2))
			return false;
		i += n + 1;
	}
	return true;
}

/* What could not be written as JSON, or would be more than a line of it. */
static int check_characters(const struct param *p, struct span text, struct argument_fault *f)
{
	if (!utf8_is_valid(text.data, text.len)) {
		fault(f, p->name, "%s is not UTF-8.", p->name);
		return example(f, p);
	}
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c >= 0x20 && c != 0x7f)
			continue;
		fault(f, p->name, "%s must not contain a %s.", p->name,
		      c == '\n'	  ? "line feed (%0A)"
		      : c == '\r' ? "carriage return (%0D)"
		      : c == '\t' ? "tab (%09)"
				  : "control character");
		return example(f, p);
	}
	return 0;
}

static int check_string(const struct param *p, struct span text, struct argument_fault *f)
{
	if (text.len > (size_t)p->most)
		return fault(f, p->name, "%s is %zu bytes long; at most %" PRId64 " are taken.",
			     p->name, text.len, p->most);
	int r = check_characters(p, text, f);
	if (r < 0)
		return r;
	bool good = text.len >= (size_t)p->least;
	if (good && p->pattern) {
		char copy[VALUE_MAX + 1];
		assert(p->most <= VALUE_MAX);
		memcpy(copy, text.data, text.len);
		copy[text.len] = '\0';
		good = regexec(pattern_get(p->pattern), copy, 0, NULL, 0) == 0;
	}
	if (good && p->path_inside && !stays_inside(text)) {
		fault(f, p->name, "%s must not contain \"..\".", p->name);
		return example(f, p);
	}
	if (!good) {
		fault(f, p->name, "%s is not of the form that is wanted%s%s.", p->name,
		      p->pattern ? ": " : "", p->pattern ? p->pattern : "");
		return example(f, p);
	}
	return 0;
}

int argument_check(const struct param *p, struct span text, int64_t *ret_number,
		   struct argument_fault *ret_fault)
{
	switch (p->type) {
	case PARAM_INTEGER:
		return check_integer(p, text, ret_number, ret_fault);
	case PARAM_BOOLEAN:
		return check_boolean(p, text, ret_number, ret_fault);
	case PARAM_STRING:
		break;
	}
	return check_string(p, text, ret_fault);
}

const struct param *param_find(const struct operation *op, enum param_in in, const char *name)
{
	for (const struct param *p = op->params; p->name; p++)
		if (p->in == in && !strcmp(p->name, name))
			return p;
	return NULL;
}

static int unknown(const struct operation *op, const char *name, struct argument_fault *f)
{
	const char *known[OPERATION_PARAMS_MAX + 1];
	unsigned n = 0;
	char list[200] = "";
	for (const struct param *p = op->params; p->name; p++)
		if (p->in == PARAM_QUERY) {
			size_t used = strlen(list);
			snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "",
				 p->name);
			known[n++] = p->name;
		}
	known[n] = NULL;
	/* What the client sent is shown with nothing in it that is not plain, and not at all when it is
	 * long enough to hold a token, which a proxy may have put there in a placeholder's place. */
	char quoted[LIMIT_TOKEN_LEAST_BYTES];
	size_t i = 0;
	for (; i < sizeof(quoted) - 1 && name[i]; i++)
		quoted[i] = name[i] > 0x20 && name[i] < 0x7f && name[i] != '"' ? name[i] : '?';
	quoted[name[i] ? 0 : i] = '\0';
	if (*quoted)
		fault(f, quoted, "%s %s takes no query parameter \"%s\".", op->method, op->path,
		      quoted);
	else
		fault(f, "", "%s %s takes no query parameter of that name.", op->method, op->path);
	const char *near = nearest_word(name, known);
	if (near)
		snprintf(f->hint, sizeof(f->hint), "Did you mean \"%s\"? It takes: %s.", near,
			 list);
	else if (n)
		snprintf(f->hint, sizeof(f->hint), "It takes: %s.", list);
	else
		snprintf(f->hint, sizeof(f->hint), "It takes none: leave the query out.");
	return -EINVAL;
}

static int take(const struct operation *op, const struct http_parameter *q, struct arguments *a,
		struct argument_fault *f)
{
	const struct param *p = param_find(op, PARAM_QUERY, q->name.data);
	if (!p)
		return unknown(op, q->name.data, f);
	struct argument *item = &a->item[a->n];
	*item = (struct argument){ .param = p, .text = q->value };
	unsigned before = 0;
	for (unsigned i = 0; i < a->n; i++)
		before += a->item[i].param == p;
	if (before >= (p->repeats ? p->repeats : 1))
		return fault(f, p->name, "%s is given more than %u times.", p->name,
			     p->repeats ? p->repeats : 1);
	if (p->type == PARAM_BOOLEAN && !q->has_value)
		item->number = 1;
	else if (argument_check(p, q->value, &item->number, f) < 0)
		return -EINVAL;
	a->n++;
	return 0;
}

int arguments_parse(const struct operation *op, struct span query, struct arguments *ret,
		    struct argument_fault *ret_fault)
{
	struct http_query q = { .left = query };
	struct http_parameter parameter;
	size_t used = 0;
	int r;
	ret->n = 0;
	while ((r = http_query_next(&q, ret->store + used, sizeof(ret->store) - used, &parameter)) >
	       0) {
		if (ret->n == LIMIT_QUERY_PARAMETERS)
			return fault(ret_fault, "", "The query has more than %d parameters.",
				     LIMIT_QUERY_PARAMETERS);
		if (take(op, &parameter, ret, ret_fault) < 0)
			return -EINVAL;
		used += parameter.name.len + parameter.value.len + 2;
	}
	if (r < 0)
		return fault(ret_fault, "", "The query is not well-formed: %s.",
			     r == -EILSEQ ? "a percent-encoding is wrong, or a byte should have "
					    "one"
					  : "it is too long");
	for (const struct param *p = op->params; p->name; p++)
		if (p->in == PARAM_QUERY && p->required && !arguments_get(ret, p->name)) {
			fault(ret_fault, p->name, "The query parameter \"%s\" is missing.",
			      p->name);
			return example(ret_fault, p);
		}
	return 0;
}

const struct argument *arguments_get(const struct arguments *a, const char *name)
{
	for (unsigned i = 0; i < a->n; i++)
		if (!strcmp(a->item[i].param->name, name))
			return &a->item[i];
	return NULL;
}

int64_t arguments_number(const struct arguments *a, const char *name, int64_t absent)
{
	const struct argument *item = arguments_get(a, name);
	return item ? item->number : absent;
}

static json_t *value(const struct argument *a)
{
	switch (a->param->type) {
	case PARAM_INTEGER:
		return json_integer(a->number);
	case PARAM_BOOLEAN:
		return json_boolean(a->number);
	case PARAM_STRING:
		break;
	}
	return json_stringn(a->text.data, a->text.len);
}

int arguments_json(const struct operation *op, const struct arguments *a, struct buf *out)
{
	json_t *object = json_object();
	int r = object ? 0 : -ENOMEM;
	for (unsigned i = 0; r == 0 && i < a->n; i++) {
		const struct param *p = a->item[i].param;
		json_t *list = json_object_get(object, p->name);
		if (p->repeats && !list) {
			r = json_object_set_new(object, p->name, json_array()) ? -ENOMEM : 0;
			list = json_object_get(object, p->name);
		}
		json_t *v = value(&a->item[i]);
		if (!v || (p->repeats ? json_array_append_new(list, v)
				      : json_object_set_new(object, p->name, v)))
			r = -ENOMEM;
	}
	char *text = r == 0 ? json_dumps(object, JSON_COMPACT) : NULL;
	if (r == 0)
		r = text ? buf_append_str(out, text) : -ENOMEM;
	free(text);
	json_decref(object);
	return r;
}
