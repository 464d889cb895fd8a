/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's own certificate authority: made when the sandbox is, gone with it. Owned by dialer alone; its key never leaves it.
 * Mints a certificate for a host on demand, and remembers the last LIMIT_TLS_LEAVES. All of them have one key, which is made for
 * them and worth nothing outside the sandbox. Never asked for a host that the policy does not have: the caller sees to that.
 */
#ifndef POSTERN_CA_H
#define POSTERN_CA_H
#include "http/span.h"

struct ca;

/* 0 or -ENOMEM, for whatever OpenSSL could not do. */
int ca_new(struct ca **ret);
void ca_free(struct ca *ca);
/* Its certificate as PEM; of the CA's. */
struct span ca_certificate(const struct ca *ca);
/* DER; of the CA's, until the next call of ca_leaf(). */
struct ca_leaf {
	struct span certificate, key;
};
/* A certificate for a host (a name or an address, lower case). 0; -EINVAL: no host that a certificate can name; -ENOMEM. */
int ca_leaf(struct ca *ca, const char *host, struct ca_leaf *ret);
#endif
