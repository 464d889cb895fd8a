/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the first name of a file that has several from the others, so that the file is counted once, and in full, wherever its other names
 * are. Used by the meter, inside its jail. Owns a table of LIMIT_BUILD_LINKED_FILES files at most.
 */
#ifndef POSTERN_WORKER_LINKED_H
#define POSTERN_WORKER_LINKED_H
#include <stdbool.h>
#include <sys/types.h>

struct linked;
struct linked_files { /* made of zeros */
	struct linked *table;
	size_t n, size;
};

/* Whether this file was not asked about before. Of a file that the table has no room for, every name is the first. */
bool linked_files_is_first(struct linked_files *f, dev_t dev, ino_t ino);
void linked_files_done(struct linked_files *f);
#endif
