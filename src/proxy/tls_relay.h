/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS connection, and a Unix socket on which its plain bytes come and go: so that nobody else in proxy or dialer needs to know
 * that there is TLS. Used by proxy towards the sandbox's clients (tls_client.c), by dialer towards servers (tls_upstream.c). Owns
 * both sockets and the SSL object; ends and frees itself when both directions have ended, or when the other end of the Unix socket
 * is closed. Holds at most LIMIT_RELAY_BUFFER_BYTES per direction for a slow reader. Never looks at what it moves, never logs.
 */
#ifndef POSTERN_TLS_RELAY_H
#define POSTERN_TLS_RELAY_H
#include "http/span.h"
#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>

struct tls_relay;

/* Called once, when the handshake is over. open: it succeeded, and what it asked of the peer's certificate holds. Otherwise
 * verify_error is an X509_V_ERR_… when that was why, or 0, and the relay ends by itself. */
typedef void tls_relay_opened(void *arg, bool open, long verify_error);

/* OpenSSL for this process: no configuration file is read, now or later. Before any other use of it; may be called again. */
void tls_begin(void);
/* What both sides ask of a connection: TLS 1.2 at least, no renegotiation, no compression. */
void tls_settings(SSL_CTX *ctx);

/* Begin one over a connected, non-blocking socket; ssl is set up as client or server. Takes both; in any case. opened may be NULL.
 * 0; -ENOBUFS when there are LIMIT_TLS_RELAYS; -ENOMEM; another -errno. */
int tls_relay_new(struct event_base *base, int fd, SSL *ssl, tls_relay_opened *opened, void *arg,
		  struct tls_relay **ret);
/* Bytes of the peer's that were read from the socket already, and bytes that are to be sent as they are before TLS's own: all are
 * taken out of their buffers. Before anything else happens. */
int tls_relay_preload(struct tls_relay *r, struct evbuffer *received, struct evbuffer *unsent);
/* Once open: send this before what comes over the Unix socket. 0 or -EPIPE. */
int tls_relay_write(struct tls_relay *r, struct span bytes);
/* The other end of the Unix socket, non-blocking, for the caller to keep; it hears no more of the handshake. Once. */
int tls_relay_take(struct tls_relay *r);
/* End it at once, before the other end was taken, and not within opened(). */
void tls_relay_free(struct tls_relay *r);
#endif
