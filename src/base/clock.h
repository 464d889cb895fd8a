/* SPDX-License-Identifier: Apache-2.0 */
/* Time: monotonic for durations, wall clock for records. Allocates nothing. */
#ifndef POSTERN_CLOCK_H
#define POSTERN_CLOCK_H
#include <stddef.h>
#include <stdint.h>

#define CLOCK_TEXT_SIZE 32

uint64_t clock_monotonic_ms(void); /* CLOCK_MONOTONIC, milliseconds */
uint64_t clock_own_ms(
	void); /* processor time of this thread, milliseconds: what others do does not touch it */
uint64_t clock_wall_ms(void); /* CLOCK_REALTIME, milliseconds since the epoch */
/* RFC 3339 in UTC with milliseconds, "2026-11-23T01:02:03.004Z"; returns out. */
const char *clock_text(uint64_t wall_ms, char out[CLOCK_TEXT_SIZE]);
#endif
