/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a build's jail looks like: its root, its configuration files, its limits. One place, so that
 * one look shows what a hostile Dockerfile can see. Used by postern-worker; owns the strings that
 * its spec points to.
 */
#ifndef POSTERN_WORKER_ENCLOSURE_H
#define POSTERN_WORKER_ENCLOSURE_H
#include "base/buf.h"
#include "jail/jail.h"
#include "worker/settings.h"

#define ENCLOSURE_MOUNTS_MAX (32 + LIMIT_BASES)
#define ENCLOSURE_BUILDER    "/postern-builder" /* where the program is inside */

struct enclosure {
	struct jail_spec spec;
	struct jail_mount mounts[ENCLOSURE_MOUNTS_MAX];
	struct jail_rlimit limits[8];
	int keep_fds[2];
	struct buf storage_conf;
	char builder[4096]; /* path on the host */
	char base_targets[LIMIT_BASES][32];
};

/* work_fd: the job's scratch; stores_fd: what earlier builds of the run left, or -1; base_fds: the
 * granted bases' stores. Descriptors stay the caller's and must outlive the jail's start. */
int enclosure_init(struct enclosure *x, const struct worker_settings *s, int work_fd, int stores_fd,
		   const int *base_fds, unsigned n_bases, struct error *e);
void enclosure_done(struct enclosure *x);
#endif
