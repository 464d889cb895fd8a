/* SPDX-License-Identifier: Apache-2.0 */
/* Small descriptor helpers. Every descriptor made here is close-on-exec. */
#ifndef POSTERN_FD_H
#define POSTERN_FD_H
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* openat2(2), tried again (at most LIMIT_OPEN_TRIES times) where a rename or mount anywhere on the machine made the kernel unsure of a "..";
 * mode counts with O_CREAT alone; descriptor or -errno. */
int fd_open(int dirfd, const char *name, int flags, mode_t mode, uint64_t resolve);
/* Read until n bytes or end of file, retrying EINTR; bytes read or -errno. */
ssize_t fd_read_full(int fd, void *to, size_t n);
/* Write all n bytes, retrying EINTR; 0 or -errno. */
int fd_write_full(int fd, const void *from, size_t n);
/* All that is left in one file into another; 0 or -errno. */
int fd_copy(int from, int to);
/* A symlink that says what the one at `from` in from_dir says (or from_dir itself, with ""); 0 or -errno. */
int fd_copy_symlink(int from_dir, const char *from, int to_dir, const char *name);
/* Whole file into a fresh NUL-terminated buffer (caller frees); -EFBIG past max bytes. */
int fd_read_file(int fd, size_t max, char **ret_data, size_t *ret_len);
int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len);
/* A memory file holding these bytes, sealed against every change; descriptor or -errno. */
int fd_sealed(const char *name, const void *bytes, size_t n);
int fd_set_nonblock(int fd, bool on);
/* Have as many descriptors as this process may (RLIMIT_NOFILE, its hard limit): how many those are. */
uint64_t fd_raise_limit(void);
/* A connected pair of close-on-exec SOCK_SEQPACKET Unix sockets; 0 or -errno. */
int fd_seqpacket_pair(int ret_pair[2]);
/* List the folder `name` in `at` ("." for itself), following no symlink there; closedir() it. NULL with errno. */
DIR *fd_list(int at, const char *name);
/* Remove everything below the directory name in dirfd, and it, following no symlink and crossing no
 * mount; 0 or first -errno. */
int remove_tree_at(int dirfd, const char *name);
#endif
