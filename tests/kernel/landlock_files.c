/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeper and others close the file system behind themselves: Landlock, which needs no rights, cannot be taken
 * back, and is kept over fork and exec. Version 1 is what we insist on.
 */
#include "kernel.h"
#include <linux/landlock.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
	if (argc > 1) { /* after exec */
		REFUSED(open("/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES);
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		HOLDS(null >= 0);
		return 0;
	}
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	HOLDS(version >= 1);
	struct landlock_ruleset_attr attributes = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE
	};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	HOLDS(ruleset >= 0);
	static const char *const open_to_us[] = { "/dev", "/usr", "/lib", "/proc/self/exe" };
	for (size_t i = 0; i < sizeof(open_to_us) / sizeof(open_to_us[0]); i++) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access = attributes.handled_access_fs,
			.parent_fd = open(open_to_us[i], O_PATH | O_CLOEXEC)
		};
		HOLDS(rule.parent_fd < 0 || syscall(SYS_landlock_add_rule, ruleset,
						    LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0);
	}
	int before = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	HOLDS(before >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	HOLDS(syscall(SYS_landlock_restrict_self, ruleset, 0) == 0);
	char byte;
	HOLDS(read(before, &byte, 1) == 1); /* what was open stays so */
	REFUSED(open("/etc/passwd", O_RDONLY | O_CLOEXEC), EACCES);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", argv[0], "again", (char *)NULL);
		_exit(127);
	}
	wait_good(pid);
	return holds("Landlock closes files to this process and all that it starts");
}
