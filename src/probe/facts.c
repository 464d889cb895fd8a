/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no attempt: who we are, and what holds us. Where there is no /proc, some of it cannot be known. */
#include "probe/probe.h"

#include <ctype.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#define UNKNOWN "unknown: no /proc here"

typedef void say_fn(const char *name, const char *value);

static const char *const capability_names[] = {
	"chown",
	"dac_override",
	"dac_read_search",
	"fowner",
	"fsetid",
	"kill",
	"setgid",
	"setuid",
	"setpcap",
	"linux_immutable",
	"net_bind_service",
	"net_broadcast",
	"net_admin",
	"net_raw",
	"ipc_lock",
	"ipc_owner",
	"sys_module",
	"sys_rawio",
	"sys_chroot",
	"sys_ptrace",
	"sys_pacct",
	"sys_admin",
	"sys_boot",
	"sys_nice",
	"sys_resource",
	"sys_time",
	"sys_tty_config",
	"mknod",
	"lease",
	"audit_write",
	"audit_control",
	"setfcap",
	"mac_override",
	"mac_admin",
	"syslog",
	"wake_alarm",
	"block_suspend",
	"audit_read",
	"perfmon",
	"bpf",
	"checkpoint_restore",
};

/* "none", "all", "a,b" or, where that is shorter, "all but a,b". */
static void say_capabilities(say_fn *say, const char *name, unsigned long long set, unsigned known)
{
	const unsigned long long all = known < 64 ? (1ull << known) - 1 : ~0ull;
	const bool most = (unsigned)__builtin_popcountll(set & all) > known / 2;
	const unsigned long long named = most ? ~set & all : set & all;
	char text[1024];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s%s",
				       most    ? "all"
				       : named ? ""
					       : "none",
				       most && named ? " but " : "");
	for (unsigned i = 0, n = 0; i < ELEMENTS(capability_names) && used < sizeof(text); i++)
		if (named >> i & 1)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 n++ ? "," : "", capability_names[i]);
	say(name, text);
}

static void capabilities(say_fn *say)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	unsigned long long bounding = 0, ambient = 0;
	unsigned known = 0;
	for (; known < 64 && prctl(PR_CAPBSET_READ, known, 0, 0, 0) >= 0; known++) {
		bounding |= prctl(PR_CAPBSET_READ, known, 0, 0, 0) == 1 ? 1ull << known : 0;
		ambient |= prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, known, 0, 0) == 1
				   ? 1ull << known
				   : 0;
	}
	if (syscall(SYS_capget, &header, data) < 0) {
		say("capabilities effective", strerror(errno));
	} else {
		say_capabilities(say, "capabilities effective",
				 data[0].effective | (unsigned long long)data[1].effective << 32,
				 known);
		say_capabilities(say, "capabilities permitted",
				 data[0].permitted | (unsigned long long)data[1].permitted << 32,
				 known);
		say_capabilities(
			say, "capabilities inheritable",
			data[0].inheritable | (unsigned long long)data[1].inheritable << 32, known);
	}
	say_capabilities(say, "capabilities bounding", bounding, known);
	say_capabilities(say, "capabilities ambient", ambient, known);
}

static bool read_file(const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

/* "0 1000 1; 1 100000 65536": an id map as the kernel says it, on one line. */
static void say_map(say_fn *say, const char *name, const char *path)
{
	char text[1024], line[1024];
	size_t used = 0;
	if (!read_file(path, text, sizeof(text))) {
		say(name, UNKNOWN);
		return;
	}
	for (const char *c = text; *c && used < sizeof(line) - 2; c++) {
		if (*c == '\n' && c[1])
			line[used++] = ';';
		if (isspace((unsigned char)*c) && (!used || line[used - 1] == ' ' || !c[1]))
			continue;
		line[used++] = isspace((unsigned char)*c) ? ' ' : *c;
	}
	line[used] = '\0';
	say(name, line);
}

static void seccomp(say_fn *say)
{
	static const char *const modes[] = { "0 (none)", "1 (strict)", "2 (filter)" };
	char text[4096], number[32] = UNKNOWN;
	int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	say("seccomp mode",
	    mode >= 0 && mode < (int)ELEMENTS(modes) ? modes[mode] : "not in this kernel");
	const char *filters = read_file("/proc/self/status", text, sizeof(text))
				      ? strstr(text, "Seccomp_filters:")
				      : NULL;
	if (filters)
		snprintf(number, sizeof(number), "%ld",
			 strtol(filters + strlen("Seccomp_filters:"), NULL, 10));
	say("seccomp filters", filters ? number : mode == 0 ? "0" : UNKNOWN);
}

static void landlock(say_fn *say)
{
	char text[64];
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0)
		snprintf(text, sizeof(text), "none: %s (%s)", strerrorname_np(errno),
			 strerror(errno));
	else
		snprintf(text, sizeof(text), "%ld", abi);
	say("Landlock ABI", text);
}

/* A guess, by what each leaves to be seen; nothing is decided by it. */
static const char *guess(void)
{
	char text[256];
	if (read_file("/proc/1/comm", text, sizeof(text)) && !strncmp(text, "jail-init", 9))
		return getenv("OPENSHELL_SANDBOX") ? "postern's sandbox" : "a jail of postern's";
	if (getenv("OPENSHELL_SANDBOX"))
		return "OpenShell's sandbox, or postern's";
	if (access("/.dockerenv", F_OK) == 0)
		return "docker's container";
	if (access("/run/.containerenv", F_OK) == 0)
		return "podman's container";
	return getenv("container") ? "a container" : "none that is known";
}

void facts(say_fn *say)
{
	char text[64];
	struct utsname u;
	say("sandbox, as it looks", guess());
	say("kernel", uname(&u) == 0 ? u.release : "unknown");
	snprintf(text, sizeof(text), "%u", geteuid());
	say("uid", text);
	snprintf(text, sizeof(text), "%u", getegid());
	say("gid", text);
	snprintf(text, sizeof(text), "%d", getgroups(0, NULL));
	say("supplementary groups", text);
	say_map(say, "uid map", "/proc/self/uid_map");
	say_map(say, "gid map", "/proc/self/gid_map");
	capabilities(say);
	int nnp = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	say("no_new_privs", nnp == 1 ? "1" : nnp == 0 ? "0" : "not in this kernel");
	seccomp(say);
	landlock(say);
}
