/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the kernel that sandboxes keep away from: each asked for the smallest thing that it can do. */
#include "probe/probe.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/timex.h>
#include <sys/wait.h>

#define USER_MODE_ONLY 1 /* UFFD_USER_MODE_ONLY */

static void try_bpf_program(const struct attempt *a, struct outcome *o)
{
	/* r0 = 0; exit */
	const struct bpf_insn program[] = { { .code = 0xb7 }, { .code = 0x95 } };
	union bpf_attr attr = { 0 };
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insn_cnt = ELEMENTS(program);
	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t) "GPL";
	outcome_of(o, syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)));
}

static void try_bpf_map(const struct attempt *a, struct outcome *o)
{
	union bpf_attr attr = { 0 };
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = 8;
	attr.max_entries = 1;
	outcome_of(o, syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static void try_perf(const struct attempt *a, struct outcome *o)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_TASK_CLOCK };
	attr.exclude_kernel = attr.exclude_hv = !a->number;
	outcome_of(o, syscall(SYS_perf_event_open, &attr, a->number ? -1 : 0, a->number ? 0 : -1,
			      -1, 0));
}

/* Keyrings that end with this process. */
static void try_keyctl(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0));
}

static void try_add_key(const struct attempt *a, struct outcome *o)
{
	outcome_of(o,
		   syscall(SYS_add_key, "user", "postern-probe", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static void try_request_key(const struct attempt *a, struct outcome *o)
{
	outcome_through(o, syscall(SYS_request_key, "user", "postern-probe-nothing", NULL, 0),
			ENOKEY);
}

static long ring(void)
{
	struct io_uring_params p = { 0 };
	return syscall(SYS_io_uring_setup, 1, &p);
}

static void try_uring_setup(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, ring());
}

static void try_uring_enter(const struct attempt *a, struct outcome *o)
{
	outcome_through(o, syscall(SYS_io_uring_enter, ring(), 0, 0, 0, NULL, 0), EBADF);
}

static void try_uring_register(const struct attempt *a, struct outcome *o)
{
	outcome_through(o,
			syscall(SYS_io_uring_register, ring(), IORING_UNREGISTER_EVENTFD, NULL, 0),
			ENXIO);
	if (o->error == EBADF)
		o->state = POSSIBLE;
}

static void try_userfaultfd(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, syscall(SYS_userfaultfd, O_CLOEXEC | a->number));
}

/* ---- programs from memory ---- */

static int own_program(int flags)
{
	return open("/proc/self/exe", flags | O_CLOEXEC);
}

/* In a child, since it is replaced: whether it could be executed. */
static void execute(struct outcome *o, int fd, bool by_name)
{
	char path[64];
	static char name[] = "postern-probe", option[] = "--help";
	char *const argv[] = { name, option, NULL };
	static char *const envp[] = { NULL };
	int errors[2], why = 0;
	if (pipe2(errors, O_CLOEXEC) < 0) {
		outcome_untried(o, "no pipe");
		return;
	}
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);
		close(1);
		if (null > 1)
			dup2(null, 1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (by_name)
			execve(path, argv, envp);
		else
			syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		why = errno;
		_exit(write(errors[1], &why, sizeof(why)) != sizeof(why));
	}
	close(errors[1]);
	if (child < 0)
		outcome_untried(o, "no process");
	else if (read(errors[0], &why, sizeof(why)) == sizeof(why)) {
		errno = why;
		outcome_of(o, -1);
	}
	close(errors[0]);
	(void)waitpid(child, NULL, 0);
}

static void try_memfd(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, memfd_create("postern-probe", MFD_CLOEXEC));
}

static void try_memfd_exec(const struct attempt *a, struct outcome *o)
{
	_cleanup_close_ int from = own_program(O_RDONLY);
	int memory = memfd_create("postern-probe", MFD_CLOEXEC);
	if (memory < 0) {
		outcome_of(o, memory);
		return;
	}
	for (ssize_t n = 1; n > 0;)
		n = sendfile(memory, from, NULL, 1 << 20);
	if (lseek(memory, 0, SEEK_END) <= 0) {
		outcome_untried(o, "its own program cannot be read: no /proc here");
		return;
	}
	/* Open for writing it would be busy. */
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	close(memory);
	execute(o, again, a->number);
}

