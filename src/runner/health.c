/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a server for its health. */
#include "runner/health.h"
#include "base/cleanup.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

union any_address {
	struct sockaddr any;
	struct sockaddr_un unix_path;
	struct sockaddr_in inet;
};

static int parse_address(const char *address, union any_address *to, socklen_t *size)
{
	memset(to, 0, sizeof(*to));
	if (!strncmp(address, "unix:", 5)) {
		if (strlen(address + 5) >= sizeof(to->unix_path.sun_path))
			return -ENAMETOOLONG;
		to->unix_path.sun_family = AF_UNIX;
		snprintf(to->unix_path.sun_path, sizeof(to->unix_path.sun_path), "%s", address + 5);
		*size = sizeof(to->unix_path);
		return 0;
	}
	char host[INET_ADDRSTRLEN];
	const char *colon = strrchr(address, ':');
	if (!colon || (size_t)(colon - address) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
	to->inet.sin_family = AF_INET;
	to->inet.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	*size = sizeof(to->inet);
	return inet_pton(AF_INET, host, &to->inet.sin_addr) == 1 ? 0 : -EINVAL;
}

static int wait_for(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r = poll(&p, 1, ms);
	return r < 0 ? -errno : r == 0 ? -EAGAIN : 0;
}

static int connect_to(const char *address, int ms)
{
	union any_address to;
	socklen_t size;
	int r = parse_address(address, &to, &size);
	if (r < 0)
		return r;
	_cleanup_close_ int fd =
		socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &to.any, size) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		r = wait_for(fd, POLLOUT, ms);
		int failure = 0;
		socklen_t n = sizeof(failure);
		if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &n) < 0)
			r = -errno;
		if (r == 0)
			r = -failure;
		if (r < 0)
			return r;
	}
	return TAKE_FD(fd);
}

int health_ask(const char *address, int ms, unsigned *ret_status)
{
	static const char request[] =
		"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
	_cleanup_close_ int fd = connect_to(address, ms);
	if (fd < 0)
		return fd;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
		return -EAGAIN;
	char line[sizeof("HTTP/1.1 200")] = "";
	for (size_t have = 0; have < sizeof(line) - 1;) {
		int r = wait_for(fd, POLLIN, ms);
		if (r < 0)
			return r;
		ssize_t n = recv(fd, line + have, sizeof(line) - 1 - have, 0);
		if (n < 0)
			return errno == ECONNRESET ? -EAGAIN : -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	unsigned status = 0;
	if (!strncmp(line, "HTTP/1.", 7) && line[7] && line[8] == ' ')
		status = (unsigned)strtoul(line + 9, NULL, 10);
	if (status == 200)
		return 0;
	*ret_status = status;
	return -EPROTO;
}
