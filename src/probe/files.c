/* SPDX-License-Identifier: Apache-2.0 */
/* Files through which a kernel is steered, devices, terminals: opened, and nothing written. */
#include "probe/probe.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Opening to write is what is refused, if anything is; without O_CREAT and O_TRUNC it changes nothing. */
static void try_open(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, open(a->text, (int)a->number | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
}

/* Where the kernel's functions lie: for whoever may not know, all are at 0. */
static void try_symbols(const struct attempt *a, struct outcome *o)
{
	char digits[16];
	_cleanup_close_ int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	outcome_of(o, fd < 0 ? -1 : read(fd, digits, sizeof(digits)));
	if (o->state == POSSIBLE && memcmp(digits, "0000000000000000", sizeof(digits)) == 0) {
		o->state = REFUSED;
		outcome_detail(o, "all of them are zeroes");
	}
}

/* The first of a machine's disks, whatever it is called. */
static void try_disk(const struct attempt *a, struct outcome *o)
{
	static const char *const disks[] = { "/dev/sda",  "/dev/vda",	  "/dev/nvme0n1",
					     "/dev/xvda", "/dev/mmcblk0", "/dev/loop0" };
	const char *disk = disks[0];
	for (size_t i = 0; i < ELEMENTS(disks); i++)
		if (access(disks[i], F_OK) == 0) {
			disk = disks[i];
			break;
		}
	outcome_of(o, open(disk, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	outcome_detail(o, "%s", o->state == ABSENT ? "" : disk);
}

static bool file_path(const char *name, char *path, size_t size, struct outcome *o)
{
	if (!scratch_folder()) {
		outcome_untried(o, "no folder can be written here");
		return false;
	}
	snprintf(path, size, "%s/%s", scratch_folder(), name);
	return true;
}

static void try_mknod(const struct attempt *a, struct outcome *o)
{
	char path[256];
	if (!file_path("device", path, sizeof(path), o))
		return;
	outcome_of(o, mknod(path, (mode_t)a->number | 0600,
			    a->number == S_IFCHR ? makedev(1, 3) : makedev(7, 0)));
	/* Where devices may not be used (nodev), it can be made and not be opened. */
	if (o->state == POSSIBLE && a->number == S_IFCHR && open(path, O_RDONLY | O_CLOEXEC) < 0)
		outcome_detail(o, "made, but not to be opened: %s", strerror(errno));
	(void)unlink(path);
}

static void try_set_id(const struct attempt *a, struct outcome *o)
{
	char path[256];
	if (!file_path("set-id", path, sizeof(path), o))
		return;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (fd < 0)
		outcome_of(o, -1);
	else
		outcome_of(o, fchmod(fd, (mode_t)a->number | 0700));
	(void)unlink(path);
}

/* A terminal of its own, which becomes the attempt's: what is typed into it is gone with it. */
static int own_terminal(void)
{
	int unlock = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave = master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0
			    ? -1
			    : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave >= 0)
		(void)ioctl(slave, TIOCSCTTY, 0);
	return slave;
}

static void try_terminal(const struct attempt *a, struct outcome *o)
{
	int terminal = own_terminal();
	char type[2] = { 7 /* of TIOCLINUX: the shift keys' state is said */, 0 };
	_cleanup_close_ int none = open("/", O_RDONLY | O_CLOEXEC);
	outcome_of(o, ioctl(terminal < 0 ? none : terminal, (unsigned long)a->number, type));
	if (terminal < 0 && o->error != EPERM)
		outcome_untried(o, "no terminal can be made here, and nothing else refuses it");
}

static const struct attempt attempts[] = {
	{ "write core_pattern", try_open, O_WRONLY, "/proc/sys/kernel/core_pattern" },
	{ "write modprobe's path", try_open, O_WRONLY, "/proc/sys/kernel/modprobe" },
	{ "write the host's name", try_open, O_WRONLY, "/proc/sys/kernel/hostname" },
	{ "write ip_forward", try_open, O_WRONLY, "/proc/sys/net/ipv4/ip_forward" },
	{ "write ping_group_range", try_open, O_WRONLY, "/proc/sys/net/ipv4/ping_group_range" },
	{ "write sysrq-trigger", try_open, O_WRONLY, "/proc/sysrq-trigger" },
	{ "write binfmt_misc", try_open, O_WRONLY, "/proc/sys/fs/binfmt_misc/register" },
	{ "write irq affinity", try_open, O_WRONLY, "/proc/irq/default_smp_affinity" },
	{ "write one's own memory", try_open, O_RDWR, "/proc/self/mem" },
	{ "write one's own oom_score_adj", try_open, O_WRONLY, "/proc/self/oom_score_adj" },
	{ "read kcore", try_open, O_RDONLY, "/proc/kcore" },
	{ "read kmsg", try_open, O_RDONLY, "/proc/kmsg" },
	{ "read the kernel's addresses", try_symbols, 0, NULL },
	{ "read /sys", try_open, O_RDONLY | O_DIRECTORY, "/sys/kernel" },
	{ "write uevent_helper", try_open, O_WRONLY, "/sys/kernel/uevent_helper" },
	{ "write power state", try_open, O_WRONLY, "/sys/power/state" },
	{ "write the root cgroup", try_open, O_WRONLY, "/sys/fs/cgroup/cgroup.procs" },
	{ "read debugfs", try_open, O_RDONLY | O_DIRECTORY, "/sys/kernel/debug/tracing" },
	{ "device null", try_open, O_RDWR, "/dev/null" },
	{ "device ptmx", try_open, O_RDWR, "/dev/ptmx" },
	{ "device mem", try_open, O_RDONLY, "/dev/mem" },
	{ "device kmsg", try_open, O_RDONLY, "/dev/kmsg" },
	{ "device fuse", try_open, O_RDWR, "/dev/fuse" },
	{ "device kvm", try_open, O_RDWR, "/dev/kvm" },
	{ "device net/tun", try_open, O_RDWR, "/dev/net/tun" },
	{ "device vhost-vsock", try_open, O_RDWR, "/dev/vhost-vsock" },
	{ "device loop-control", try_open, O_RDWR, "/dev/loop-control" },
	{ "device of a disk", try_disk, 0, NULL },
	{ "mknod of a character device", try_mknod, S_IFCHR, NULL },
	{ "mknod of a block device", try_mknod, S_IFBLK, NULL },
	{ "set-user-id bit", try_set_id, S_ISUID, NULL },
	{ "set-group-id bit", try_set_id, S_ISGID, NULL },
	{ "TIOCSTI", try_terminal, TIOCSTI, NULL },
	{ "TIOCLINUX", try_terminal, TIOCLINUX, NULL },
};

const struct attempt_group group_files = { "files", attempts, ELEMENTS(attempts),
					   LIMIT_PROBE_SECONDS };
