/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the clocks and prints RFC 3339 times. */
#include "base/clock.h"

static uint64_t read_ms(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

uint64_t clock_own_ms(void)
{
	return read_ms(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

const char *clock_text(uint64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	char date[24];
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, CLOCK_TEXT_SIZE, "%s.%03uZ", date, (unsigned)(wall_ms % 1000));
	return out;
}
