/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the nearest word of a list by Levenshtein's distance. */
#include "base/nearest.h"

#include <stddef.h>

#define WORD_MAX 64 /* longer words are compared with nothing */

/* Levenshtein's distance; both words at most WORD_MAX long. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], n = strlen(b);
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);
			size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = change < shift ? change : shift;
		}
	}
	return row[n];
}

/* A word cut short, or one with something added: "filesystem" for "filesystem_policy". */
static const char *same_beginning(const char *word, const char *const *candidates)
{
	size_t n = strlen(word);
	for (; *candidates; candidates++) {
		size_t m = strlen(*candidates), least = n < m ? n : m;
		if (least >= 4 && !strncmp(word, *candidates, least))
			return *candidates;
	}
	return NULL;
}

const char *nearest_word(const char *word, const char *const *candidates)
{
	size_t n = strlen(word);
	if (n > WORD_MAX)
		return NULL;
	const char *best = NULL;
	size_t best_distance = n < 4 ? 2 : n / 3 + 2; /* "near" is less than this */
	for (const char *const *c = candidates; *c; c++) {
		if (strlen(*c) > WORD_MAX)
			continue;
		size_t d = distance(word, *c);
		if (d < best_distance) {
			best = *c;
			best_distance = d;
		}
	}
	return best ? best : same_beginning(word, candidates);
}
