/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of sockets, netlink's families among them. That one can be made says nothing of whom it reaches: network.c does. */
#include "probe/probe.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* A family in the low half, a type in the next bits, a protocol in those above. */
#define KIND(family, type, protocol) ((family) | (type) << 8 | (long)(protocol) << 16)

static void try_socket(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, socket((int)(a->number & 0xff), (int)(a->number >> 8 & 0xff) | SOCK_CLOEXEC,
			     (int)(a->number >> 16)));
}

static const struct attempt attempts[] = {
	{ "unix", try_socket, KIND(AF_UNIX, SOCK_STREAM, 0), NULL },
	{ "inet stream", try_socket, KIND(AF_INET, SOCK_STREAM, 0), NULL },
	{ "inet datagram", try_socket, KIND(AF_INET, SOCK_DGRAM, 0), NULL },
	{ "inet ping", try_socket, KIND(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), NULL },
	{ "inet raw", try_socket, KIND(AF_INET, SOCK_RAW, IPPROTO_ICMP), NULL },
	{ "inet6 stream", try_socket, KIND(AF_INET6, SOCK_STREAM, 0), NULL },
	{ "inet6 datagram", try_socket, KIND(AF_INET6, SOCK_DGRAM, 0), NULL },
	{ "inet6 ping", try_socket, KIND(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6), NULL },
	{ "inet6 raw", try_socket, KIND(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), NULL },
	{ "packet raw", try_socket, KIND(AF_PACKET, SOCK_RAW, 0), NULL },
	{ "packet datagram", try_socket, KIND(AF_PACKET, SOCK_DGRAM, 0), NULL },
	{ "vsock", try_socket, KIND(AF_VSOCK, SOCK_STREAM, 0), NULL },
	{ "bluetooth", try_socket, KIND(AF_BLUETOOTH, SOCK_RAW, 1), NULL },
	{ "alg", try_socket, KIND(AF_ALG, SOCK_SEQPACKET, 0), NULL },
	{ "key", try_socket, KIND(AF_KEY, SOCK_RAW, 2), NULL },
	{ "can", try_socket, KIND(AF_CAN, SOCK_RAW, 1), NULL },
	{ "tipc", try_socket, KIND(AF_TIPC, SOCK_SEQPACKET, 0), NULL },
	{ "xdp", try_socket, KIND(AF_XDP, SOCK_RAW, 0), NULL },
};

const struct attempt_group group_sockets = { "sockets", attempts, ELEMENTS(attempts),
					     LIMIT_PROBE_SECONDS };

#define NETLINK(protocol) KIND(AF_NETLINK, SOCK_RAW, protocol)

static const struct attempt netlink[] = {
	{ "route", try_socket, NETLINK(NETLINK_ROUTE), NULL },
	{ "usersock", try_socket, NETLINK(NETLINK_USERSOCK), NULL },
	{ "firewall", try_socket, NETLINK(NETLINK_FIREWALL), NULL },
	{ "sock_diag", try_socket, NETLINK(NETLINK_SOCK_DIAG), NULL },
	{ "nflog", try_socket, NETLINK(NETLINK_NFLOG), NULL },
	{ "xfrm", try_socket, NETLINK(NETLINK_XFRM), NULL },
	{ "selinux", try_socket, NETLINK(NETLINK_SELINUX), NULL },
	{ "iscsi", try_socket, NETLINK(NETLINK_ISCSI), NULL },
	{ "audit", try_socket, NETLINK(NETLINK_AUDIT), NULL },
	{ "fib_lookup", try_socket, NETLINK(NETLINK_FIB_LOOKUP), NULL },
	{ "connector", try_socket, NETLINK(NETLINK_CONNECTOR), NULL },
	{ "netfilter", try_socket, NETLINK(NETLINK_NETFILTER), NULL },
	{ "ip6_fw", try_socket, NETLINK(NETLINK_IP6_FW), NULL },
	{ "dnrtmsg", try_socket, NETLINK(NETLINK_DNRTMSG), NULL },
	{ "kobject_uevent", try_socket, NETLINK(NETLINK_KOBJECT_UEVENT), NULL },
	{ "generic", try_socket, NETLINK(NETLINK_GENERIC), NULL },
	{ "scsitransport", try_socket, NETLINK(NETLINK_SCSITRANSPORT), NULL },
	{ "ecryptfs", try_socket, NETLINK(NETLINK_ECRYPTFS), NULL },
	{ "rdma", try_socket, NETLINK(NETLINK_RDMA), NULL },
	{ "crypto", try_socket, NETLINK(NETLINK_CRYPTO), NULL },
	{ "smc", try_socket, NETLINK(NETLINK_SMC), NULL },
};

const struct attempt_group group_netlink = { "netlink", netlink, ELEMENTS(netlink),
					     LIMIT_PROBE_SECONDS };
