/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets of `postern serve`. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/limit.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Whether to try again: the processes of a server that was just killed take a moment to be gone. */
static bool again(uint64_t end)
{
	return clock_monotonic_ms() < end && poll(NULL, 0, 20) == 0;
}

int serve_listen_tcp(const char *address, unsigned port, int *ret_fd, unsigned *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	socklen_t len = sizeof(a);
	int on = 1;
	if (inet_pton(AF_INET, address, &a.sin_addr) != 1) {
		log_error("--bind-address takes an IPv4 address such as 127.0.0.1, not '%.64s'",
			  address);
		return EXIT_USAGE;
	}
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	uint64_t end = clock_monotonic_ms() + LIMIT_TAKE_OVER_MS;
	int r;
	do
		r = fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		    /* inherited by accepted ones: a stream's small pieces must not wait for acknowledgements */
		    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		    bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		    listen(fd, LIMIT_ACCEPT_QUEUE) < 0 ||
		    getsockname(fd, (struct sockaddr *)&a, &len) < 0;
	while (r && errno == EADDRINUSE && again(end));
	if (r) {
		log_error("cannot listen on %s:%u: %s%s", address, port, strerror(errno),
			  errno == EADDRINUSE ? "; choose another port, or 0 for a free one" : "");
		return EXIT_PORT_TAKEN;
	}
	*ret_port = ntohs(a.sin_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* A socket that a dead server left is replaced; one that somebody listens on, or anything else of that name, is not. */
static int free_path(const struct sockaddr_un *a)
{
	struct stat st;
	if (lstat(a->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	_cleanup_close_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return -errno;
	if (connect(probe, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a->sun_path) < 0 ? -errno : 0;
}

int serve_listen_unix(const char *path, int *ret_fd)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(a.sun_path)) {
		log_error("a socket's path has 1 to %zu bytes, not %zu: '%.120s'",
			  sizeof(a.sun_path) - 1, strlen(path), path);
		return EXIT_USAGE;
	}
	memcpy(a.sun_path, path, strlen(path));
	uint64_t end = clock_monotonic_ms() + LIMIT_TAKE_OVER_MS;
	int r;
	do
		r = free_path(&a);
	while (r == -EADDRINUSE && again(end));
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r == 0 && (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		       listen(fd, LIMIT_ACCEPT_QUEUE) < 0))
		r = -errno;
	if (r < 0) {
		log_error("cannot listen on %s: %s%s", path, strerror(-r),
			  r == -EADDRINUSE ? "; another server uses it"
			  : r == -EEXIST   ? "; something else than a socket has that name"
					   : "");
		return EXIT_PORT_TAKEN;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}
