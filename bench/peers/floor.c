/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel alone costs: one recv and one send of a made-up answer per request, looking at nothing. No server on
 * these system calls can be faster, so the rest can be read against it. floor PORT TOKEN FOLDER, where FOLDER
 * holds `body`; the token is not looked at.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char answer[65536 + 256], in[65536];

static size_t make_answer(void)
{
	static char body[65536];
	FILE *f = fopen("body", "r");
	if (!f)
		exit(1);
	size_t n = fread(body, 1, sizeof(body) - 1, f);
	fclose(f);
	return (size_t)snprintf(answer, sizeof(answer),
				"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
				n, body);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event events[64], e = { .events = EPOLLIN };
	if (argc != 4 || chdir(argv[3]) < 0)
		return 2;
	size_t n = make_answer();
	a.sin_port = htons((unsigned short)strtoul(argv[1], NULL, 10));
	int listener = socket(AF_INET, SOCK_STREAM, 0), ep = epoll_create1(0), on = 1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	e.data.fd = listener;
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 512) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0)
		return 1;
	for (;;) {
		int ready = epoll_wait(ep, events, 64, -1);
		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				e.data.fd = accept(listener, NULL, NULL);
				setsockopt(e.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
				epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
			} else if (recv(fd, in, sizeof(in), 0) <= 0 ||
				   send(fd, answer, n, MSG_NOSIGNAL) != (ssize_t)n) {
				close(fd);
			}
		}
	}
}
