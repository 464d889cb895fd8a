/* SPDX-License-Identifier: Apache-2.0 */
/* A filter of system calls needs no rights but no_new_privs, is kept over exec, and can only be narrowed. */
#include "kernel.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static int filter(unsigned number, unsigned action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int main(int argc, char **argv)
{
	if (argc > 1) { /* after exec */
		REFUSED((int)syscall(SYS_getppid), ENOTNAM);
		HOLDS(filter(SYS_getppid, SECCOMP_RET_ALLOW) == 0);
		REFUSED((int)syscall(SYS_getppid),
			ENOTNAM); /* another filter cannot allow it again */
		HOLDS(filter(SYS_getppid, SECCOMP_RET_KILL_PROCESS) == 0);
		(void)syscall(SYS_getppid);
		_exit(1);
	}
	if (geteuid() != 0)
		REFUSED(filter(SYS_getppid, SECCOMP_RET_ERRNO | ENOTNAM), EACCES);
	HOLDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	HOLDS(filter(SYS_getppid, SECCOMP_RET_ERRNO | ENOTNAM) == 0);
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", argv[0], "again", (char *)NULL);
		_exit(127);
	}
	HOLDS(waitpid(pid, &status, 0) == pid);
	HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	return holds("a filter of system calls is kept over exec and can only be narrowed");
}
