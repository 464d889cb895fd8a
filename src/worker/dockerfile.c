/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a Dockerfile into instructions, as its reference describes them. */
#include "worker/dockerfile.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "base/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 24  /* bytes of an instruction's word, NUL included */
#define ARGS_MAX 512 /* bytes kept of its arguments */

static const char *const known[] = { "FROM",	   "RUN",	 "COPY",	"ADD",
				     "ARG",	   "ENV",	 "CMD",		"ENTRYPOINT",
				     "WORKDIR",	   "USER",	 "LABEL",	"EXPOSE",
				     "VOLUME",	   "SHELL",	 "HEALTHCHECK", "ONBUILD",
				     "STOPSIGNAL", "MAINTAINER", NULL };

struct reader {
	const char *p, *end;
	unsigned line; /* of p */
	char escape;
	unsigned budget; /* lines that may still be looked at for the ends of here-documents */
	/* the instruction */
	unsigned at; /* its first line */
	char word[WORD_MAX];
	char args[ARGS_MAX]; /* lines joined, cut */
	size_t args_len;
};

/* One line without its end, and go past it; false at the end of the text. */
static bool take_line(struct reader *r, const char **ret, size_t *ret_n)
{
	if (r->p == r->end)
		return false;
	const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
	const char *line_end = nl ? nl : r->end;
	*ret = r->p;
	*ret_n = (size_t)(line_end - r->p);
	if (*ret_n && line_end[-1] == '\r')
		--*ret_n;
	r->p = nl ? nl + 1 : r->end;
	r->line++;
	return true;
}

static size_t blanks(const char *s, size_t n)
{
	size_t i = 0;
	while (i < n && (s[i] == ' ' || s[i] == '\t'))
		i++;
	return i;
}

static void keep_args(struct reader *r, const char *s, size_t n)
{
	size_t room = sizeof(r->args) - 1 - r->args_len;
	n = n < room ? n : room;
	memcpy(r->args + r->args_len, s, n);
	r->args_len += n;
	r->args[r->args_len] = '\0';
}

/* Take a line's text as part of the instruction; whether it goes on in the next line. */
static bool take_part(struct reader *r, const char *s, size_t n)
{
	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		n--;
	bool goes_on = n && s[n - 1] == r->escape;
	keep_args(r, s, n - goes_on);
	return goes_on;
}

/* `<<WORD`, `<<-WORD` or with quotes, at s; the word. */
static size_t heredoc_word(const char *s, const char **ret)
{
	s += 2 + (s[2] == '-');
	char quote = *s == '"' || *s == '\'' ? *s++ : '\0';
	size_t n = 0;
	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	*ret = s;
	return n && (!quote || s[n] == quote) ? n : 0;
}

/* Go past the bodies of the instruction's here-documents. One that has no end is none. */
static void skip_heredocs(struct reader *r)
{
	const char *word, *line;
	size_t n;
	if (strcmp(r->word, "RUN") != 0 && strcmp(r->word, "COPY") != 0 &&
	    strcmp(r->word, "ADD") != 0)
		return;
	for (const char *at = r->args; (at = strstr(at, "<<")); at += 2) {
		size_t len = heredoc_word(at, &word);
		struct reader body = *r;
		bool ended = !len;
		while (!ended && r->budget && take_line(&body, &line, &n)) {
			r->budget--;
			size_t tabs = at[2] == '-' ? strspn(line, "\t") : 0;
			ended = tabs <= n && n - tabs == len && !memcmp(line + tabs, word, len);
		}
		if (len && ended) {
			r->p = body.p;
			r->line = body.line;
		}
	}
}

static bool next_instruction(struct reader *r)
{
	const char *s;
	size_t n, i;
	do {
		if (!take_line(r, &s, &n))
			return false;
		i = blanks(s, n);
	} while (i == n || s[i] == '#');
	r->at = r->line - 1;
	size_t len = 0;
	while (i + len < n && !isspace((unsigned char)s[i + len]))
		len++;
	/* A lone escape may end the word: what follows is in the next line. */
	size_t word = len && i + len == n && s[n - 1] == r->escape ? len - 1 : len;
	for (size_t k = 0; k < WORD_MAX; k++)
		r->word[k] = k < word && k < WORD_MAX - 1 ? (char)toupper((unsigned char)s[i + k])
							  : '\0';
	r->args_len = 0;
	r->args[0] = '\0';
	size_t skip = i + word + blanks(s + i + word, n - i - word);
	bool goes_on = take_part(r, s + skip, n - skip);
	while (goes_on && take_line(r, &s, &n)) {
		i = blanks(s, n);
		if (i < n && s[i] != '#')
			goes_on = take_part(r, s, n);
	}
	skip_heredocs(r);
	return true;
}

