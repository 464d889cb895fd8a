/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards servers. */
#include "proxy/tls_upstream.h"
#include "proxy/address.h"
#include "proxy/tls_relay.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct tls_upstream {
	SSL_CTX *ctx; /* NULL until the first connection */
	char *authorities;
	size_t n;
};

struct tls_upstream *tls_upstream_new(char *authorities, size_t n)
{
	struct tls_upstream *u = calloc(1, sizeof(*u));
	if (!u) {
		free(authorities);
		return NULL;
	}
	*u = (struct tls_upstream){ .authorities = authorities, .n = n };
	return u;
}

void tls_upstream_free(struct tls_upstream *u)
{
	if (!u)
		return;
	SSL_CTX_free(u->ctx);
	free(u->authorities);
	free(u);
}

/* What cannot be read is left out: a list with one bad entry is still the operator's. */
static void load_authorities(const struct tls_upstream *u, X509_STORE *store)
{
	BIO *in = BIO_new_mem_buf(u->authorities, (int)u->n);
	for (;;) {
		X509 *authority = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
		bool at_end = !authority &&
			      (!in || ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE);
		ERR_clear_error();
		if (at_end)
			break;
		if (authority)
			X509_STORE_add_cert(store, authority);
		X509_free(authority);
	}
	BIO_free(in);
}

static SSL_CTX *make_context(struct tls_upstream *u)
{
	tls_begin();
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return NULL;
	tls_settings(ctx);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	load_authorities(u, SSL_CTX_get_cert_store(ctx));
	free(u->authorities);
	u->authorities = NULL;
	u->n = 0;
	return ctx;
}

/* Who the certificate has to be for, and what the server is told of that. */
static bool name_host(SSL *ssl, const char *host)
{
	struct address address;
	if (address_parse(host, &address) == 0)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

SSL *tls_upstream_connection(struct tls_upstream *u, const char *host, bool http)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	if (!u->ctx)
		u->ctx = make_context(u);
	SSL *ssl = u->ctx ? SSL_new(u->ctx) : NULL;
	if (!ssl || !name_host(ssl, host) ||
	    (http && SSL_set_alpn_protos(ssl, protocols, sizeof(protocols) - 1) != 0)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
