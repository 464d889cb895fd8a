/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's supervisor. In this order, so that nothing hostile runs before what guards it does:
 *   plan:     read the policy, look at the paths it lists.
 *   early:    dialer and proxy are started, so that they get ready meanwhile; without credentials and
 *             without a socket they can do nothing yet.
 *   jail:     namespaces and root; its PID 1 makes the proxy's listening socket and the witness's
 *             netlink socket in the new network namespace, hands them out, and waits.
 *   helpers:  proxy gets its socket, witness is started; only now are credentials sent, and to
 *             dialer only.
 *   go:       PID 1 forgets what its copy of our memory holds, and becomes the command's init.
 */
#include "sandbox/sandbox.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/yaml.h"
#include "proxy/address.h"
#include "proxy/messages.h"
#include "sandbox/control.h"
#include "sandbox/helpers.h"
#include "sandbox/lend.h"
#include "sandbox/plan.h"
#include "sandbox/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SANDBOX_ADDRESS "10.200.0.2"
#define PROXY_URL	"http://10.200.0.1:3128"

/* What every sandbox has in its environment; later ones of the caller's win. */
static const char *const environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=" SANDBOX_WORKDIR,
	"PWD=" SANDBOX_WORKDIR,
	"SHELL=/bin/bash",
	"LANG=C.UTF-8",
	"OPENSHELL_SANDBOX=1",
	"HTTP_PROXY=" PROXY_URL,
	"HTTPS_PROXY=" PROXY_URL,
	"ALL_PROXY=" PROXY_URL,
	"http_proxy=" PROXY_URL,
	"https_proxy=" PROXY_URL,
	"grpc_proxy=" PROXY_URL,
	"NO_PROXY=127.0.0.1,localhost,::1",
	"no_proxy=127.0.0.1,localhost,::1",
	"NODE_USE_ENV_PROXY=1",
};

struct sandbox {
	const struct policy *policy; /* that it was made by, or a later one that allows the same */
	struct policy *own;	     /* such a later one */
	struct jail jail;
	struct helpers helpers;
	struct control control;
	struct sandbox_plan plan;
	struct trust trust; /* of a policy that may have TLS looked into */
	int epoll;
	char *lent; /* the working folder, while it belongs to the sandbox's ids; or NULL */
};

/* What PID 1 needs, in its copy of our memory. */
struct inside {
	const struct sandbox_options *options;
	const struct sandbox_plan *plan;
	const struct trust *trust; /* or NULL */
	const char *env[LIMIT_SANDBOX_ENVIRONMENT + 1];
	/* When the command may start, the size and bytes of the sandbox's own authority come; end of file: never. */
	int go;
};

/* ---- inside ---- */

/* Called in the jail's network namespace, before its command can be. */
static int make_sockets(void *arg, int fds[JAIL_FDS_MAX], unsigned *n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(SANDBOX_PROXY_PORT) };
	int on = 1;
	inet_pton(AF_INET, SANDBOX_PROXY_ADDRESS, &a.sin_addr);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fds[1] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	*n = 2;
	if (fds[0] < 0 || fds[1] < 0 ||
	    setsockopt(fds[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    /* What is accepted has it too: an event must not wait for the one before to be acknowledged. */
	    setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fds[0], (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fds[0], 512) < 0)
		return -errno;
	return 0;
}

/* The credentials are in this copy of the supervisor's memory, too; a process inside must not hold
 * them, undumpable or not. */
static void forget_credentials(const struct sandbox_options *o)
{
	for (unsigned i = 0; i < o->n_credentials; i++)
		explicit_bzero((char *)o->credentials[i].value, strlen(o->credentials[i].value));
}

/* n bytes of the sandbox's own authority follow. */
static int install_trust(const struct inside *in, size_t n)
{
	char own[HELPERS_CA_MAX];
	int r = n <= sizeof(own) && fd_read_full(in->go, own, n) == (ssize_t)n ? 0 : -EIO;
	if (r == 0)
		r = trust_write(in->trust, own, n);
	if (r < 0)
		log_error("cannot write the list of certificate authorities: %s", strerror(-r));
	return r;
}

static int run_command(void *arg)
{
	const struct inside *in = arg;
	size_t n;
	forget_credentials(in->options);
	if (fd_read_full(in->go, &n, sizeof(n)) != sizeof(n))
		return 125;
	if (in->trust && install_trust(in, n) < 0)
		return 125;
	close(in->go);
	struct jail_command command = {
		.argv = in->options->argv,
		.envp = in->env,
		.directory = SANDBOX_WORKDIR,
		.capabilities = JAIL_CAPS_NONE,
		.seccomp = JAIL_SECCOMP_AGENT,
		.landlock = in->plan->has_landlock ? &in->plan->landlock : NULL,
		/* The user's own terminal never controls it. */
		.new_session = true,
		.terminal = in->options->terminal,
		.watchdog = { .memory = in->options->limits.memory },
	};
	return jail_command(&command);
}

/* ---- outside ---- */

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");
	return !strncmp(a, b, n) && b[n] == '=';
}

