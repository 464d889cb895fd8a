/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver process: a few threads, each blocked in getaddrinfo() or on the one channel, from
 * which the kernel gives each question to one of them.
 */
#include "proxy/resolve.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "jail/confine.h"
#include "proxy/address.h"
#include "proxy/messages.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#define THREAD_STACK_BYTES (512 * 1024) /* a struct msg and what getaddrinfo() wants */

/* The addresses of a name, each once; their number, 0 when it has none. */
static unsigned resolve(const char *host, struct address out[RESOLVE_ADDRESSES_MAX])
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC };
	struct addrinfo *list = NULL;
	unsigned n = 0;
	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return 0;
	for (const struct addrinfo *i = list; i && n < RESOLVE_ADDRESSES_MAX; i = i->ai_next) {
		struct address a;
		bool known = address_from_sockaddr(i->ai_addr, &a) < 0;
		for (unsigned k = 0; k < n && !known; k++)
			known = address_equal(&a, &out[k]);
		if (!known)
			out[n++] = a;
	}
	freeaddrinfo(list);
	return n;
}

static void *work(void *arg)
{
	int channel = *(const int *)arg;
	struct address found[RESOLVE_ADDRESSES_MAX];
	struct msg *m = malloc(sizeof(*m));
	if (!m)
		_exit(EXIT_FAILURE);
	while (msg_recv(channel, &sandbox_messages, SANDBOX_ROLE_DIALER, m) == 0 &&
	       m->type->type == SANDBOX_RESOLVE) {
		unsigned n = resolve(m->field[0].text, found);
		msg_begin(m, &sandbox_messages, SANDBOX_RESOLVED, m->seq);
		msg_put_b(m, found, n * sizeof(found[0]));
		if (msg_send(channel, m) < 0)
			break;
	}
	_exit(EXIT_SUCCESS); /* dialer is gone: so are we, all threads */
}

/* Name resolution reads the host's files and loads its modules, whatever those are: an unused uid, no
 * capabilities, and those folders to read. */
static int drop(void)
{
	static const struct jail_landlock_rule rules[] = {
		{ .path = "/etc", .optional = true },
		{ .path = "/usr", .optional = true },
		{ .path = "/lib", .optional = true },
		{ .path = "/lib64", .optional = true },
		{ .path = "/run/systemd/resolve", .optional = true },
		{ .path = "/run/nscd", .optional = true },
		{ .path = "/run/resolvconf", .optional = true },
		{ .path = "/var/lib/misc", .optional = true },
	};
	static const struct jail_landlock landlock = { .rules = rules, .n_rules = ELEMENTS(rules) };
	struct jail_confine confine = { .keep_network = true, .keep_root = true };
	struct error e = { 0 };
	if (jail_landlock_version() > 0)
		confine.landlock = &landlock;
	int r = jail_confine_self(&confine, &e);
	if (r < 0)
		log_error("the resolver cannot give up rights: %s", e.message);
	return r;
}

static _Noreturn void serve(int channel)
{
	pthread_attr_t attributes;
	pthread_t thread;
	prctl(PR_SET_NAME, "resolver");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(channel, 3) < 0 ||
	    close_range(4, ~0u, 0) < 0 || drop() < 0)
		_exit(EXIT_FAILURE);
	channel = 3;
	/* Most sandboxes never ask for a name: the threads are made when the first question is there, or its end. */
	struct pollfd question = { .fd = channel, .events = POLLIN };
	while (poll(&question, 1, -1) < 0 && errno == EINTR)
		;
	if (question.revents & POLLHUP)
		_exit(EXIT_SUCCESS);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	unsigned n = 0;
	while (n < RESOLVE_THREADS && pthread_create(&thread, &attributes, work, &channel) == 0)
		n++; /* fewer do, too */
	if (n == 0)
		work(&channel);
	/* All may be waiting for slow names when dialer ends, whose death cannot signal another user's process. */
	question.events = 0;
	while (poll(&question, 1, -1) < 0 && errno == EINTR)
		;
	_exit(EXIT_SUCCESS);
}

int resolver_start(int *ret_channel)
{
	int pair[2];
	int r = fd_seqpacket_pair(pair);
	if (r < 0)
		return r;
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		serve(pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		r = -errno;
		close(pair[0]);
		return r;
	}
	*ret_channel = pair[0];
	return 0;
}
