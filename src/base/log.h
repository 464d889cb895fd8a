/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr: one write per line, for people ("12:01:02 front: …", colour only on a
 * terminal) or as JSON lines. Called by process files and commands only; libraries return errors
 * instead.
 */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H
#include <stdbool.h>

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Name of this process ("front") and form; call once at the start. Control characters in messages
 * are replaced. */
void log_init(const char *process, bool json);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)	 log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#endif
