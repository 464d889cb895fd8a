/* SPDX-License-Identifier: Apache-2.0 */
/* The filters, by libseccomp. System calls of another architecture's numbers end the process. */
#include "jail/filter.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SOCKET_TYPE_MASK     0xf /* of socket()'s second argument; the rest are flags */
#define CLONE_FLAGS_ARGUMENT 0	 /* of clone(), on the architectures that we build for */
/* Of an int argument the kernel reads the low half only; a comparison of all 64 bits could be dodged. */
#define IS_INT(value) SCMP_CMP_MASKED_EQ, 0xffffffff, (scmp_datum_t)(value)

static void release_filter(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}
#define _cleanup_filter_ _cleanup_(release_filter)

/* Adding rules is a long list; the first failure is kept and the rest do nothing. */
struct rules {
	scmp_filter_ctx filter;
	int failed;
	const char *name;
};

static void add(struct rules *r, uint32_t action, const char *name, unsigned n,
		const struct scmp_arg_cmp *args)
{
	if (r->failed)
		return;
	r->name = name;
	int number = seccomp_syscall_resolve_name(name);
	if (number == __NR_SCMP_ERROR) {
		r->failed = -ENOSYS;
		return;
	}
	/* Negative: this machine has no such call (its other name has the number). */
	if (number >= 0)
		r->failed = seccomp_rule_add_array(r->filter, action, number, n, args);
	if (r->failed == -EEXIST) /* named twice */
		r->failed = 0;
}

static void deny(struct rules *r, const char *name)
{
	add(r, SCMP_ACT_ERRNO(EPERM), name, 0, NULL);
}

static void deny_all(struct rules *r, const char *const *names)
{
	for (; *names; names++)
		deny(r, *names);
}

static void deny_if(struct rules *r, const char *name, struct scmp_arg_cmp a)
{
	add(r, SCMP_ACT_ERRNO(EPERM), name, 1, &a);
}

static int load(struct rules *r, struct error *e)
{
	if (r->failed)
		return error_set(e, -r->failed, "seccomp: rule for %s: %s", r->name,
				 strerror(-r->failed));
	int n = seccomp_load(r->filter);
	return n < 0 ? error_set(e, -n, "seccomp: cannot load the filter: %s", strerror(-n)) : 0;
}

static scmp_filter_ctx new_filter(uint32_t action, struct error *e)
{
	scmp_filter_ctx f = seccomp_init(action);
	if (f && (seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
		  seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)) {
		seccomp_release(f);
		f = NULL;
	}
	if (!f)
		error_set(e, ENOMEM, "seccomp: cannot make a filter");
	return f;
}

/* ---- what both deny lists share ---- */

