/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units behind them, within bounds. */
#include "cmd/sandbox_limits.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	char letter; /* 0: the list's end */
	uint64_t factor;
};

static const struct unit bytes[] = {
	{ 'K', 1ull << 10 }, { 'M', 1ull << 20 }, { 'G', 1ull << 30 }, { 'T', 1ull << 40 }, { 0 }
};
static const struct unit seconds[] = {
	{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 24 * 3600 }, { 0 }
};

static const struct row {
	int option;
	const char *name, *what;
	const struct unit *units; /* NULL: none */
	uint64_t least, most;
} rows[] = {
	{ 'm', "memory", "bytes, or K, M, G or T (512M)", bytes, LEAST_SANDBOX_MEMORY_BYTES,
	  1ull << 50 },
	{ 'n', "processes", "processes and threads", NULL, 1, LIMIT_SANDBOX_PROCESSES },
	{ 'f', "files", "open files", NULL, LEAST_SANDBOX_FILES, LIMIT_SANDBOX_FILES },
	{ 't', "time", "seconds, or m, h or d (10m)", seconds, 1, LIMIT_SANDBOX_SECONDS },
};

static uint64_t factor_of(const struct unit *units, const char *text)
{
	for (const struct unit *u = units; u && u->letter; u++)
		if (text[0] == u->letter && !text[1])
			return u->factor;
	return *text ? 0 : 1;
}

int sandbox_limit_parse(int option, const char *text, uint64_t *ret, char why[SANDBOX_LIMIT_TEXT])
{
	const struct row *row = rows;
	while (row < rows + ELEMENTS(rows) && row->option != option)
		row++;
	assert(row < rows + ELEMENTS(rows));
	char *rest;
	errno = 0;
	unsigned long long number = strtoull(text, &rest, 10);
	uint64_t factor = factor_of(row->units, rest);
	/* strtoull() takes signs and spaces, too. */
	if (*text < '0' || *text > '9' || errno || !factor || number > row->most / factor ||
	    number * factor < row->least) {
		snprintf(why, SANDBOX_LIMIT_TEXT, "--%s takes %llu to %llu %s", row->name,
			 (unsigned long long)row->least, (unsigned long long)row->most, row->what);
		return -EINVAL;
	}
	*ret = number * factor;
	return 0;
}
