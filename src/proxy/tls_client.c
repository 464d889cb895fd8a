/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards the sandbox's clients, as the server that they asked for: with a certificate of the sandbox's own authority, which
 * dialer minted. From then on the conn's client is the plain end of a relay, and nothing else of the conn knows of TLS.
 */
#include "base/cleanup.h"
#include "proxy/conn.h"
#include "proxy/tls_relay.h"

#include <event2/buffer.h>
#include <openssl/err.h>

/* HTTP/1.1 is what is understood here. Who offers only others is told so by an alert, as OpenShell does. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
			   const unsigned char *offered, unsigned n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;
	int r = SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, n);
	*ret = chosen;
	return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context(void)
{
	static SSL_CTX *ctx;
	if (ctx)
		return ctx;
	tls_begin();
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx)
		return NULL;
	tls_settings(ctx);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	return ctx;
}

static SSL *make_server(struct span certificate, struct span key)
{
	SSL *ssl = context() ? SSL_new(context()) : NULL;
	if (ssl &&
	    SSL_use_certificate_ASN1(ssl, (const unsigned char *)certificate.data,
				     (int)certificate.len) == 1 &&
	    SSL_use_PrivateKey_ASN1(EVP_PKEY_EC, ssl, (const unsigned char *)key.data,
				    (long)key.len) == 1) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	ERR_clear_error();
	SSL_free(ssl);
	return NULL;
}

void conn_leaf(struct conn *c, struct span certificate, struct span key)
{
	struct evbuffer *unsent = bufferevent_get_output(c->client);
	struct tls_relay *relay;
	SSL *ssl = make_server(certificate, key);
	if (!ssl) {
		conn_free(c);
		return;
	}
	int fd = bufferevent_getfd(c->client);
	bufferevent_setfd(c->client, -1); /* the relay's, whatever comes */
	if (tls_relay_new(proxy.base, fd, ssl, NULL, NULL, &relay) < 0) {
		conn_free(c);
		return;
	}
	evbuffer_unfreeze(unsent, 1);
	int r = tls_relay_preload(relay, bufferevent_get_input(c->client), unsent);
	evbuffer_freeze(unsent, 1);
	if (r < 0) {
		tls_relay_free(relay);
		conn_free(c);
		return;
	}
	bufferevent_setfd(c->client, tls_relay_take(relay));
	c->tls = c->peeking = true;
	conn_next(c);
}
