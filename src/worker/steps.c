/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises steps and errors in what buildah, podman and docker print. */
#include "worker/steps.h"
#include "worker/text.h"

#include <errno.h>

void steps_init(struct steps *s, void (*on_step)(void *arg, const char *text), void *arg)
{
	*s = (struct steps){ .on_step = on_step, .arg = arg, .exit_code = -1 };
}

/* "2/3", followed by `end`; the bytes before `end`, or 0. */
static size_t fraction(const char *s, char end)
{
	size_t n = strspn(s, "0123456789");
	if (!n || s[n] != '/')
		return 0;
	size_t m = strspn(s + n + 1, "0123456789");
	return m && s[n + 1 + m] == end ? n + 1 + m : 0;
}

/* buildah and podman: "STEP 2/3: RUN x", "[1/2] STEP 2/3: RUN x"; docker: "Step 2/3 : RUN x". */
static bool take_step(struct steps *s, const char *line)
{
	const char *stage = "", *p = line;
	size_t stage_len = 0;
	if (*p == '[') {
		stage_len = fraction(p + 1, ']');
		if (!stage_len || p[stage_len + 2] != ' ')
			return false;
		stage = p + 1;
		p += stage_len + 3;
	}
	bool docker = !strncmp(p, "Step ", 5);
	if (!docker && strncmp(p, "STEP ", 5) != 0)
		return false;
	p += 5;
	size_t n = fraction(p, docker ? ' ' : ':');
	if (!n || (docker && strncmp(p + n, " : ", 3) != 0) || (!docker && p[n + 1] != ' '))
		return false;
	const char *what = p + n + (docker ? 3 : 2);
	snprintf(s->step, sizeof(s->step), "%s", what);
	s->stage = docker ? 0 : stage_len ? (unsigned)strtoul(stage, NULL, 10) : 1;
	s->number = (unsigned)strtoul(p, NULL, 10);
	s->lines = 0;
	s->error[0] =
		'\0'; /* an engine's error is the end of its steps, so this was the step's own */
	s->error_held = false;
	s->exit_code = -1;
	if (s->on_step) {
		char text[STEPS_LINE_MAX * 2];
		snprintf(text, sizeof(text), "%.*s%s%.*s %s", (int)stage_len, stage,
			 stage_len ? " " : "", (int)n, p, what);
		s->on_step(s->arg, text);
	}
	return true;
}

int steps_exit_code(const char *line)
{
	static const char *const marks[] = { "exit status ",
					     "returned a non-zero code: ", "exited with status " };
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *at = strstr(line, marks[i]);
		if (!at)
			continue;
		errno = 0;
		char *end;
		long code = strtol(at + strlen(marks[i]), &end, 10);
		if (end != at + strlen(marks[i]) && !errno && code >= 0 && code <= 255)
			return (int)code;
	}
	return -1;
}

static void keep_line(struct steps *s, const char *line)
{
	snprintf(s->last[s->lines % LIMIT_FAILURE_LINES], STEPS_LINE_MAX, "%s", line);
	s->lines++;
}

static bool is_error(const char *line)
{
	return !strncmp(line, "Error: ", 7) || !strncmp(line, "error: ", 7);
}

/* What a step says begins as the engine's word does. Only the last such line is the engine's, so one
 * is the step's when anything follows. */
static void release_error(struct steps *s)
{
	if (s->error_held)
		keep_line(s, s->held);
	s->error_held = false;
}

/* docker: " ---> 0123456789ab". */
static void take_image(struct steps *s, const char *line)
{
	static const char mark[] = " ---> ";
	const char *id = line + sizeof(mark) - 1;
	if (s->on_image && !strncmp(line, mark, sizeof(mark) - 1) &&
	    strspn(id, "0123456789abcdef") == 12 && !id[12])
		s->on_image(s->arg, id);
}

static void take_line(struct steps *s)
{
	size_t n = s->len < sizeof(s->line) - 1 ? s->len : sizeof(s->line) - 1;
	char line[STEPS_LINE_MAX];
	text_line(s->line, n, line, sizeof(line));
	s->len = 0;
	if (take_step(s, line))
		return;
	take_image(s, line);
	/* Engines' own notes about what they run; the last error says it all. */
	static const char *const notes[] = { "subprocess exited with status ", " ---> ",
					     "Removing intermediate container " };
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++)
		if (!strncmp(line, notes[i], strlen(notes[i])))
			return;
	release_error(s);
	if (s->errors_elsewhere || !is_error(line)) {
		keep_line(s, line);
		return;
	}
	snprintf(s->held, sizeof(s->held), "%s", line);
	s->error_held = true;
	snprintf(s->error, sizeof(s->error), "%s", line + 7);
	int code = steps_exit_code(line);
	s->exit_code = code < 0 ? s->exit_code : code;
}

void steps_feed(struct steps *s, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			take_line(s);
			continue;
		}
		if (s->len < sizeof(s->line) - 1)
			s->line[s->len] = bytes[i];
		s->len++;
	}
}

void steps_end(struct steps *s)
{
	if (s->len)
		take_line(s);
}

const char *steps_last_line(const struct steps *s, unsigned i)
{
	unsigned long kept = s->lines < LIMIT_FAILURE_LINES ? s->lines : LIMIT_FAILURE_LINES;
	return i < kept ? s->last[(s->lines - kept + i) % LIMIT_FAILURE_LINES] : NULL;
}
