/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards servers, as a client: the host's list of authorities, and what is asked of a server's certificate (it leads to one
 * of them, and names the host that was asked for). Owned by dialer. The list is parsed when the first server is spoken to.
 */
#ifndef POSTERN_TLS_UPSTREAM_H
#define POSTERN_TLS_UPSTREAM_H
#include "http/span.h"
#include <openssl/ssl.h>
#include <stdbool.h>

struct tls_upstream;

/* Takes the list (PEM; may be empty: then no server is believed). NULL when out of memory, and then the list is freed. */
struct tls_upstream *tls_upstream_new(char *authorities, size_t n);
void tls_upstream_free(struct tls_upstream *u);
/* A connection to be made to host (a name or an address, lower case). http: ask for HTTP/1.1. NULL when out of memory. */
SSL *tls_upstream_connection(struct tls_upstream *u, const char *host, bool http);
#endif
