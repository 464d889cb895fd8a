/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a sandbox's root is assembled instead of closed by Landlock alone: Landlock does not keep anyone from a
 * Unix socket by its path. (Should a kernel come to, this fails, and the reason is gone.)
 */
#include "kernel.h"
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/un.h>

int main(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char folder[] = "/tmp/kernel-XXXXXX";
	HOLDS(mkdtemp(folder) != NULL);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", folder);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	HOLDS(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct landlock_ruleset_attr attributes = { .handled_access_fs = (1ull << 13) - 1 };
		int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes,
					   sizeof(attributes), 0);
		HOLDS(ruleset >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		HOLDS(syscall(SYS_landlock_restrict_self, ruleset, 0) == 0);
		REFUSED(open(folder, O_RDONLY | O_CLOEXEC), EACCES);
		HOLDS(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
		_exit(0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	unlink(a.sun_path);
	rmdir(folder);
	HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return holds("Landlock closes a folder, but not a Unix socket in it");
}
