/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays between two terminals. The command never gets the user's own: on that it could change settings that
 * outlive it, read what is typed for the shell behind it, or be given a TIOCSTI by a kernel whose filter we
 * did not write. On its own terminal it has job control as on any other.
 */
#include "sandbox/terminal.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>

/* The user's terminal again, with a file status of our own: that of fd is shared with the shell and whoever else
 * has it, and must keep waiting. Where it may not be opened (another user's), fd itself. */
static int reopen(int fd, int mode)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, mode | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* What the user's terminal does by itself, the command's does not do again. */
static struct termios settings(const struct terminal *t)
{
	struct termios its = t->before;
	if (!t->raw) {
		its.c_oflag &= ~(tcflag_t)OPOST;
		its.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	}
	return its;
}

static int make(struct terminal *t)
{
	_cleanup_close_ int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (ours < 0 || grantpt(ours) < 0 || unlockpt(ours) < 0)
		return -errno;
	_cleanup_close_ int theirs = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios its = settings(t);
	if (theirs < 0 || tcsetattr(theirs, TCSANOW, &its) < 0)
		return -errno;
	t->ours = TAKE_FD(ours);
	t->theirs = TAKE_FD(theirs);
	return 0;
}

int terminal_open(struct terminal *t, int fds[3])
{
	bool is[3];
	for (int i = 0; i < 3; i++)
		is[i] = isatty(fds[i]);
	if (!is[0] && !is[1] && !is[2])
		return 0;
	int out = is[1] ? fds[1] : is[2] ? fds[2] : fds[0];
	t->raw = is[0] && is[1];
	if (tcgetattr(is[0] ? fds[0] : out, &t->before) < 0)
		return -errno;
	t->out = reopen(out, O_WRONLY);
	t->in = is[0] ? reopen(fds[0], O_RDONLY) : -1;
	int r = make(t);
	if (r < 0)
		return r;
	terminal_resize(t);
	for (int i = 0; i < 3; i++)
		fds[i] = is[i] ? t->theirs : fds[i];
	return 0;
}

bool terminal_controls(const struct terminal *t)
{
	return t->theirs >= 0 && t->in >= 0;
}

void terminal_resize(struct terminal *t)
{
	struct winsize size;
	if (t->ours >= 0 && ioctl(t->in >= 0 ? t->in : t->out, TIOCGWINSZ, &size) == 0)
		(void)ioctl(t->ours, TIOCSWINSZ, &size);
}

static bool in_foreground(int fd)
{
	return tcgetpgrp(fd) == getpgrp();
}

void terminal_begin(struct terminal *t, bool keep_signals)
{
	struct termios raw = t->before;
	if (t->theirs >= 0)
		close(TAKE_FD(t->theirs));
	if (t->in >= 0 && keep_signals && !in_foreground(t->in)) {
		close(TAKE_FD(t->in));
		t->raw = false;
	}
	if (!t->raw)
		return;
	cfmakeraw(&raw);
	if (keep_signals) {
		raw.c_lflag |= ISIG;
		/* Stopping us would not stop the command, and leave the terminal like this. */
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;
	}
	(void)tcsetattr(t->in, TCSANOW, &raw);
}

/* ---- passing on ---- */

void terminal_poll(const struct terminal *t, struct pollfd p[TERMINAL_POLLS])
{
	p[0] = t->n_held ? (struct pollfd){ .fd = t->out, .events = POLLOUT }
			 : (struct pollfd){ .fd = t->ours, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = t->in, .events = POLLIN };
}

static bool is_passing(int error)
{
	return error == EINTR || error == EAGAIN;
}

static void give_up_output(struct terminal *t)
{
	if (t->out >= 0)
		close(TAKE_FD(t->out));
	t->n_held = 0;
}

/* As much of what is held as the user's terminal takes now. */
static void write_held(struct terminal *t)
{
	ssize_t n = t->out < 0 ? (ssize_t)t->n_held : write(t->out, t->held, t->n_held);
	if (n < 0 && !is_passing(errno))
		give_up_output(t);
	if (n <= 0)
		return;
	t->n_held -= (size_t)n;
	memmove(t->held, t->held + n, t->n_held);
}

/* False when there is nothing more for now, or ever. */
static bool read_more(struct terminal *t)
{
	ssize_t n = read(t->ours, t->held, sizeof(t->held));
	if (n < 0 && is_passing(errno))
		return false;
	if (n <= 0) { /* nobody has the command's end any more */
		close(TAKE_FD(t->ours));
		return false;
	}
	t->n_held = (size_t)n;
	return true;
}

/* A terminal that edits lines delivers what stood there when its end-of-file character was typed: with nothing
 * before it that is the end, which is none for a terminal for good. */
static void pass_typed(struct terminal *t)
{
	char bytes[TERMINAL_PIECE + 1];
	ssize_t n = read(t->in, bytes, TERMINAL_PIECE);
	if (n < 0 && is_passing(errno))
		return;
	bool end = !t->raw && (n == 0 || (n > 0 && bytes[n - 1] != '\n'));
	if (end)
		bytes[n++] = (char)t->before.c_cc[VEOF];
	/* What a command that does not read leaves no room for is dropped, as on any terminal. */
	if (n > 0 && t->ours >= 0)
		(void)!write(t->ours, bytes, (size_t)n);
	if (n <= 0)
		close(TAKE_FD(t->in));
}

void terminal_relay(struct terminal *t, const struct pollfd p[TERMINAL_POLLS])
{
	if (p[0].revents && t->n_held)
		write_held(t);
	else if (p[0].revents && t->ours >= 0 && read_more(t))
		write_held(t);
	if (p[1].revents & ~POLLIN)
		close(TAKE_FD(t->in)); /* it hung up */
	else if (p[1].revents)
		pass_typed(t);
}

/* ---- the end ---- */

void terminal_restore(int fd, const struct termios *modes)
{
	sigset_t set, old;
	if (!in_foreground(fd))
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGTTOU);
	sigprocmask(SIG_BLOCK, &set, &old);
	(void)tcsetattr(fd, TCSANOW, modes);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void terminal_close(struct terminal *t)
{
	while (t->n_held || (t->ours >= 0 && read_more(t))) {
		struct pollfd p = { .fd = t->out, .events = POLLOUT };
		if (t->out >= 0 && poll(&p, 1, -1) < 0 && errno != EINTR)
			give_up_output(t);
		write_held(t);
	}
	if (t->raw && t->in >= 0 && t->theirs < 0)
		terminal_restore(t->in, &t->before);
	int *fds[] = { &t->ours, &t->theirs, &t->in, &t->out };
	for (size_t i = 0; i < ELEMENTS(fds); i++)
		if (*fds[i] >= 0)
			close(TAKE_FD(*fds[i]));
}