/* `# escape=` stands before everything else but other directives. */
static void read_directives(struct reader *r)
{
	struct reader ahead = *r;
	const char *s;
	size_t n;
	while (take_line(&ahead, &s, &n)) {
		size_t i = blanks(s, n);
		if (i == n || s[i] != '#')
			return;
		i++;
		i += blanks(s + i, n - i);
		if (n - i < 7 || strncasecmp(s + i, "escape", 6) != 0)
			continue;
		i += 6;
		i += blanks(s + i, n - i);
		if (i == n || s[i] != '=')
			return;
		i++;
		i += blanks(s + i, n - i);
		if (i < n && (s[i] == '`' || s[i] == '\\'))
			r->escape = s[i];
		return;
	}
}

static struct reader open_text(const char *text, size_t n)
{
	struct reader r = {
		.p = text, .end = text + n, .line = 1, .escape = '\\', .budget = LIMIT_HEREDOC_LINES
	};
	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) /* a byte order mark */
		r.p += 3;
	read_directives(&r);
	return r;
}

/* How many of the arguments are no flags. */
static unsigned count_words(const char *args)
{
	unsigned words = 0;
	for (const char *p = args + strspn(args, " \t"); *p; p += strspn(p, " \t")) {
		size_t n = strcspn(p, " \t");
		words += n < 2 || strncmp(p, "--", 2) != 0;
		p += n;
	}
	return words;
}

static int check_instruction(const struct reader *r, bool first_from, struct error *e)
{
	unsigned i = 0, words = count_words(r->args);
	while (known[i] && strcmp(known[i], r->word) != 0)
		i++;
	if (!known[i]) {
		const char *near = nearest_word(r->word, known);
		return error_at(e, EINVAL, r->at, 0, "unknown instruction '%.20s'%s%s", r->word,
				near ? "; did you mean " : "", near ? near : "");
	}
	if (first_from && strcmp(r->word, "FROM") != 0 && strcmp(r->word, "ARG") != 0)
		return error_at(e, EINVAL, r->at, 0,
				"%s before the first FROM; a Dockerfile begins with FROM", r->word);
	if (!words && strcmp(r->word, "CMD") != 0 && strcmp(r->word, "ENTRYPOINT") != 0)
		return error_at(e, EINVAL, r->at, 0, "%s has no arguments", r->word);
	if (!strcmp(r->word, "FROM") && words != 1 && words != 3)
		return error_at(e, EINVAL, r->at, 0, "expected FROM IMAGE or FROM IMAGE AS NAME");
	if ((!strcmp(r->word, "ENV") || !strcmp(r->word, "LABEL")) && words == 1 &&
	    !strchr(r->args, '='))
		return error_at(e, EINVAL, r->at, 0, "expected %s NAME=VALUE", r->word);
	return 0;
}

int dockerfile_check(const char *text, size_t n, struct error *e)
{
	struct reader r = open_text(text, n);
	bool first_from = true;
	while (next_instruction(&r)) {
		int err = check_instruction(&r, first_from, e);
		if (err < 0)
			return err;
		first_from = first_from && strcmp(r.word, "FROM") != 0;
	}
	return first_from ? error_set(e, EINVAL, "there is no FROM in it") : 0;
}

unsigned dockerfile_line(const char *text, size_t n, unsigned stage, unsigned step,
			 const char *what)
{
	struct reader r = open_text(text, n);
	unsigned in_stage = 0, steps = 0;
	while (next_instruction(&r)) {
		if (stage && !strcmp(r.word, "FROM")) {
			in_stage++;
			steps = 0;
		}
		if (++steps != step || in_stage != stage)
			continue;
		size_t len = strlen(r.word);
		return !strncasecmp(what, r.word, len) &&
				       (!what[len] || isspace((unsigned char)what[len]))
			       ? r.at
			       : 0;
	}
	return 0;
}

void dockerfile_lines(const char *text, size_t n, char *out, size_t size)
{
	struct reader r = open_text(text, n);
	size_t used = 0;
	out[0] = '\0';
	while (next_instruction(&r) && used + 16 < size)
		used += (size_t)snprintf(out + used, size - used, "%s%u", used ? " " : "", r.at);
}
