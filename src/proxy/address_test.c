/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: which addresses no policy opens, and that no way of writing one hides what it is. */
#include "base/cleanup.h"
#include "proxy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static enum address_kind kind_of(const char *text)
{
	struct address a;
	if (address_parse(text, &a) < 0)
		fail_msg("%s is no address", text);
	return address_kind(&a);
}

static void test_kinds(void **state)
{
	static const struct {
		enum address_kind kind;
		const char *first, *last, *before, *after; /* neighbours of another kind, or NULL */
	} rows[] = {
		{ ADDRESS_NEVER, "0.0.0.0", "0.255.255.255", NULL, "1.0.0.0" },
		{ ADDRESS_NEVER, "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0" },
		{ ADDRESS_NEVER, "169.254.0.0", "169.254.255.255", "169.253.255.255",
		  "169.255.0.0" },
		{ ADDRESS_PRIVATE, "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0" },
		{ ADDRESS_PRIVATE, "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0" },
		{ ADDRESS_PRIVATE, "192.168.0.0", "192.168.255.255", "192.167.255.255",
		  "192.169.0.0" },
		{ ADDRESS_PRIVATE, "100.64.0.0", "100.127.255.255", "100.63.255.255",
		  "100.128.0.0" },
		{ ADDRESS_NEVER, "::", "::1", NULL, NULL },
		{ ADDRESS_NEVER, "fe80::", "febf:ffff::", "fe7f:ffff::", NULL },
		{ ADDRESS_NEVER, "fec0::", "feff:ffff::", NULL, "ff00::" },
		{ ADDRESS_PRIVATE, "fc00::", "fdff:ffff::", "fbff::", "fe00::" },
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		assert_int_equal(kind_of(rows[i].first), rows[i].kind);
		assert_int_equal(kind_of(rows[i].last), rows[i].kind);
		if (rows[i].before)
			assert_int_equal(kind_of(rows[i].before), ADDRESS_PUBLIC);
		if (rows[i].after)
			assert_int_equal(kind_of(rows[i].after), ADDRESS_PUBLIC);
	}
}

/* An IPv6 address that stands for an IPv4 one is what that is. */
static void test_embedded(void **state)
{
	static const char *const prefixes[] = { "::ffff:", "::ffff:0:", "::", "64:ff9b::",
						"64:ff9b:1::" };
	static const struct {
		const char *address;
		enum address_kind kind;
	} rows[] = { { "127.0.0.1", ADDRESS_NEVER },
		     { "10.1.2.3", ADDRESS_PRIVATE },
		     { "93.184.216.34", ADDRESS_PUBLIC } };
	for (size_t p = 0; p < ELEMENTS(prefixes); p++) {
		for (size_t i = 0; i < ELEMENTS(rows); i++) {
			char text[64];
			snprintf(text, sizeof(text), "%s%s", prefixes[p], rows[i].address);
			assert_int_equal(kind_of(text), rows[i].kind);
		}
	}
	assert_int_equal(kind_of("2002:7f00:1::"), ADDRESS_NEVER);
	assert_int_equal(kind_of("2002:a9fe:a9fe::1"), ADDRESS_NEVER);
	assert_int_equal(kind_of("2002:5db8:d822::"), ADDRESS_PUBLIC);
	assert_int_equal(kind_of("2606:2800::1"), ADDRESS_PUBLIC);
}

static void test_what_is_no_address(void **state)
{
	static const char *const texts[] = { "",      "127.1",	      "127.0.0.01",  "0x7f.0.0.1",
					     "1.2.3", "1.2.3.4.5",    "256.0.0.1",   "2130706433",
					     "[::1]", "fe80::1%eth0", "1.2.3.4 ",    " 1.2.3.4",
					     "::g",   "1.2.3.4:80",   "example.test" };
	struct address a = { .size = 77 };
	for (size_t i = 0; i < ELEMENTS(texts); i++)
		assert_int_equal(address_parse(texts[i], &a), -EINVAL);
	assert_int_equal(a.size, 77);
}

static void test_there_and_back(void **state)
{
	static const char *const texts[] = { "93.184.216.34", "2606:2800::34" };
	for (size_t i = 0; i < ELEMENTS(texts); i++) {
		struct sockaddr_storage s;
		struct address a, b;
		assert_int_equal(address_parse(texts[i], &a), 0);
		socklen_t n = address_to_sockaddr(&a, 8080, &s);
		assert_int_equal(n, i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_int_equal(((struct sockaddr_in *)&s)->sin_port, htons(8080));
		assert_int_equal(address_from_sockaddr((struct sockaddr *)&s, &b), 0);
		assert_true(address_equal(&a, &b));
		b.bytes[3] ^= 1;
		assert_false(address_equal(&a, &b));
	}
	struct sockaddr_storage unix_socket = { .ss_family = AF_UNIX };
	struct address a;
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&unix_socket, &a), -EAFNOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_embedded),
		cmocka_unit_test(test_what_is_no_address),
		cmocka_unit_test(test_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
