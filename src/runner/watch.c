/* SPDX-License-Identifier: Apache-2.0 */
/* Waits for processes, signals and time at once. */
#include "runner/watch.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

static void our_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGWINCH);
}

int watch_init(struct watch *w)
{
	sigset_t set;
	*w = (struct watch){ .signal_fd = -1, .control_fd = -1 };
	our_signals(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return w->signal_fd < 0 ? -errno : 0;
}

void watch_done(struct watch *w)
{
	sigset_t set;
	our_signals(&set);
	if (w->signal_fd >= 0)
		close(w->signal_fd);
	w->signal_fd = -1;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void read_signals(struct watch *w)
{
	struct signalfd_siginfo info;
	while (read(w->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH) {
			if (w->terminal)
				terminal_resize(w->terminal);
			continue;
		}
		w->signals++;
		w->last_signal = (int)info.ssi_signo;
	}
}

/* Milliseconds for poll; rounded so that the deadline is never met early. */
static int remaining(uint64_t deadline_ms)
{
	if (!deadline_ms)
		return -1;
	uint64_t now = clock_monotonic_ms();
	if (now >= deadline_ms)
		return 0;
	return deadline_ms - now > INT_MAX ? INT_MAX : (int)(deadline_ms - now);
}

/* The index of the server that has ended, or n_servers. */
static unsigned find_dead(const struct watch *w, const struct pollfd *servers)
{
	unsigned i = 0;
	while (i < w->n_servers && !servers[i].revents)
		i++;
	return i;
}

enum watch_event watch_wait(struct watch *w, int pidfd, uint64_t deadline_ms)
{
	static const struct terminal none = TERMINAL_INIT;
	for (;;) {
		struct pollfd fds[3 + TERMINAL_POLLS + LIMIT_HARNESS_SERVERS] = {
			{ .fd = pidfd, .events = POLLIN },
			{ .fd = w->signal_fd, .events = POLLIN },
			{ .fd = w->control_fd, .events = POLLIN },
		};
		struct pollfd *terminal = fds + 3, *servers = terminal + TERMINAL_POLLS;
		terminal_poll(w->terminal ? w->terminal : &none, terminal);
		for (unsigned i = 0; i < w->n_servers; i++)
			servers[i] = (struct pollfd){ .fd = w->server_fds[i], .events = POLLIN };
		int ms = w->signals > w->tolerated ? 0 : remaining(deadline_ms);
		int n = poll(fds, 3 + TERMINAL_POLLS + w->n_servers, ms);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return WATCH_FAILED;
		if (fds[0].revents)
			return WATCH_ENDED;
		if (fds[1].revents)
			read_signals(w);
		if (w->signals > w->tolerated)
			return WATCH_SIGNAL;
		if (w->terminal)
			terminal_relay(w->terminal, terminal);
		w->dead_server = find_dead(w, servers);
		if (w->dead_server < w->n_servers)
			return WATCH_SERVER;
		if (fds[2].revents)
			return WATCH_CONTROL;
		if (deadline_ms && clock_monotonic_ms() >= deadline_ms)
			return WATCH_DEADLINE;
	}
}
