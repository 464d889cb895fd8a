/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds and forms of IP addresses. */
#include "proxy/address.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

struct network {
	uint8_t bits;
	uint8_t kind; /* enum address_kind */
	uint8_t bytes[16];
};

static const struct network v4[] = {
	{ 8, ADDRESS_NEVER, { 0 } },	     /* this host, RFC 1122 */
	{ 8, ADDRESS_NEVER, { 127 } },	     /* loopback */
	{ 16, ADDRESS_NEVER, { 169, 254 } }, /* link-local, RFC 3927 */
	{ 8, ADDRESS_PRIVATE, { 10 } },	     /* RFC 1918 */
	{ 12, ADDRESS_PRIVATE, { 172, 16 } }, { 16, ADDRESS_PRIVATE, { 192, 168 } },
	{ 10, ADDRESS_PRIVATE, { 100, 64 } }, /* carrier-grade NAT, RFC 6598 */
};

static const struct network v6[] = {
	{ 128, ADDRESS_NEVER, { 0 } },	       /* unspecified */
	{ 128, ADDRESS_NEVER, { [15] = 1 } },  /* loopback */
	{ 10, ADDRESS_NEVER, { 0xfe, 0x80 } }, /* link-local */
	{ 10, ADDRESS_NEVER, { 0xfe, 0xc0 } }, /* site-local, RFC 3879 */
	{ 7, ADDRESS_PRIVATE, { 0xfc } },      /* unique local, RFC 4193 */
};

/* IPv6 prefixes with an IPv4 address inside, and where it stands. */
static const struct {
	uint8_t bits, at;
	uint8_t bytes[16];
} embedding[] = {
	{ 96, 12, { [10] = 0xff, [11] = 0xff } },	    /* mapped */
	{ 96, 12, { [8] = 0xff, [9] = 0xff } },		    /* translated, RFC 2765 2.1 */
	{ 96, 12, { 0 } },				    /* compatible, RFC 4291 2.5.5.1 */
	{ 96, 12, { 0x00, 0x64, 0xff, 0x9b } },		    /* NAT64, RFC 6052 */
	{ 48, 12, { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 } }, /* NAT64, RFC 8215 */
	{ 16, 2, { 0x20, 0x02 } },			    /* 6to4, RFC 3056 */
};

static bool within(const uint8_t *address, const uint8_t *network, unsigned bits)
{
	if (memcmp(address, network, bits / 8) != 0)
		return false;
	unsigned rest = bits % 8;
	return rest == 0 || ((address[bits / 8] ^ network[bits / 8]) >> (8 - rest)) == 0;
}

static enum address_kind kind_in(const uint8_t *address, const struct network *n, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (within(address, n[i].bytes, n[i].bits))
			return (enum address_kind)n[i].kind;
	return ADDRESS_PUBLIC;
}

enum address_kind address_kind(const struct address *a)
{
	if (a->size == 4)
		return kind_in(a->bytes, v4, ELEMENTS(v4));
	enum address_kind kind = kind_in(a->bytes, v6, ELEMENTS(v6));
	for (size_t i = 0; i < ELEMENTS(embedding) && kind == ADDRESS_PUBLIC; i++)
		if (within(a->bytes, embedding[i].bytes, embedding[i].bits))
			kind = kind_in(a->bytes + embedding[i].at, v4, ELEMENTS(v4));
	return kind;
}

static void unmap(struct address *a)
{
	if (a->size != 16 || !within(a->bytes, embedding[0].bytes, embedding[0].bits))
		return;
	memmove(a->bytes, a->bytes + 12, 4);
	memset(a->bytes + 4, 0, 12);
	a->size = 4;
}

int address_parse(const char *text, struct address *ret)
{
	struct address a = { .size = 4 };
	if (inet_pton(AF_INET, text, a.bytes) != 1) {
		a.size = 16;
		if (inet_pton(AF_INET6, text, a.bytes) != 1)
			return -EINVAL;
	}
	unmap(&a);
	*ret = a;
	return 0;
}

int address_from_sockaddr(const struct sockaddr *from, struct address *ret)
{
	struct address a = { 0 };
	if (from->sa_family == AF_INET) {
		a.size = 4;
		memcpy(a.bytes, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		a.size = 16;
		memcpy(a.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	} else {
		return -EAFNOSUPPORT;
	}
	unmap(&a);
	*ret = a;
	return 0;
}

socklen_t address_to_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *to)
{
	*to = (struct sockaddr_storage){ 0 };
	if (a->size == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)to;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->bytes, 16);
	return sizeof(*in6);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}
