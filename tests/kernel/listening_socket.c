/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native sandbox needs no interface to the host: a listening socket made in its network namespace is
 * handed out of it.
 */
#include "kernel.h"

int main(void)
{
	int pair[2];
	char byte;
	struct sockaddr_in a = address("127.0.0.1", 3128);
	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		enter(CLONE_NEWNET);
		loopback_up();
		int listener = tcp(), client = tcp();
		HOLDS(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		      listen(listener, 1) == 0);
		send_fd(pair[1], listener);
		close(listener);
		HOLDS(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
		HOLDS(write(client, "x", 1) == 1 && read(client, &byte, 1) == 1 && byte == 'y');
		_exit(0);
	}
	close(pair[1]);
	int listener = receive_fd(pair[0]);
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	HOLDS(client >= 0 && read(client, &byte, 1) == 1 && byte == 'x');
	HOLDS(write(client, "y", 1) == 1);
	wait_good(pid);
	return holds("a listening socket belongs to the network namespace that it was made in, "
		     "whoever accepts on it");
}
