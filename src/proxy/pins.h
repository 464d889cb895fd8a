/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each executable was when it was first seen: the SHA-256 of the file behind its path, kept for as long as the
 * sandbox lives, so that another file under that path is noticed. Called by holders.c for each program that it names,
 * and by witness, in whose loop files are hashed slice by slice. Reads the files that the kernel says are executed, by
 * descriptor, and never opens one by its path.
 */
#ifndef POSTERN_PINS_H
#define POSTERN_PINS_H
#include <stdbool.h>
#include <sys/stat.h>

enum pin {
	PIN_SAME,	/* the file that was there first, or one with the same bytes */
	PIN_CHANGED,	/* another one */
	PIN_UNREADABLE, /* so that nobody can tell */
	PIN_TOO_LARGE,	/* LIMIT_PROGRAM_BYTES */
	PIN_NO_ROOM,	/* never seen before, past LIMIT_PROGRAMS */
	PIN_COUNT
};

#define PINS_LATER (-1) /* no hash: too many are under way */

/* What a file is to the path that it is executed by. exe: "PID/exe", below proc; st: of that file. 0; -EINPROGRESS when
 * it has to be hashed first: *ret_hash is the number of that hash, or PINS_LATER; -EAGAIN when something else is executed
 * there now; -ENOMEM. */
int pins_look(int proc, const char *exe, const char *path, const struct stat *st, enum pin *ret,
	      int *ret_hash);
/* Milliseconds until pins_step() has something to do; -1: no hash is under way. */
int pins_wait_ms(void);
/* Hash one slice of one file. The number of the hash that ended with it, or PINS_LATER when none did. */
int pins_step(void);
#endif
