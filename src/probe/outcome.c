/* SPDX-License-Identifier: Apache-2.0 */
/* What attempts share: from errno to an outcome, namespaces of their own, a bystander, other programs. */
#include "probe/probe.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static bool says_absent(int error)
{
	static const int absent[] = { ENOSYS, EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT,
				      ENOENT, ENODEV,	    ENXIO,	     ENOTDIR };
	for (size_t i = 0; i < ELEMENTS(absent); i++)
		if (error == absent[i])
			return true;
	return false;
}

void outcome_of(struct outcome *o, long r)
{
	if (r >= 0)
		return;
	o->error = errno;
	o->state = says_absent(errno) ? ABSENT : REFUSED;
}

void outcome_through(struct outcome *o, long r, int through)
{
	outcome_of(o, r);
	if (r < 0 && o->error == through)
		o->state = POSSIBLE;
}

void outcome_untried(struct outcome *o, const char *why)
{
	o->state = UNTRIED;
	o->error = 0;
	snprintf(o->detail, sizeof(o->detail), "%s", why);
}

void outcome_absent(struct outcome *o, const char *why)
{
	o->state = ABSENT;
	snprintf(o->detail, sizeof(o->detail), "%s", why);
}

void outcome_detail(struct outcome *o, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(o->detail, sizeof(o->detail), format, list);
	va_end(list);
}

/* ---- namespaces of its own ---- */

bool own_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

bool own_user(void)
{
	char uids[32], gids[32];
	snprintf(uids, sizeof(uids), "0 %u 1", geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", getegid());
	if (unshare(CLONE_NEWUSER) < 0)
		return false;
	(void)write_text("/proc/self/setgroups", "deny");
	return write_text("/proc/self/uid_map", uids) && write_text("/proc/self/gid_map", gids);
}

pid_t bystander(void)
{
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return child;
}

/* ---- other programs ---- */

bool find_program(const char *name, char *path, size_t size)
{
	const char *p = getenv("PATH");
	for (p = p ? p : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"; *p;) {
		size_t n = strcspn(p, ":");
		int len = snprintf(path, size, "%.*s/%s", (int)n, p, name);
		if (n && len > 0 && (size_t)len < size && access(path, X_OK) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

/* The errno whose text is in it, whatever case it is in. */
static int error_in(const char *text)
{
	for (int error = 1; error < 134; error++)
		if (strerrorname_np(error) && strcasestr(text, strerror(error)))
			return error;
	return 0;
}

static bool is_warning(const char *line)
{
	return strstr(line, "level=warn") || !strncmp(line, "WARN", 4);
}

/* The line that says why: the first that has an errno's text in it, else the first that speaks of an error, else the last; without
 * what would steer a terminal. */
static void say_why(char *text, struct outcome *o)
{
	const char *speaks = NULL, *last = "";
	char *rest = text;
	for (char *line; !o->error && (line = strsep(&rest, "\n"));) {
		if (line[strspn(line, " \t\r")] == '\0' || is_warning(line))
			continue;
		last = line;
		speaks = speaks ? speaks : strcasestr(line, "error") ? line : NULL;
		o->error = error_in(line);
	}
	outcome_detail(o, "%s", o->error || !speaks ? last : speaks);
	for (char *c = o->detail; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = ' ';
}

void outcome_of_program(struct outcome *o, const char *const *argv, const char *const *envp)
{
	static char text[64 * 1024];
	int pair[2], status = 0;
	size_t used = 0;
	if (pipe2(pair, O_CLOEXEC) < 0) {
		outcome_untried(o, "no pipe");
		return;
	}
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_RDONLY);
		if (null > 0)
			dup2(null, 0);
		dup2(pair[1], 1);
		dup2(pair[1], 2);
		execve(argv[0], (char *const *)argv, (char *const *)envp);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(pair[1]);
	for (ssize_t n = 0;
	     child > 0 && (n = read(pair[0], text + used, sizeof(text) - 1 - used)) > 0;) {
		used += (size_t)n;
		if (used > sizeof(text) / 2) { /* the end of it is what matters */
			memmove(text, text + used - 4096, 4096);
			used = 4096;
		}
	}
	text[used] = '\0';
	close(pair[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0) {
		outcome_untried(o, "no process");
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	say_why(text, o);
	o->state = REFUSED;
	if (!*o->detail)
		outcome_detail(o, WIFSIGNALED(status) ? "killed by signal %d" : "exit code %d",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}
