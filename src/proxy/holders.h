/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the processes that hold a socket, by its inode, and what they are: the paths of their
 * executables and of their live ancestors' as the kernel knows them, and whether those are what they were (pins.h). Reads nothing but a /proc.
 * Called by witness. Nothing that a process can write about itself (argv, comm, environment) is
 * looked at.
 */
#ifndef POSTERN_HOLDERS_H
#define POSTERN_HOLDERS_H
#include "base/buf.h"
#include <stdint.h>
#include <sys/types.h>

/* proc: a descriptor of a /proc (O_PATH will do). Appends each holder to *paths in the shape of
 * SANDBOX_ASKER. 0; -ENOENT when nobody holds it; -E2BIG past LIMIT_HOLDERS, LIMIT_ANCESTORS or the
 * buffer's limit; -EAGAIN when they changed under the look again and again; -EINPROGRESS when a
 * program has to be hashed first: ask again when *ret_hash (as pins_look() says it) has ended. On
 * failure *paths is left empty. *ret_hidden: one that made itself undumpable, and so counts as a
 * holder of everything; 0 when there is none. */
int holders_find(int proc, uint32_t inode, struct buf *paths, pid_t *ret_hidden, int *ret_hash);

/* Append the path of a process's executable and a NUL; "(deleted)" when that file is gone. 0, -errno. */
int holders_put_executable(int proc, pid_t pid, struct buf *paths);
#endif
