/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": called by whoever refuses a word that is not in a list. Owns nothing. */
#ifndef POSTERN_NEAREST_H
#define POSTERN_NEAREST_H

/* The nearest of candidates (NULL-terminated) by edit distance, else one that begins the same, or
 * NULL when none is near. */
const char *nearest_word(const char *word, const char *const *candidates);
#endif
