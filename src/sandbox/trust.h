/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom the programs in a sandbox are told to trust when TLS is looked into: the host's list of authorities, and the sandbox's own,
 * which dialer makes. Called by sandbox.c: outside to read the list, inside, by the jail's PID 1, to write the files that OpenShell
 * has, before the command starts. Dialer gets the same list, to know servers by.
 */
#ifndef POSTERN_SANDBOX_TRUST_H
#define POSTERN_SANDBOX_TRUST_H
#include "base/error.h"
#include <stddef.h>

#define TRUST_FOLDER "/etc/openshell-tls"

struct trust {
	char *authorities; /* the host's list (PEM); owned; "" where the host has none */
	size_t n;
};

/* Read the list that SSL_CERT_FILE names, else Debian's. 0; -EOPNOTSUPP with *e when it cannot be read. */
int trust_read(struct trust *ret, struct error *e);
void trust_done(struct trust *t);
/* Inside, as PID 1: fill TRUST_FOLDER, which is a file system of its own, and make it read-only. 0 or -errno. */
int trust_write(const struct trust *t, const char *own, size_t n);

/* What the environment says of these files. */
extern const char *const trust_environment[6];
#endif
