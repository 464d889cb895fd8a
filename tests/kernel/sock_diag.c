/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The witness asks about the sandbox's connections from outside: a SOCK_DIAG socket made in a network
 * namespace answers for that one wherever it is used, and the inode it tells is the one that /proc/PID/fd
 * shows.
 */
#include "kernel.h"
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

/* The inode of the end at own_port of a loopback connection; 0: there is none. */
static uint32_t ask(int netlink, uint16_t own_port, uint16_t peer_port)
{
	struct in_addr loopback = { htonl(INADDR_LOOPBACK) };
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 diag;
	} q = {
		.head = { sizeof(q), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0 },
		.diag = { .sdiag_family = AF_INET,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = ~0u,
			  .id = { .idiag_sport = own_port,
				  .idiag_dport = peer_port,
				  .idiag_src = { loopback.s_addr },
				  .idiag_dst = { loopback.s_addr },
				  .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	union {
		struct nlmsghdr head;
		char bytes[4096];
	} a;
	HOLDS(send(netlink, &q, sizeof(q), 0) == sizeof(q));
	HOLDS(recv(netlink, &a, sizeof(a), 0) > 0);
	if (a.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	return ((const struct inet_diag_msg *)NLMSG_DATA(&a.head))->idiag_inode;
}

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in a;
	socklen_t size = sizeof(a);
	HOLDS(getsockname(fd, (struct sockaddr *)&a, &size) == 0);
	return a;
}

static uint32_t inode_of(int fd)
{
	struct stat st;
	HOLDS(fstat(fd, &st) == 0);
	return (uint32_t)st.st_ino;
}

int main(void)
{
	int pair[2];
	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		enter(CLONE_NEWNET);
		loopback_up();
		int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
		struct sockaddr_in a = address("127.0.0.1", 0);
		int listener = tcp(), client = tcp();
		HOLDS(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		      listen(listener, 1) == 0);
		a = name_of(listener);
		HOLDS(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
		HOLDS(netlink >= 0);
		send_fd(pair[1], netlink);
		send_fd(pair[1], client);
		send_fd(pair[1], listener);
		char byte;
		HOLDS(read(pair[1], &byte, 1) == 0); /* until the other has asked */
		_exit(0);
	}
	close(pair[1]);
	int netlink = receive_fd(pair[0]), client = receive_fd(pair[0]),
	    listener = receive_fd(pair[0]);
	uint16_t own = name_of(client).sin_port, peer = name_of(listener).sin_port;
	HOLDS(ask(netlink, own, peer) == inode_of(client));
	/* About a connection that is not there it answers with a listening socket of that port: not to be believed. */
	HOLDS(ask(netlink, peer, htons(1)) == inode_of(listener));
	HOLDS(ask(netlink, htons(1), peer) == 0);
	int outside = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	HOLDS(outside >= 0 && ask(outside, own, peer) != inode_of(client));
	close(pair[0]);
	wait_good(pid);
	return holds("SOCK_DIAG answers for the network namespace that its socket was made in");
}