static void deny_user_namespaces(struct rules *r)
{
	const struct scmp_arg_cmp clone_flags =
		SCMP_CMP(CLONE_FLAGS_ARGUMENT, SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER);
	deny_if(r, "clone", clone_flags);
	deny_if(r, "unshare", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	/* Its flags lie in memory, where no filter can look; callers fall back to clone. */
	add(r, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

static void deny_sockets(struct rules *r)
{
	static const int families[] = { AF_PACKET, AF_BLUETOOTH, AF_VSOCK };
	static const int internet[] = { AF_INET, AF_INET6 };
	for (size_t i = 0; i < ELEMENTS(families); i++)
		deny_if(r, "socket", SCMP_A0(IS_INT(families[i])));
	for (size_t i = 0; i < ELEMENTS(internet); i++) {
		const struct scmp_arg_cmp raw[] = {
			SCMP_A0(IS_INT(internet[i])),
			SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE_MASK, SOCK_RAW),
		};
		add(r, SCMP_ACT_ERRNO(EPERM), "socket", ELEMENTS(raw), raw);
	}
	const struct scmp_arg_cmp netlink[] = {
		SCMP_A0(IS_INT(AF_NETLINK)),
		SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE),
	};
	add(r, SCMP_ACT_ERRNO(EPERM), "socket", ELEMENTS(netlink), netlink);
}

/* Terminals are shared with whoever started us: nobody inside may type into them. */
static void deny_typing(struct rules *r)
{
	deny_if(r, "ioctl", SCMP_A1(IS_INT(TIOCSTI)));
	deny_if(r, "ioctl", SCMP_A1(IS_INT(TIOCLINUX)));
}

static const char *const denied_to_both[] = {
	"setns",
	"ptrace",
	"bpf",
	"process_vm_readv",
	"process_vm_writev",
	"pidfd_getfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"userfaultfd",
	"perf_event_open",
	"keyctl",
	"add_key",
	"request_key",
	"memfd_secret", /* no watchdog sees how much there is */
	NULL
};

/* What the agent makes in a folder of the host's belongs there to the folder's owner: a program with a set-id bit would be a way
 * for any other user of the host to become that one (or root). */
static void deny_set_id(struct rules *r)
{
	static const struct {
		const char *name;
		unsigned mode; /* which argument */
	} makers[] = {
		{ "chmod", 1 },	    { "fchmod", 1 },  { "fchmodat", 2 },
		{ "fchmodat2", 2 }, { "mkdir", 1 },   { "mkdirat", 2 },
		{ "mknod", 1 },	    { "mknodat", 2 }, { "creat", 1 },
	};
	static const struct {
		const char *name;
		unsigned flags; /* which argument; the mode is the next one */
	} openers[] = { { "open", 1 }, { "openat", 2 } };
	static const scmp_datum_t bits[] = { S_ISUID, S_ISGID };
	static const scmp_datum_t making[] = { O_CREAT, O_TMPFILE };
	for (size_t b = 0; b < ELEMENTS(bits); b++) {
		for (size_t i = 0; i < ELEMENTS(makers); i++)
			deny_if(r, makers[i].name,
				SCMP_CMP(makers[i].mode, SCMP_CMP_MASKED_EQ, bits[b], bits[b]));
		for (size_t i = 0; i < ELEMENTS(openers); i++)
			for (size_t m = 0; m < ELEMENTS(making); m++) {
				const struct scmp_arg_cmp both[] = {
					SCMP_CMP(openers[i].flags, SCMP_CMP_MASKED_EQ, making[m],
						 making[m]),
					SCMP_CMP(openers[i].flags + 1, SCMP_CMP_MASKED_EQ, bits[b],
						 bits[b]),
				};
				add(r, SCMP_ACT_ERRNO(EPERM), openers[i].name, ELEMENTS(both),
				    both);
			}
	}
	/* Its mode lies in memory; callers fall back to openat. */
	add(r, SCMP_ACT_ERRNO(ENOSYS), "openat2", 0, NULL);
}

/* ---- the two lists ---- */

int jail_seccomp_agent(struct error *e)
{
	static const char *const denied[] = { "mount",	       "umount2",    "pivot_root",
					      "open_tree",     "move_mount", "fsopen",
					      "fsconfig",      "fsmount",    "fspick",
					      "mount_setattr", "pidfd_open", "pidfd_send_signal",
					      "memfd_create",  NULL };
	_cleanup_filter_ scmp_filter_ctx filter = new_filter(SCMP_ACT_ALLOW, e);
	if (!filter)
		return -ENOMEM;
	struct rules r = { .filter = filter };
	deny_all(&r, denied_to_both);
	deny_all(&r, denied);
	deny_user_namespaces(&r);
	deny_sockets(&r);
	deny_typing(&r);
	deny_set_id(&r);
	deny_if(&r, "execveat", SCMP_A4(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	deny_if(&r, "seccomp", SCMP_A0(IS_INT(SECCOMP_SET_MODE_FILTER)));
	const struct scmp_arg_cmp by_prctl[] = {
		SCMP_A0(IS_INT(PR_SET_SECCOMP)),
		SCMP_A1(SCMP_CMP_EQ, SECCOMP_MODE_FILTER),
	};
	add(&r, SCMP_ACT_ERRNO(EPERM), "prctl", ELEMENTS(by_prctl), by_prctl);
	return load(&r, e);
}

/* inotify: who watches /usr sees what others of the host's execute, and instances are counted per
 * user of the host. Programs without it look now and again. */
int jail_seccomp_build(struct error *e)
{
	static const char *const denied[] = { "open_by_handle_at",
					      "kexec_load",
					      "kexec_file_load",
					      "init_module",
					      "finit_module",
					      "delete_module",
					      "reboot",
					      "swapon",
					      "swapoff",
					      "syslog",
					      "acct",
					      "quotactl",
					      "settimeofday",
					      "clock_settime",
					      "adjtimex",
					      "clock_adjtime",
					      "iopl",
					      "ioperm",
					      "lookup_dcookie",
					      "nfsservctl",
					      "vhangup",
					      "move_pages",
					      "migrate_pages",
					      "kcmp",
					      "fanotify_init",
					      "inotify_init",
					      "inotify_init1",
					      "uselib",
					      NULL };
	/* The newer calls for mounts: nothing an engine with chroot isolation needs, and it falls
	 * back when they seem not to be there. */
	static const char *const absent[] = { "open_tree", "move_mount", "fsopen",	 "fsconfig",
					      "fsmount",   "fspick",	 "mount_setattr" };
	_cleanup_filter_ scmp_filter_ctx filter = new_filter(SCMP_ACT_ALLOW, e);
	if (!filter)
		return -ENOMEM;
	struct rules r = { .filter = filter };
	deny_all(&r, denied_to_both);
	deny_all(&r, denied);
	for (size_t i = 0; i < ELEMENTS(absent); i++)
		add(&r, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0, NULL);
	deny_user_namespaces(&r);
	deny_sockets(&r);
	deny_if(&r, "socket", SCMP_A0(IS_INT(AF_ALG)));
	/* The watchdog has to read them all, of each process. */
	const struct scmp_arg_cmp groups = SCMP_A0(SCMP_CMP_GT, LIMIT_JAIL_GROUPS);
	add(&r, SCMP_ACT_ERRNO(EINVAL), "setgroups", 1, &groups);
	deny_typing(&r);
	return load(&r, e);
}

int jail_seccomp_allow(const char *const *names, bool kill, struct error *e)
{
	_cleanup_filter_ scmp_filter_ctx filter =
		new_filter(kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM), e);
	if (!filter)
		return -ENOMEM;
	struct rules r = { .filter = filter };
	for (; *names; names++)
		add(&r, SCMP_ACT_ALLOW, *names, 0, NULL);
	return load(&r, e);
}
