/* SPDX-License-Identifier: Apache-2.0 */
/* Writes log lines to stderr. */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = { "info", "warning", "error" };
static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_ERROR + 1,
	      "a name per level");

static struct {
	const char *process;
	bool json, colour;
} logger = { .process = "postern" };

void log_init(const char *process, bool json)
{
	logger.process = process;
	logger.json = json;
	logger.colour = !json && isatty(STDERR_FILENO) && !getenv("NO_COLOR");
	tzset(); /* opens files, also for UTC; later this process may not be able to */
}

static void append_json_string(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_printf(b, "\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			buf_printf(b, "\\u%04x", (unsigned)(unsigned char)*s);
		else
			buf_append(b, s, 1);
	}
}

void log_line(enum log_level level, const char *format, ...)
{
	char message[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	/* It names files and says what others said, which need not be UTF-8. */
	_cleanup_buf_ struct buf clean = BUF_INIT(3 * sizeof(message));
	if (utf8_append(&clean, message, strlen(message)) < 0)
		return;
	char *text = clean.data ? clean.data : message;
	char when[CLOCK_TEXT_SIZE];
	clock_text(clock_wall_ms(), when);
	_cleanup_buf_ struct buf b = BUF_INIT(8192);
	if (logger.json) {
		buf_printf(&b,
			   "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"message\":\"",
			   when, level_names[level], logger.process);
		append_json_string(&b, text);
		buf_append_str(&b, "\"}\n");
	} else {
		static const char *const colours[] = { "", "\033[33m", "\033[31m" };
		for (char *s = text; *s; s++)
			if ((unsigned char)*s < 0x20 || *s == 0x7f)
				*s = '?';
		const char *prefix = level >= LOG_LEVEL_WARNING ? level_names[level] : "";
		buf_printf(&b, "%s%.8s %s: %s%s%s%s\n", logger.colour ? colours[level] : "",
			   when + 11, logger.process, prefix, *prefix ? ": " : "", text,
			   logger.colour ? "\033[0m" : "");
	}
	ssize_t n = write(STDERR_FILENO, b.data, b.len);
	(void)n; /* nowhere left to report a stderr that is gone */
}
