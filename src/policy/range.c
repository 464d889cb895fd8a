/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of addresses, as allowed_ips lists them. */
#include "policy/model.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>

/* What no policy opens: this host, and link-local with the metadata services. */
static const struct address_range never[] = {
	{ 4, 8, { 127 } },
	{ 4, 16, { 169, 254 } },
	{ 4, 32, { 0 } },
	{ 16, 128, { [15] = 1 } },
	{ 16, 128, { 0 } },
	{ 16, 10, { 0xfe, 0x80 } },
	{ 16, 96, { [10] = 0xff, [11] = 0xff } },
};

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool range_holds(const struct address_range *range, const uint8_t *address, size_t size)
{
	return range->size == size && same_bits(range->bytes, address, range->bits);
}

static int parse_bits(const char *text, unsigned most, uint8_t *ret, struct error *e)
{
	unsigned bits = 0;
	size_t n = strlen(text);
	bool good = n >= 1 && n <= 3 && strspn(text, "0123456789") == n && (n == 1 || *text != '0');
	for (size_t i = 0; good && i < n; i++)
		bits = bits * 10 + (unsigned)(text[i] - '0');
	if (!good || bits > most)
		return error_set(e, EINVAL, "after the \"/\" a number from 0 to %u is expected",
				 most);
	*ret = (uint8_t)bits;
	return 0;
}

int range_parse(const char *text, struct address_range *ret, struct error *e)
{
	char address[64];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct address_range r = { .size = memchr(text, ':', n) ? 16 : 4 };
	r.bits = (uint8_t)(r.size * 8);
	if (n < sizeof(address)) {
		memcpy(address, text, n);
		address[n] = '\0';
	}
	if (n >= sizeof(address) ||
	    inet_pton(r.size == 4 ? AF_INET : AF_INET6, address, r.bytes) != 1)
		return error_set(e, EINVAL,
				 "\"%.60s\" is no address; write for example 10.1.2.3 or "
				 "10.1.2.0/24",
				 text);
	if (slash && parse_bits(slash + 1, r.bits, &r.bits, e) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ELEMENTS(never); i++) {
		unsigned bits = never[i].bits < r.bits ? never[i].bits : r.bits;
		if (never[i].size == r.size && same_bits(never[i].bytes, r.bytes, bits))
			return error_set(e, EINVAL,
					 "\"%.60s\" holds loopback, link-local or unspecified "
					 "addresses, which no policy opens; list narrower ranges",
					 text);
	}
	*ret = r;
	return 0;
}
