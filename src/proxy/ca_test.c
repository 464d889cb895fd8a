/* SPDX-License-Identifier: Apache-2.0 */
/* Unit test: what the sandbox's authority is, what it mints, what it refuses, and what it remembers. */
#include "base/limit.h"
#include "proxy/ca.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ca *ca;

static int set_up(void **state)
{
	return ca_new(&ca);
}

static int tear_down(void **state)
{
	ca_free(ca);
	return 0;
}

static X509 *authority(const struct ca *of)
{
	struct span pem = ca_certificate(of);
	BIO *in = BIO_new_mem_buf(pem.data, (int)pem.len);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	BIO_free(in);
	assert_non_null(x);
	return x;
}

static X509 *leaf_for(const char *host)
{
	struct ca_leaf leaf;
	assert_int_equal(ca_leaf(ca, host, &leaf), 0);
	const unsigned char *at = (const unsigned char *)leaf.certificate.data;
	X509 *x = d2i_X509(NULL, &at, (long)leaf.certificate.len);
	at = (const unsigned char *)leaf.key.data;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)leaf.key.len);
	assert_non_null(x);
	assert_int_equal(X509_check_private_key(x, key), 1);
	EVP_PKEY_free(key);
	return x;
}

/* As the strictest clients check it; X509_V_OK or why not. */
static int verify(X509 *leaf, X509 *root)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(context, store, leaf, NULL);
	X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
	X509_STORE_CTX_set_default(context, "ssl_server");
	X509_verify_cert(context);
	int error = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return error;
}

static void test_leaves_are_believed(void **state)
{
	/* The last one is too long for a subject. */
	static const char *const hosts[] = {
		"api.example.test", "one", "x_y.test",
		"a-long-label.a-long-label.a-long-label.a-long-label.a-long-label.a-long-label.test"
	};
	X509 *root = authority(ca);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		X509 *leaf = leaf_for(hosts[i]);
		assert_int_equal(verify(leaf, root), X509_V_OK);
		assert_int_equal(X509_check_host(leaf, hosts[i], 0, 0, NULL), 1);
		assert_int_equal(X509_check_host(leaf, "other.test", 0, 0, NULL), 0);
		X509_free(leaf);
	}
	X509_free(root);
}

static void test_addresses(void **state)
{
	const char *const hosts[] = { "203.0.113.5", "2001:db8::1" };
	X509 *root = authority(ca);
	for (size_t i = 0; i < 2; i++) {
		X509 *leaf = leaf_for(hosts[i]);
		assert_int_equal(verify(leaf, root), X509_V_OK);
		assert_int_equal(X509_check_ip_asc(leaf, hosts[i], 0), 1);
		assert_int_equal(X509_check_ip_asc(leaf, "203.0.113.6", 0), 0);
		X509_free(leaf);
	}
	X509_free(root);
}

static void test_a_leaf_signs_nothing(void **state)
{
	struct ca *other;
	struct ca_leaf leaf;
	X509 *root = authority(ca), *x = leaf_for("a.test");
	assert_int_equal(X509_check_ca(root), 1);
	assert_int_equal(X509_check_ca(x), 0);
	assert_false(EVP_PKEY_eq(X509_get0_pubkey(root), X509_get0_pubkey(x)) == 1);
	assert_int_equal(X509_get_pathlen(root), 0);
	/* Another sandbox's is another. */
	assert_int_equal(ca_new(&other), 0);
	X509 *foreign = authority(other);
	assert_int_not_equal(verify(x, foreign), X509_V_OK);
	assert_int_equal(ca_leaf(other, "a.test", &leaf), 0);
	X509_free(foreign);
	ca_free(other);
	X509_free(root);
	X509_free(x);
}

static void test_what_no_certificate_can_name(void **state)
{
	const char *const hosts[] = { "",	"a b", "a,DNS:b", "a\nb",	   "*.test",
				      "A.test", "a/b", "DNS:a",	  "\xc3\xa9.test", "a@b" };
	struct ca_leaf leaf = { .certificate = SPAN("untouched") };
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		assert_int_equal(ca_leaf(ca, hosts[i], &leaf), -EINVAL);
	assert_true(span_is(leaf.certificate, "untouched"));
}

static void serial_of(const char *host, unsigned char out[8])
{
	X509 *x = leaf_for(host);
	memset(out, 0, 8);
	assert_true(ASN1_STRING_length(X509_get0_serialNumber(x)) <= 8);
	memcpy(out, ASN1_STRING_get0_data(X509_get0_serialNumber(x)),
	       (size_t)ASN1_STRING_length(X509_get0_serialNumber(x)));
	X509_free(x);
}

static void test_the_last_ones_are_remembered(void **state)
{
	unsigned char first[8], again[8], second[8];
	char host[32];
	serial_of("first.test", first);
	serial_of("second.test", second);
	assert_memory_not_equal(first, second, 8);
	for (int i = 0; i < LIMIT_TLS_LEAVES - 1; i++) {
		snprintf(host, sizeof(host), "h%d.test", i);
		X509_free(leaf_for(host));
		serial_of("first.test", again);
		assert_memory_equal(first, again, 8);
	}
	serial_of("second.test", again); /* made room for them */
	assert_memory_not_equal(second, again, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_leaves_are_believed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_leaf_signs_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_no_certificate_can_name, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_the_last_ones_are_remembered, set_up,
						tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