static void try_execveat(const struct attempt *a, struct outcome *o)
{
	int fd = own_program(O_PATH);
	if (fd < 0) /* no /proc: whether the call itself is refused can be asked all the same */
		outcome_through(o, syscall(SYS_execveat, -1, "", NULL, NULL, AT_EMPTY_PATH), EBADF);
	else
		execute(o, fd, false);
}

/* ---- filters and other ways in ---- */

static void try_filter(const struct attempt *a, struct outcome *o)
{
	struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	const struct sock_fprog program = { ELEMENTS(allow), allow };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	outcome_of(o, a->number ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)
				: syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void try_handle(const struct attempt *a, struct outcome *o)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} h = { .handle = { .handle_bytes = MAX_HANDLE_SZ } };
	int mount;
	if (name_to_handle_at(AT_FDCWD, ".", &h.handle, &mount, 0) < 0)
		/* The file system knows no handles: one that leads nowhere is refused all the same where the right is missing. */
		h.handle.handle_bytes = 8;
	outcome_through(o, open_by_handle_at(AT_FDCWD, &h.handle, O_RDONLY), ESTALE);
}

static void try_clock(const struct attempt *a, struct outcome *o)
{
	/* No tick at all: refused for whoever may not set the clock, and wrong for the rest. */
	struct timex never = { .modes = ADJ_TICK };
	outcome_through(o, adjtimex(&never), EINVAL);
	if (o->state == POSSIBLE)
		outcome_detail(o, "not done: asked for no time at all");
}

static void try_32_bit(const struct attempt *a, struct outcome *o)
{
#ifdef __x86_64__
	long r;
	/* getpid; of a call that runs in the other mode, r8 to r11 come back as zeroes. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	errno = (int)-r;
	outcome_of(o, r < 0 ? -1 : 0);
#else
	outcome_absent(o, "not on this machine");
#endif
}

static void try_x32(const struct attempt *a, struct outcome *o)
{
#ifdef __x86_64__
	outcome_of(o, syscall(0x40000000 | SYS_getpid));
#else
	outcome_absent(o, "not on this machine");
#endif
}

static const struct attempt attempts[] = {
	{ "bpf: a program", try_bpf_program, 0, NULL },
	{ "bpf: a map", try_bpf_map, 0, NULL },
	{ "perf_event_open of oneself", try_perf, 0, NULL },
	{ "perf_event_open of the machine", try_perf, 1, NULL },
	{ "keyctl", try_keyctl, 0, NULL },
	{ "add_key", try_add_key, 0, NULL },
	{ "request_key", try_request_key, 0, NULL },
	{ "io_uring_setup", try_uring_setup, 0, NULL },
	{ "io_uring_enter", try_uring_enter, 0, NULL },
	{ "io_uring_register", try_uring_register, 0, NULL },
	{ "userfaultfd", try_userfaultfd, 0, NULL },
	{ "userfaultfd for user mode", try_userfaultfd, USER_MODE_ONLY, NULL },
	{ "memfd_create", try_memfd, 0, NULL },
	{ "execveat of a memfd", try_memfd_exec, 0, NULL },
	{ "exec of a memfd by its name", try_memfd_exec, 1, NULL },
	{ "execveat with an empty path", try_execveat, 0, NULL },
	{ "seccomp filter of one's own", try_filter, 0, NULL },
	{ "the same by prctl", try_filter, 1, NULL },
	{ "open_by_handle_at", try_handle, 0, NULL },
	{ "adjtimex", try_clock, 0, NULL },
	{ "32-bit system calls", try_32_bit, 0, NULL },
	{ "x32 system calls", try_x32, 0, NULL },
};

const struct attempt_group group_calls = { "calls", attempts, ELEMENTS(attempts),
					   LIMIT_PROBE_SECONDS };
