/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The witness sees the sandbox by a descriptor of its /proc: it shows that pid namespace, to the owner of its
 * user namespace also the executables, wherever it was handed to.
 */
#include "kernel.h"
#include <sys/mount.h>

int main(void)
{
	int pair[2];
	char byte, link[4096], own[4096];
	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		enter(CLONE_NEWPID | CLONE_NEWNS);
		pid_t one = fork();
		if (one == 0) {
			HOLDS(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
			HOLDS(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
				    NULL) == 0);
			int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			HOLDS(proc >= 0);
			send_fd(pair[1], proc);
			HOLDS(read(pair[1], &byte, 1) == 0);
			_exit(0);
		}
		close(pair[1]);
		wait_good(one);
		_exit(0);
	}
	close(pair[1]);
	int proc = receive_fd(pair[0]);
	HOLDS(faccessat(proc, "1/stat", F_OK, 0) == 0);
	char other[32];
	snprintf(other, sizeof(other), "%d/stat", getpid() == 1 ? 2 : getpid());
	REFUSED(faccessat(proc, other, F_OK, 0), ENOENT);
	ssize_t n = readlinkat(proc, "1/exe", link, sizeof(link)),
		m = readlink("/proc/self/exe", own, sizeof(own));
	HOLDS(n > 0 && n == m && memcmp(link, own, (size_t)n) == 0);
	HOLDS(faccessat(proc, "1/fd/0", F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno == ENOENT);
	close(pair[0]);
	wait_good(pid);
	return holds("a descriptor of /proc shows the pid namespace that it was mounted in");
}
