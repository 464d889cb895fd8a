/* SPDX-License-Identifier: Apache-2.0 */
/* The loopback interface of a fresh network namespace, by netlink. */
#include "base/cleanup.h"
#include "jail/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct rtmsg route;
	};
	char attributes[64];
};

static void add_attribute(struct request *q, unsigned short type, const void *value, size_t n)
{
	size_t at = NLMSG_ALIGN(q->head.nlmsg_len);
	struct rtattr *a = (struct rtattr *)((char *)q + at);
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), value, n);
	q->head.nlmsg_len = (uint32_t)(at + RTA_ALIGN(a->rta_len));
}

/* Send one request and wait for its acknowledgement. */
static int ask(int fd, struct request *q)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	q->head.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (sendto(fd, q, q->head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	char answer[1024] __attribute__((aligned(8)));
	ssize_t n = recv(fd, answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
	if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || head->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
}

static int link_up(int fd, unsigned lo)
{
	struct request q = {
		.head = { .nlmsg_type = RTM_NEWLINK,
			  .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)) },
		.link = { .ifi_index = (int)lo, .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
	};
	return ask(fd, &q);
}

static int add_address(int fd, unsigned lo, const struct jail_address *a)
{
	struct in_addr address;
	if (inet_pton(AF_INET, a->address, &address) != 1 || a->prefix > 32)
		return -EINVAL;
	struct request q = {
		.head = { .nlmsg_type = RTM_NEWADDR,
			  .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL,
			  .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)) },
		.address = { .ifa_family = AF_INET,
			     .ifa_prefixlen = (uint8_t)a->prefix,
			     .ifa_index = lo },
	};
	add_attribute(&q, IFA_LOCAL, &address, sizeof(address));
	add_attribute(&q, IFA_ADDRESS, &address, sizeof(address));
	return ask(fd, &q);
}

/* Whatever is not an address of ours is "here", where nobody listens: refused at once. */
static int add_local_default(int fd, unsigned lo)
{
	struct request q = {
		.head = { .nlmsg_type = RTM_NEWROUTE,
			  .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL,
			  .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)) },
		.route = { .rtm_family = AF_INET,
			   .rtm_table = RT_TABLE_LOCAL,
			   .rtm_protocol = RTPROT_BOOT,
			   .rtm_scope = RT_SCOPE_HOST,
			   .rtm_type = RTN_LOCAL },
	};
	add_attribute(&q, RTA_OIF, &lo, sizeof(lo));
	return ask(fd, &q);
}

int net_up(const struct jail_spec *spec, struct error *e)
{
	if (!spec->lo)
		return 0;
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned lo = if_nametoindex("lo");
	if (fd < 0 || !lo)
		return error_set(e, errno, "no loopback interface in a new network namespace: %s",
				 strerror(errno));
	int r = link_up(fd, lo);
	for (unsigned i = 0; r == 0 && i < spec->n_addresses; i++)
		r = add_address(fd, lo, &spec->addresses[i]);
	if (r == 0 && spec->local_default)
		r = add_local_default(fd, lo);
	return r < 0 ? error_set(e, -r, "cannot set up the jail's loopback: %s", strerror(-r)) : 0;
}
