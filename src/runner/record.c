/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the record of a run. */
#include "runner/record.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

static const char *const step_states[] = { "begun", "ok", "failed", "note" };
_Static_assert(ELEMENTS(step_states) == RUN_STEP_COUNT, "a name for each state");

int record_init(struct record *r, run_progress *progress, void *arg)
{
	*r = (struct record){ .progress = progress, .progress_arg = arg };
	r->root = json_object();
	r->steps = json_array();
	if (!r->root || !r->steps)
		return -ENOMEM;
	char now[CLOCK_TEXT_SIZE];
	record_text(r, "started", clock_text(clock_wall_ms(), now));
	return json_object_set(r->root, "steps", r->steps) < 0 ? -ENOMEM : 0;
}

void record_done(struct record *r)
{
	json_decref(r->root);
	json_decref(r->steps);
	r->root = r->steps = NULL;
}

void record_value(struct record *r, const char *name, json_t *value)
{
	json_object_set_new(r->root, name, value);
}

void record_text(struct record *r, const char *name, const char *value)
{
	/* A path need not be UTF-8; JSON has to be. */
	json_t *text = json_string(value);
	record_value(r, name, text ? text : json_string("(not UTF-8)"));
}

static void tell(const struct record *r, enum run_step state, double seconds)
{
	struct run_event event = {
		.state = state, .name = r->step, .detail = r->detail, .seconds = seconds
	};
	if (r->progress)
		r->progress(r->progress_arg, &event);
}

void record_begin(struct record *r, const char *name, const char *detail)
{
	snprintf(r->step, sizeof(r->step), "%s", name);
	snprintf(r->detail, sizeof(r->detail), "%s", detail);
	r->began_ms = clock_monotonic_ms();
	tell(r, RUN_STEP_BEGUN, 0);
}

void record_end(struct record *r, enum run_step state, int exit_code, const char *log,
		const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(r->detail, sizeof(r->detail), format, arguments);
	va_end(arguments);
	double seconds = (double)(clock_monotonic_ms() - r->began_ms) / 1000;
	char ended[CLOCK_TEXT_SIZE];
	json_t *step =
		json_pack("{s:s, s:s, s:s, s:f}", "name", r->step, "state", step_states[state],
			  "ended", clock_text(clock_wall_ms(), ended), "seconds", seconds);
	if (step && exit_code >= 0)
		json_object_set_new(step, "exit_code", json_integer(exit_code));
	if (step && log)
		json_object_set_new(step, "log", json_string(log));
	if (step && *r->detail)
		json_object_set_new(step, "detail", json_string(r->detail));
	json_array_append_new(r->steps, step);
	tell(r, state, seconds);
	(void)record_write(r);
}

void record_note(struct record *r, const char *name, const char *detail)
{
	char step[sizeof(r->step)];
	uint64_t began_ms = r->began_ms;
	memcpy(step, r->step, sizeof(step));
	snprintf(r->step, sizeof(r->step), "%s", name);
	r->began_ms = clock_monotonic_ms();
	record_end(r, RUN_STEP_NOTE, -1, NULL, "%s", detail);
	memcpy(r->step, step, sizeof(step));
	r->began_ms = began_ms;
}

int record_write(struct record *r)
{
	if (!*r->path)
		return 0;
	_cleanup_free_ char *text = json_dumps(r->root, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	_cleanup_free_ char *part = NULL;
	if (!text || asprintf(&part, "%s.part", r->path) < 0)
		return -ENOMEM;
	_cleanup_close_ int fd =
		open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int w = fd_write_full(fd, text, strlen(text));
	if (w == 0)
		w = fd_write_full(fd, "\n", 1);
	if (w == 0 && rename(part, r->path) < 0)
		w = -errno;
	return w;
}
