/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's connections past the proxy fail at once: without any route as unreachable, with "local default
 * dev lo" as refused.
 */
#include "kernel.h"

static void add_local_default(void)
{
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr attribute;
		unsigned lo;
	} q = {
		.head = { sizeof(q), RTM_NEWROUTE,
			  NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 1, 0 },
		.route = { .rtm_family = AF_INET,
			   .rtm_table = RT_TABLE_LOCAL,
			   .rtm_protocol = RTPROT_BOOT,
			   .rtm_scope = RT_SCOPE_HOST,
			   .rtm_type = RTN_LOCAL },
		.attribute = { RTA_LENGTH(sizeof(unsigned)), RTA_OIF },
		.lo = if_nametoindex("lo"),
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	HOLDS(fd >= 0 && send(fd, &q, sizeof(q), 0) == sizeof(q));
	HOLDS(recv(fd, &answer, sizeof(answer), 0) >= (ssize_t)sizeof(answer) &&
	      answer.error.error == 0);
	close(fd);
}

int main(void)
{
	struct sockaddr_in there = address("192.0.2.1", 80),
			   metadata = address("169.254.169.254", 80);
	enter(CLONE_NEWNET);
	loopback_up();
	REFUSED(connect(tcp(), (struct sockaddr *)&there, sizeof(there)), ENETUNREACH);
	add_local_default();
	alarm(5); /* "at once" */
	REFUSED(connect(tcp(), (struct sockaddr *)&there, sizeof(there)), ECONNREFUSED);
	REFUSED(connect(tcp(), (struct sockaddr *)&metadata, sizeof(metadata)), ECONNREFUSED);
	return holds("without a route: unreachable; with local default dev lo: refused at once");
}
