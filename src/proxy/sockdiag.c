/* SPDX-License-Identifier: Apache-2.0 */
/* One exact SOCK_DIAG question and its answer. */
#include "proxy/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

union answer {
	struct nlmsghdr header;
	char bytes[2048];
};

/* One address of an answer, which is mapped (::ffff:a.b.c.d) when an IPv6 socket speaks IPv4. */
static bool same_address(const struct inet_diag_msg *d, const __be32 *got,
			 const struct inet_diag_req_v2 *asked, const __be32 *want)
{
	if (d->idiag_family == asked->sdiag_family)
		return !memcmp(got, want, 4 * sizeof(*got));
	return asked->sdiag_family == AF_INET && d->idiag_family == AF_INET6 && got[0] == 0 &&
	       got[1] == 0 && got[2] == htonl(0xffff) && got[3] == want[0];
}

/* Where there is no such connection, the kernel answers with a listening socket of the same port. */
static bool is_about(const struct inet_diag_msg *d, const struct inet_diag_req_v2 *asked)
{
	const struct inet_diag_sockid *id = &asked->id;
	return d->id.idiag_sport == id->idiag_sport && d->id.idiag_dport == id->idiag_dport &&
	       same_address(d, d->id.idiag_src, asked, id->idiag_src) &&
	       same_address(d, d->id.idiag_dst, asked, id->idiag_dst);
}

static int receive(int netlink, const struct question *q, uint32_t *ret_inode)
{
	union answer a;
	for (;;) {
		ssize_t n = recv(netlink, &a, sizeof(a), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!NLMSG_OK(&a.header, (size_t)n))
			return -EPROTO;
		if (a.header.nlmsg_seq != q->header.nlmsg_seq)
			continue; /* the late answer to a question that failed half-way */
		if (a.header.nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(&a.header);
			return e->error ? e->error : -EPROTO;
		}
		if (a.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
		    a.header.nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			return -EPROTO;
		const struct inet_diag_msg *d = NLMSG_DATA(&a.header);
		if (d->idiag_inode == 0 || !is_about(d, &q->diag))
			return -ENOENT;
		*ret_inode = d->idiag_inode;
		return 0;
	}
}

int sockdiag_inode(int netlink, size_t size, const struct sock_end *own,
		   const struct sock_end *peer, uint32_t *ret_inode)
{
	static uint32_t seq;
	struct question q = {
		.header = { .nlmsg_len = sizeof(q),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST, /* not NLM_F_DUMP: exactly one socket */
			    .nlmsg_seq = ++seq },
		.diag = { .sdiag_family = size == 16 ? AF_INET6 : AF_INET,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = ~0u,
			  .id = { .idiag_sport = htons(own->port),
				  .idiag_dport = htons(peer->port),
				  .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	if (size != 4 && size != 16)
		return -EINVAL;
	memcpy(q.diag.id.idiag_src, own->address, size);
	memcpy(q.diag.id.idiag_dst, peer->address, size);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t n;
	do
		n = sendto(netlink, &q, sizeof(q), 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : receive(netlink, &q, ret_inode);
}
