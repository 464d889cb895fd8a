/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An IP address, what kind of network it belongs to, and text and socket forms of it. Called by
 * dialer and its resolver; decides nothing itself.
 */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	uint8_t size;	   /* bytes: 4 or 16 */
	uint8_t bytes[16]; /* network order; those past size are zero */
};

enum address_kind {
	ADDRESS_PUBLIC,
	ADDRESS_PRIVATE, /* RFC 1918, carrier-grade NAT, unique local */
	ADDRESS_NEVER,	 /* this host (loopback, unspecified) or link-local, metadata services
			    included: no policy opens these */
};

/* An IPv4 address that an IPv6 one stands for (mapped, compatible, 6to4, NAT64) counts. */
enum address_kind address_kind(const struct address *a);

/* Dotted quad of four plain decimal numbers, or IPv6 without brackets or zone. 0 or -EINVAL; an
 * IPv4-mapped IPv6 address becomes the IPv4 one. */
int address_parse(const char *text, struct address *ret);
/* From a resolver's answer; the same about mapped ones. -EAFNOSUPPORT for other families. */
int address_from_sockaddr(const struct sockaddr *from, struct address *ret);
socklen_t address_to_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *to);
bool address_equal(const struct address *a, const struct address *b);
#endif
