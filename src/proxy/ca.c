/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An authority of elliptic-curve keys: they are made in microseconds. What takes milliseconds is OpenSSL's looking for
 * algorithms, once for each kind, and every sandbox waits for its authority: what only leaves need is made for the first of them.
 */
#include "proxy/ca.h"
#include "base/limit.h"
#include "proxy/address.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define AUTHORITY	"OpenShell Sandbox CA" /* as the real one's */
#define ORGANISATION	"OpenShell"
#define DAY_SECONDS	(24 * 3600)
#define DAYS		366 /* no sandbox lives longer */
#define COMMON_NAME_MAX 64
#define PEM_MAX		4096

struct minted {
	char host[256];
	unsigned char *der; /* NULL: none */
	int len;
	uint64_t used; /* when it was asked for last */
};

struct ca {
	EVP_PKEY *key, *leaf_key;
	X509 *certificate;
	char pem[PEM_MAX];
	size_t pem_len;
	unsigned char *leaf_key_der;
	int leaf_key_len;
	struct minted minted[LIMIT_TLS_LEAVES];
	uint64_t asked;
};

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	for (size_t i = 0; i < LIMIT_TLS_LEAVES; i++)
		OPENSSL_free(ca->minted[i].der);
	OPENSSL_free(ca->leaf_key_der);
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->leaf_key);
	EVP_PKEY_free(ca->key);
	free(ca);
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool good = extension && X509_add_ext(x, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

static bool set_serial(X509 *x)
{
	uint64_t serial;
	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1;
}

static bool set_name(X509_NAME *name, const char *common, const char *organisation)
{
	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC,
					  (const unsigned char *)common, -1, -1, 0) == 1 &&
	       (!organisation ||
		X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_ASC,
					   (const unsigned char *)organisation, -1, -1, 0) == 1);
}

/* As X509_set_pubkey(), which looks for an encoder, each time anew: that takes longer than all else. */
static bool set_public_key(X509 *x, EVP_PKEY *key)
{
	unsigned char *point = NULL;
	size_t n = EVP_PKEY_get1_encoded_public_key(key, &point);
	if (n > 0 && X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x),
					    OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
					    OBJ_nid2obj(NID_X9_62_prime256v1), point, (int)n) == 1)
		return true;
	OPENSSL_free(point);
	return false;
}

/* A certificate without name and extensions. */
static X509 *begin(EVP_PKEY *key)
{
	X509 *x = X509_new();
	if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -DAY_SECONDS) &&
	    X509_time_adj_ex(X509_getm_notAfter(x), DAYS, 0, NULL) && set_public_key(x, key))
		return x;
	X509_free(x);
	return NULL;
}

static bool make_authority(struct ca *ca)
{
	X509 *x = ca->certificate = begin(ca->key);
	return x && set_name(X509_get_subject_name(x), AUTHORITY, ORGANISATION) &&
	       X509_set_issuer_name(x, X509_get_subject_name(x)) == 1 &&
	       add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	       add_extension(x, x, NID_subject_key_identifier, "hash") &&
	       X509_sign(x, ca->key, EVP_sha256()) > 0;
}

static bool write_authority(struct ca *ca)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data;
	long n = out && PEM_write_bio_X509(out, ca->certificate) == 1 ? BIO_get_mem_data(out, &data)
								      : 0;
	if (n > 0 && n <= PEM_MAX) {
		memcpy(ca->pem, data, (size_t)n);
		ca->pem_len = (size_t)n;
	}
	BIO_free(out);
	return ca->pem_len > 0;
}

/* No configuration, as tls_begin() has it. Random numbers by a digest, which signatures need, too, and not by a cipher: looking for
 * ciphers is left to TLS. Where they have begun already they stay as they are. */
static bool begin_crypto(void)
{
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
				NULL) != 1)
		return false;
	(void)RAND_set_DRBG_type(NULL, "HASH-DRBG", NULL, NULL, "SHA256");
	ERR_clear_error();
	return true;
}

int ca_new(struct ca **ret)
{
	struct ca *ca = calloc(1, sizeof(*ca));
	if (!ca)
		return -ENOMEM;
	if (!begin_crypto() || !(ca->key = EVP_EC_gen("P-256")) || !make_authority(ca) ||
	    !write_authority(ca)) {
		ca_free(ca);
		return -ENOMEM;
	}
	*ret = ca;
	return 0;
}

struct span ca_certificate(const struct ca *ca)
{
	return (struct span){ ca->pem, ca->pem_len };
}

/* ---- leaves ---- */

/* Nothing but what a name or an address is made of goes into OpenSSL's own little language. */
static bool is_plain_name(const char *host)
{
	size_t n = strlen(host);
	return n > 0 && n < sizeof(((struct minted *)NULL)->host) &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static bool set_leaf(struct ca *ca, X509 *x, const char *host, bool is_address)
{
	char names[300];
	bool has_name = strlen(host) <= COMMON_NAME_MAX;
	/* Without a name in the subject, the alternative one is what has to be understood. */
	snprintf(names, sizeof(names), "%s%s:%s", has_name ? "" : "critical,",
		 is_address ? "IP" : "DNS", host);
	return (!has_name || set_name(X509_get_subject_name(x), host, NULL)) &&
	       X509_set_issuer_name(x, X509_get_subject_name(ca->certificate)) == 1 &&
	       add_extension(x, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(x, ca->certificate, NID_ext_key_usage, "serverAuth") &&
	       add_extension(x, ca->certificate, NID_authority_key_identifier, "keyid:always") &&
	       add_extension(x, ca->certificate, NID_subject_alt_name, names) &&
	       X509_sign(x, ca->key, EVP_sha256()) > 0;
}

static bool make_leaf_key(struct ca *ca)
{
	if (ca->leaf_key_len > 0)
		return true;
	if (!ca->leaf_key)
		ca->leaf_key = EVP_EC_gen("P-256");
	if (ca->leaf_key)
		ca->leaf_key_len = i2d_PrivateKey(ca->leaf_key, &ca->leaf_key_der);
	return ca->leaf_key_len > 0;
}

static int mint(struct ca *ca, const char *host, bool is_address, struct minted *m)
{
	X509 *x = make_leaf_key(ca) ? begin(ca->leaf_key) : NULL;
	unsigned char *der = NULL;
	int n = x && set_leaf(ca, x, host, is_address) ? i2d_X509(x, &der) : 0;
	X509_free(x);
	if (n <= 0)
		return -ENOMEM;
	OPENSSL_free(m->der);
	m->der = der;
	m->len = n;
	snprintf(m->host, sizeof(m->host), "%s", host);
	return 0;
}

int ca_leaf(struct ca *ca, const char *host, struct ca_leaf *ret)
{
	struct address address;
	struct minted *m = &ca->minted[0];
	bool is_address = address_parse(host, &address) == 0;
	int r = 0;
	if (!is_address && !is_plain_name(host))
		return -EINVAL;
	for (size_t i = 0; i < LIMIT_TLS_LEAVES; i++) {
		struct minted *one = &ca->minted[i];
		if (one->used < m->used)
			m = one; /* unused, or not used for longest */
		if (one->der && !strcmp(one->host, host)) {
			m = one;
			break;
		}
	}
	if (!m->der || strcmp(m->host, host) != 0)
		r = mint(ca, host, is_address, m);
	if (r < 0)
		return r;
	m->used = ++ca->asked;
	ret->certificate = (struct span){ (const char *)m->der, (size_t)m->len };
	ret->key = (struct span){ (const char *)ca->leaf_key_der, (size_t)ca->leaf_key_len };
	return 0;
}
