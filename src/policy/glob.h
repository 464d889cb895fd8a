/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Glob patterns as OpenShell matches them, compiled once into an arena. With a delimiter `/`: `*`,
 * `?` and classes stay within a segment; `**` as a whole segment crosses any number of segments,
 * none included, but "/a/" and two stars want the slash after a: they match "/a/", not "/a"; glued
 * to text, `**` is a `*`. `[a-z]`, `[!a]`, `[^a]`, `{a,b}` and `\x` do what they do elsewhere.
 * Anchored, case-sensitive, by characters of UTF-8. Called by the policy's loader and matcher.
 * Matching allocates nothing and takes time in proportion to text times pattern at most, whatever
 * the pattern.
 */
#ifndef POSTERN_POLICY_GLOB_H
#define POSTERN_POLICY_GLOB_H
#include "base/arena.h"
#include "base/error.h"
#include "http/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GLOB_PATTERN_MAX 1024 /* bytes of a pattern */

struct glob;

/* Compile a pattern; delimiter is `/`, or 0 when no character is special to `*` (query values). 0
 * and a glob that lives as long as the arena; -EINVAL with *e saying what is wrong with the pattern
 * (without a place: the caller knows it); -ENOMEM. */
int glob_compile(const char *pattern, char delimiter, struct arena *arena, const struct glob **ret,
		 struct error *e);
bool glob_match(const struct glob *g, struct span text);
/* The bytes that every match begins with, and whether there is no wildcard, so that nothing else
 * matches; owned by the glob. */
struct span glob_prefix(const struct glob *g, bool *ret_whole);
#endif
