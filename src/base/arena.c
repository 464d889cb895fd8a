/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in a list; pieces are cut off the newest. */
#include "base/arena.h"

#include <stdint.h>

#define BLOCK_BYTES 16384 /* larger pieces get a block of their own */

struct arena_block {
	struct arena_block *before;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

void *arena_take(struct arena *a, size_t n)
{
	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	struct arena_block *b = a->blocks;
	if (!b || b->size - b->used < n) {
		size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
		b = calloc(1, sizeof(*b) + size);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .before = a->blocks, .size = size };
		a->blocks = b;
	}
	void *p = b->bytes + b->used;
	b->used += n;
	return p;
}

void *arena_take_array(struct arena *a, size_t count, size_t size)
{
	size_t n = 0;
	return __builtin_mul_overflow(count, size, &n) ? NULL : arena_take(a, n);
}

char *arena_copy(struct arena *a, const char *bytes, size_t n)
{
	char *copy = arena_take(a, n + 1);
	if (copy && n)
		memcpy(copy, bytes, n);
	return copy;
}

void arena_done(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *before = a->blocks->before;
		free(a->blocks);
		a->blocks = before;
	}
}
