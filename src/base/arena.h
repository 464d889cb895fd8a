/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is taken in small pieces and given back all at once: for trees and compiled forms
 * that are built when loading and never changed. Owns its blocks; never shrinks before
 * arena_done().
 */
#ifndef POSTERN_ARENA_H
#define POSTERN_ARENA_H
#include <stddef.h>

struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first; start with NULL */
};

/* n zeroed bytes, aligned for anything, or NULL when out of memory. */
void *arena_take(struct arena *a, size_t n);
/* The same for an array; NULL also when the size overflows. */
void *arena_take_array(struct arena *a, size_t count, size_t size);
/* A NUL-terminated copy of n bytes. */
char *arena_copy(struct arena *a, const char *bytes, size_t n);
/* Give all of it back; the arena can be used again. */
void arena_done(struct arena *a);
#endif
