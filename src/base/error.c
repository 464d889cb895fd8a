/* SPDX-License-Identifier: Apache-2.0 */
/* Fills and prints struct error. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>

/* A message may quote hostile input; what reaches a terminal must not steer it. */
static void strip_controls(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

__attribute__((format(printf, 5, 0))) static int
fill(struct error *e, int code, unsigned line, unsigned column, const char *format, va_list args)
{
	if (!e)
		return -code;
	e->code = code;
	e->line = line;
	e->column = column;
	e->file[0] = '\0';
	vsnprintf(e->message, sizeof(e->message), format, args);
	strip_controls(e->message);
	return -code;
}

int error_set(struct error *e, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int r = fill(e, code, 0, 0, format, args);
	va_end(args);
	return r;
}

int error_at(struct error *e, int code, unsigned line, unsigned column, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int r = fill(e, code, line, column, format, args);
	va_end(args);
	return r;
}

int error_in_file(struct error *e, const char *file)
{
	if (!e)
		return -EINVAL;
	if (!e->file[0]) {
		snprintf(e->file, sizeof(e->file), "%s", file);
		strip_controls(e->file);
	}
	return -e->code;
}

const char *error_format(const struct error *e, char *out, size_t size)
{
	if (e->file[0] && e->line)
		snprintf(out, size, "%s:%u:%u: %s", e->file, e->line, e->column, e->message);
	else if (e->file[0])
		snprintf(out, size, "%s: %s", e->file, e->message);
	else
		snprintf(out, size, "%s", e->message);
	return out;
}
