/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of files. */
#include "worker/linked.h"
#include "base/limit.h"

#include <stdint.h>
#include <stdlib.h>

struct linked { /* ino 0: free */
	dev_t dev;
	ino_t ino;
};

static struct linked *place_of(struct linked *table, size_t size, struct linked l)
{
	size_t at = ((size_t)l.ino * 0x9e3779b97f4a7c15u ^ (size_t)l.dev) & (size - 1);
	while (table[at].ino && (table[at].ino != l.ino || table[at].dev != l.dev))
		at = (at + 1) & (size - 1);
	return &table[at];
}

static bool make_room(struct linked_files *f)
{
	if (f->n >= LIMIT_BUILD_LINKED_FILES)
		return false;
	if (f->n * 2 < f->size)
		return true;
	size_t size = f->size ? f->size * 2 : 1024;
	struct linked *more = calloc(size, sizeof(*more));
	if (!more)
		return false;
	for (size_t i = 0; i < f->size; i++)
		if (f->table[i].ino)
			*place_of(more, size, f->table[i]) = f->table[i];
	free(f->table);
	f->table = more;
	f->size = size;
	return true;
}

bool linked_files_is_first(struct linked_files *f, dev_t dev, ino_t ino)
{
	const struct linked l = { dev, ino };
	if (!make_room(f))
		return !f->size || !place_of(f->table, f->size, l)->ino;
	struct linked *at = place_of(f->table, f->size, l);
	if (at->ino)
		return false;
	*at = l;
	f->n++;
	return true;
}

void linked_files_done(struct linked_files *f)
{
	free(f->table);
	*f = (struct linked_files){ 0 };
}
