/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a, made byte by byte: for tables whose keys nobody can choose so often that they would be slow. */
#ifndef POSTERN_HASH_H
#define POSTERN_HASH_H
#include <stdint.h>

#define HASH_START 14695981039346656037ull

static inline uint64_t hash_byte(uint64_t hash, char c)
{
	return (hash ^ (unsigned char)c) * 1099511628211ull;
}
#endif
