/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the kernel, through a SOCK_DIAG netlink socket, which inode the TCP socket with exactly
 * these two ends has, in the network namespace that the netlink socket was made in. Called by
 * witness; never lists sockets, never closes one.
 */
#ifndef POSTERN_SOCKDIAG_H
#define POSTERN_SOCKDIAG_H
#include <stddef.h>
#include <stdint.h>

struct sock_end {
	uint8_t address[16]; /* network order; IPv4 uses the first four bytes */
	uint16_t port;	     /* host order */
};

/* `size` is 4 (IPv4) or 16 (IPv6): bytes of both addresses. `own` is the end of the socket that is
 * asked about; a `peer` of zeroes asks for the one that listens there. An IPv6 socket that speaks IPv4
 * is found by its IPv4 addresses. 0; -ENOENT when there is no such socket or no process has it open any more
 * (TIME-WAIT, orphaned); other -errno. */
int sockdiag_inode(int netlink, size_t size, const struct sock_end *own,
		   const struct sock_end *peer, uint32_t *ret_inode);
#endif