static int make_environment(const struct sandbox_options *o, const char *user, struct inside *in,
			    struct error *e)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ELEMENTS(environment); i++)
		in->env[n++] = environment[i];
	for (unsigned i = 0; in->trust && i < ELEMENTS(trust_environment); i++)
		in->env[n++] = trust_environment[i];
	in->env[n++] = user;
	for (const char *const *entry = o->env; entry && *entry; entry++) {
		unsigned at = 0;
		while (at < n && !same_name(*entry, in->env[at]))
			at++;
		if (at == LIMIT_SANDBOX_ENVIRONMENT)
			return error_set(e, E2BIG, "more than %u variables for a sandbox",
					 LIMIT_SANDBOX_ENVIRONMENT);
		in->env[at] = *entry;
		n += at == n;
	}
	in->env[n] = NULL;
	return 0;
}

/* Point 0, 1 and 2 at the command's for as long as the jail is made: its PID 1 inherits them. */
struct stdio {
	int saved[3];
};

static int stdio_set(const struct sandbox_options *o, struct stdio *s)
{
	const int want[3] = { o->in, o->out, o->err };
	for (int i = 0; i < 3; i++)
		s->saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
	int moved[3];
	for (int i = 0; i < 3; i++) {
		moved[i] = fcntl(want[i], F_DUPFD_CLOEXEC, 10);
		if (moved[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++) {
		int r = dup2(moved[i], i);
		close(moved[i]);
		if (r < 0)
			return -errno;
	}
	return 0;
}

static void stdio_restore(const struct stdio *s)
{
	for (int i = 0; i < 3; i++) {
		if (s->saved[i] < 0)
			continue;
		dup2(s->saved[i], i);
		close(s->saved[i]);
	}
}

static int start_jail(struct sandbox *s, const struct sandbox_options *o, struct inside *in,
		      struct error *e)
{
	static const struct jail_address addresses[] = { { SANDBOX_PROXY_ADDRESS, 24 },
							 { SANDBOX_ADDRESS, 24 } };
	const struct sandbox_limits *limits = &o->limits;
	const struct jail_rlimit files = { RLIMIT_NOFILE,
					   limits->files ? limits->files : DEFAULT_SANDBOX_FILES };
	struct jail_spec spec = {
		.ids = { .kind = JAIL_IDS_ONE, .uid = s->plan.uid, .gid = s->plan.gid },
		.hostname = "sandbox",
		.mounts = s->plan.mounts,
		.n_mounts = s->plan.n_mounts,
		.lo = true,
		.addresses = addresses,
		.n_addresses = ELEMENTS(addresses),
		.local_default = true,
		.limits = &files,
		.n_limits = 1,
		/* And its init. */
		.processes = 1 + (limits->processes ? (unsigned)limits->processes
						    : DEFAULT_SANDBOX_PROCESSES),
		.memory = limits->memory,
		.keep_fds = &in->go,
		.n_keep_fds = 1,
		.make_fds = make_sockets,
	};
	struct stdio stdio;
	int r = stdio_set(o, &stdio);
	if (r < 0)
		error_set(e, -r, "cannot hand over the command's terminal: %s", strerror(-r));
	else
		r = jail_start(&spec, run_command, in, &s->jail, e);
	stdio_restore(&stdio);
	return r;
}

static int watch(struct sandbox *s)
{
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return -errno;
	int fds[1 + HELPER_COUNT] = { s->jail.pidfd };
	for (unsigned i = 0; i < HELPER_COUNT; i++)
		fds[1 + i] = s->helpers.one[i].pidfd;
	for (unsigned i = 0; i < ELEMENTS(fds); i++) {
		struct epoll_event event = { .events = EPOLLIN };
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
			return -errno;
	}
	return 0;
}

static int lend(struct sandbox *s, const struct sandbox_options *o, struct error *e)
{
	const struct jail_ids ids = { .kind = JAIL_IDS_ONE,
				      .uid = s->plan.uid,
				      .gid = s->plan.gid };
	bool lent = false;
	int r = o->lend && o->dir ? lend_folder(o->dir, &ids, &lent, e) : 0;
	if (lent && !(s->lent = strdup(o->dir)))
		r = error_set(e, ENOMEM, "out of memory");
	return r;
}

/* Dialer will have to lock the credentials' memory, and can only say that it could not. */
static int check_locking(struct error *e)
{
	struct rlimit most;
	if (getrlimit(RLIMIT_MEMLOCK, &most) == 0 && most.rlim_cur >= LIMIT_LOCKED_BYTES)
		return 0;
	/* Who has CAP_IPC_LOCK needs no limit. */
	void *p = mmap(NULL, LIMIT_LOCKED_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
	bool can = p != MAP_FAILED;
	if (can)
		munmap(p, LIMIT_LOCKED_BYTES);
	return can ? 0
		   : error_set(
			     e, EOPNOTSUPP,
			     "credentials have to be kept in locked memory, and only %lu KiB of %u "
			     "can be locked here; raise that limit (RLIMIT_MEMLOCK, `ulimit -l`)",
			     (unsigned long)most.rlim_cur / 1024, LIMIT_LOCKED_BYTES / 1024);
}

static int listen_for_policies(struct sandbox *s, const char *name)
{
	char number[16];
	snprintf(number, sizeof(number), "%d", (int)getpid());
	return control_open(&s->control, name ? name : number);
}

/* Everything but the command's start; go_fd makes it start. */
static int assemble(struct sandbox *s, const struct sandbox_options *o, struct inside *in,
		    struct error *e)
{
	size_t n;
	const char *text = policy_text(s->policy, &n);
	struct helper_sources from = { text, n, &s->trust, o, -1, -1, -1, -1 };
	int r = helpers_start_early(&s->helpers, &from, e);
	if (r == 0)
		r = start_jail(s, o, in, e);
	if (r < 0)
		return r;
	if (s->jail.n_fds != 2)
		return error_set(e, EIO, "the jail's sockets did not arrive");
	from.listener = s->jail.fds[0];
	from.diag = s->jail.fds[1];
	from.proc = s->jail.proc_fd;
	from.user = s->jail.user_fd;
	r = helpers_start(&s->helpers, &from, e);
	if (r < 0)
		return r;
	r = watch(s);
	if (r < 0)
		return error_set(e, -r, "cannot watch the sandbox: %s", strerror(-r));
	r = listen_for_policies(s, o->name);
	if (r < 0)
		return error_set(e, -r, "cannot listen for `postern policy set`: %s", strerror(-r));
	/* The helpers have their own copies; ours would keep the listener open after proxy's end. */
	for (unsigned i = 0; i < s->jail.n_fds; i++)
		close(TAKE_FD(s->jail.fds[i]));
	s->jail.n_fds = 0;
	return 0;
}

/* Whatever else of the host's lies beside a folder could be reached from it: by fchdir(), "..", and names. */
static int check_streams(const struct sandbox_options *o, struct error *e)
{
	static const char *const names[] = { "input", "output", "error" };
	const int fds[] = { o->in, o->out, o->err };
	for (size_t i = 0; i < ELEMENTS(fds); i++) {
		struct stat st;
		if (fstat(fds[i], &st) == 0 && S_ISDIR(st.st_mode))
			return error_set(e, EISDIR,
					 "the standard %s is a folder, from which the command "
					 "could reach all that "
					 "is beside it: give a file, a pipe or /dev/null",
					 names[i]);
	}
	return 0;
}

bool sandbox_may_be_host(const char *text)
{
	struct address a;
	if (address_parse(text, &a) < 0 || address_kind(&a) == ADDRESS_NEVER)
		return false;
	/* Those of no single host: multicast, and what IPv4 reserves behind it, broadcast among it. */
	return a.size == 4 ? a.bytes[0] < 224 : a.bytes[0] != 0xff;
}

int sandbox_open_log(const char *path)
{
	bool own = !strncmp(path, "/dev/fd/", 8) || !strcmp(path, "/dev/stdout") ||
		   !strcmp(path, "/dev/stderr");
	int fd = open(path,
		      O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
			      (own ? 0 : O_NOFOLLOW),
		      0600);
	if (fd >= 0 || errno != EACCES || strncmp(path, "/dev/fd/", 8) != 0)
		return fd < 0 ? -errno : fd;
	/* A pipe that another user made for us. */
	struct stat st;
	int theirs = (int)strtol(path + 8, NULL, 10);
	if (fstat(theirs, &st) < 0 || !S_ISFIFO(st.st_mode))
		return -EACCES;
	fd = fcntl(theirs, F_DUPFD_CLOEXEC, 3);
	return fd < 0 || fd_set_nonblock(fd, true) < 0 ? -errno : fd;
}

int sandbox_check(const struct policy *policy, struct error *e)
{
	_cleanup_free_ struct sandbox_plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return error_set(e, ENOMEM, "out of memory");
	int r = sandbox_plan_make(policy, NULL, NULL, plan, e);
	sandbox_plan_done(plan);
	return r;
}

int sandbox_start(const struct sandbox_options *o, struct sandbox **ret, struct error *e)
{
	_cleanup_free_ char *user = NULL;
	_cleanup_close_ int go_read = -1, go_write = -1;
	struct inside in = { .options = o };
	struct sandbox_end end;
	int go[2];
	struct sandbox *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	s->jail = JAIL_INIT;
	s->helpers = HELPERS_INIT;
	s->control = CONTROL_INIT;
	s->epoll = -1;
	s->policy = o->policy;
	int r = sandbox_plan_make(s->policy, o->dir, o->rootfs, &s->plan, e);
	if (r == 0 && policy_looks_into_tls(s->policy)) {
		r = trust_read(&s->trust, e);
		in.trust = &s->trust;
	}
	if (r == 0 && asprintf(&user, "USER=%s", s->plan.user) < 0)
		r = error_set(e, ENOMEM, "out of memory");
	if (r == 0)
		r = make_environment(o, user, &in, e);
	if (r == 0)
		r = check_streams(o, e);
	if (r == 0)
		r = check_locking(e);
	if (r == 0)
		r = lend(s, o, e);
	if (r == 0 && pipe2(go, O_CLOEXEC) < 0)
		r = error_set(e, errno, "pipe: %s", strerror(errno));
	if (r == 0) {
		go_read = go[0];
		go_write = go[1];
		in.go = go_read;
		in.plan = &s->plan;
		r = assemble(s, o, &in, e);
	}
	if (r == 0 && (fd_write_full(go_write, &s->helpers.ca_len, sizeof(s->helpers.ca_len)) < 0 ||
		       fd_write_full(go_write, s->helpers.ca, s->helpers.ca_len) < 0))
		r = error_set(e, EPIPE, "the sandbox ended before its command could start");
	if (r < 0) {
		sandbox_finish(s, &end);
		return r;
	}
	*ret = s;
	return 0;
}

/* This policy, which is taken over in any case, decides from now on in all that depends on it, or in nothing. */
static int change_policy(struct sandbox *s, struct policy *new, bool *ret_broken, struct error *e)
{
	_cleanup_policy_ struct policy *policy = new;
	const char *what;
	size_t n;
	const char *text = policy_text(policy, &n);
	if (!policy_same_sandbox(s->policy, policy, &what)) {
		error_set(e, EPERM, "%s cannot change while a sandbox runs", what);
		return error_in_file(e, policy_file(policy));
	}
	int r = helpers_set_policy(&s->helpers, text, n, e);
	*ret_broken = r < 0;
	if (r == 0) {
		policy_free(s->own);
		s->policy = s->own = TAKE_PTR(policy);
	}
	return r;
}

/* What the sandbox makes of a policy is none. */
static int check_place(const struct sandbox *s, const char *file, struct error *e)
{
	char absolute[PATH_MAX];
	int r = absolute_path(file, absolute);
	if (r == 0)
		r = writable_excludes(&s->plan.writable, absolute);
	if (r == 0)
		return 0;
	if (r == -EPERM)
		error_set(e, EPERM,
			  "the sandbox can write to it, so that it is not read; keep it elsewhere");
	else
		error_set(e, -r, "cannot read it: %s", strerror(-r));
	return error_in_file(e, file);
}

/* A pipe has been read, and would have us wait. */
static int check_again(const char *file, struct error *e)
{
	struct stat st;
	if (stat(file, &st) < 0 || S_ISREG(st.st_mode))
		return 0; /* whoever reads it says what is wrong */
	error_set(e, EINVAL,
		  "is no file that can be read again; `postern policy set` hands one over");
	return error_in_file(e, file);
}

int sandbox_reload(struct sandbox *s, const char *file, bool *ret_broken, struct error *e)
{
	struct policy *policy = NULL;
	*ret_broken = false;
	int r = check_again(file, e);
	if (r == 0)
		r = check_place(s, file, e);
	if (r == 0)
		r = policy_load_file(file, &policy, e);
	return r < 0 ? r : change_policy(s, policy, ret_broken, e);
}

int sandbox_control_fd(const struct sandbox *s)
{
	return control_fd(&s->control);
}

void sandbox_control(struct sandbox *s, char *said, size_t size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	struct policy *policy;
	struct error e = { 0 };
	char file[PATH_MAX];
	bool broken = false;
	size_t n = 0;
	*said = '\0';
	if (!control_take(&s->control, file, &fd))
		return;
	/* One without a place is a pipe of the caller's. */
	int r = *file == '/' ? check_place(s, file, &e) : 0;
	if (r == 0 && (r = fd_read_file(fd, YAML_FILE_MAX, &text, &n)) < 0)
		error_set(&e, -r, "cannot read it: %s", strerror(-r));
	if (r == 0 && (r = policy_load(text, n, file, &policy, &e)) == 0)
		r = change_policy(s, policy, &broken, &e);
	uint64_t number = s->helpers.policies + 1;
	control_answer(&s->control, number, r < 0 ? &e : NULL);
	if (r == 0)
		snprintf(said, size, "requests are decided by policy %llu, %s",
			 (unsigned long long)number, file);
	else if (broken)
		error_format(&e, said, size);
}

int sandbox_fd(const struct sandbox *s)
{
	return s->epoll;
}

void sandbox_signal(struct sandbox *s, int signal)
{
	(void)jail_signal(&s->jail, signal);
}

void sandbox_finish(struct sandbox *s, struct sandbox_end *ret)
{
	struct jail_end end = { 0 };
	struct sandbox_end told = { 0 };
	char how[64];
	int status = 0;
	/* A helper that ended first is why the rest has to end. */
	const char *dead = helpers_dead(&s->helpers, &status);
	struct pollfd init = { .fd = s->jail.pidfd, .events = POLLIN };
	bool ended = poll(&init, 1, 0) > 0;
	jail_kill(&s->jail);
	if (jail_wait(&s->jail, &end) == 0) {
		told.status = end.status;
		told.out_of_memory = end.reason == JAIL_MEMORY;
		told.failed = end.reason == JAIL_FAILED ||
			      (ended && !end.reported && !told.out_of_memory);
		if (told.failed && !end.reported)
			snprintf(told.message, sizeof(told.message),
				 "the sandbox's init ended (%s), and the sandbox with it",
				 spawn_status_text(end.status, how, sizeof(how)));
		else if (end.reason != JAIL_ENDED)
			snprintf(told.message, sizeof(told.message), "%s", end.message);
	}
	if (dead && !told.out_of_memory && WIFSIGNALED(told.status) &&
	    WTERMSIG(told.status) == SIGKILL) {
		told.failed = true;
		snprintf(told.message, sizeof(told.message),
			 "%s ended (%s), and the sandbox with it", dead,
			 spawn_status_text(status, how, sizeof(how)));
	}
	control_close(&s->control);
	jail_done(&s->jail);
	helpers_end(&s->helpers);
	if (s->lent)
		lend_take_back(s->lent);
	free(s->lent);
	if (s->epoll >= 0)
		close(s->epoll);
	sandbox_plan_done(&s->plan);
	trust_done(&s->trust);
	policy_free(s->own);
	free(s);
	*ret = told;
}
