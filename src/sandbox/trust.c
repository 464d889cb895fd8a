/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of authorities, outside and inside. */
#include "sandbox/trust.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define HOSTS_LIST "/etc/ssl/certs/ca-certificates.crt"
#define OWN	   TRUST_FOLDER "/openshell-ca.pem"
#define BUNDLE	   TRUST_FOLDER "/ca-bundle.pem"

const char *const trust_environment[6] = {
	"NODE_EXTRA_CA_CERTS=" OWN,   "DENO_CERT=" OWN,		"SSL_CERT_FILE=" BUNDLE,
	"REQUESTS_CA_BUNDLE=" BUNDLE, "CURL_CA_BUNDLE=" BUNDLE, "GIT_SSL_CAINFO=" BUNDLE,
};

int trust_read(struct trust *ret, struct error *e)
{
	const char *named = getenv("SSL_CERT_FILE");
	const char *path = named && *named ? named : HOSTS_LIST;
	int r = file_read(path, LIMIT_CA_BUNDLE_BYTES, &ret->authorities, &ret->n);
	/* A host without one can still have sandboxes; they reach no server by TLS. */
	if (r == -ENOENT && path != named) {
		ret->n = 0;
		ret->authorities = strdup("");
		r = ret->authorities ? 0 : -ENOMEM;
	}
	if (r < 0)
		return error_set(e, EOPNOTSUPP,
				 "cannot read the list of certificate authorities %s%s: %s", path,
				 path == named ? " (which SSL_CERT_FILE names)" : "", strerror(-r));
	return 0;
}

void trust_done(struct trust *t)
{
	free(t->authorities);
	t->authorities = NULL;
}

static int write_file(const char *path, struct trust first, const char *own, size_t n)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	int r = fd_write_full(fd, first.authorities, first.n);
	if (r == 0 && first.n && first.authorities[first.n - 1] != '\n')
		r = fd_write_full(fd, "\n", 1);
	return r == 0 ? fd_write_full(fd, own, n) : r;
}

int trust_write(const struct trust *t, const char *own, size_t n)
{
	int r = write_file(OWN, (struct trust){ 0 }, own, n);
	if (r == 0)
		r = write_file(BUNDLE, *t, own, n);
	if (r == 0 &&
	    mount(NULL, TRUST_FOLDER, NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		r = -errno;
	return r;
}
