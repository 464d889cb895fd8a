/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server behind the proxies of passage.py, as light as one can be: origin BYTES FD..., each FD a listening socket. Answers a
 * path that ends in "/bulk" with BYTES bytes, one that ends in "/held" with the beginning of such an answer and nothing more,
 * others with the same short one; reads and forgets bodies. Each request's head comes in one piece from whom it serves.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX	   65536
#define SMALL_BODY 460 /* as a job's JSON */

static char in[1 << 20], small[1024], bulk_head[256];
static size_t small_len, bulk_head_len, bulk;
static long left[FDS_MAX]; /* of a connection's body; of a listening socket -1 */
static int file, ep;

static size_t make_head(char *out, size_t size, size_t length)
{
	return (size_t)snprintf(out, size,
				"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
				length);
}

static void watch(int fd, long what)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
	left[fd] = what;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		exit(1);
}

static bool ends(const char *path, const char *end, const char *with)
{
	size_t n = strlen(with);
	return (size_t)(end - path) >= n && !memcmp(end - n, with, n);
}

static bool send_all(int fd, const char *bytes, size_t n)
{
	return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool send_bulk(int fd, size_t n)
{
	off_t at = 0;
	if (!send_all(fd, bulk_head, bulk_head_len))
		return false;
	while ((size_t)at < n)
		if (sendfile(fd, file, &at, n - (size_t)at) <= 0)
			return false;
	return true;
}

/* The head's n bytes are in `in`; false when the connection is to be closed. */
static bool answer(int fd, size_t n)
{
	in[n] = '\0';
	const char *path = memchr(in, ' ', n), *end = path ? strchr(path + 1, ' ') : NULL;
	if (!end)
		return false;
	const char *length = strcasestr(in, "\r\nContent-Length:"), *body = strstr(in, "\r\n\r\n");
	if (length && body && length < body)
		left[fd] = strtol(length + 17, NULL, 10) - (long)(n - (size_t)(body + 4 - in));
	if (left[fd] > 0)
		return true;
	if (ends(path, end, "/bulk"))
		return send_bulk(fd, bulk);
	if (ends(path, end, "/held"))
		return send_bulk(fd, SMALL_BODY);
	return send_all(fd, small, small_len);
}

static bool serve(int fd)
{
	/* A body is read and thrown away, without a copy. */
	ssize_t n = recv(fd, in, sizeof(in) - 1, left[fd] > 0 ? MSG_TRUNC : 0);
	if (n <= 0)
		return false;
	if (left[fd] <= 0)
		return answer(fd, (size_t)n);
	left[fd] -= n;
	return left[fd] > 0 || send_all(fd, small, small_len);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int on = 1;
	bulk = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	file = memfd_create("bulk", 0);
	ep = epoll_create1(0);
	if (bulk < SMALL_BODY || file < 0 || ep < 0 || ftruncate(file, (off_t)bulk) < 0)
		return 2;
	bulk_head_len = make_head(bulk_head, sizeof(bulk_head), bulk);
	small_len = make_head(small, sizeof(small), SMALL_BODY);
	memset(small + small_len, 'x', SMALL_BODY);
	small_len += SMALL_BODY;
	for (int i = 2; i < argc; i++)
		watch(atoi(argv[i]), -1);
	for (;;) {
		int ready = epoll_wait(ep, events, 64, -1);
		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;
			if (left[fd] >= 0 && !serve(fd))
				close(fd);
			if (left[fd] >= 0)
				continue;
			fd = accept(fd, NULL, NULL);
			if (fd < 0 || fd >= FDS_MAX)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			watch(fd, 0);
		}
	}
}
