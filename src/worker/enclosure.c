/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of a build. Inside are: /usr of the host, read-only (programs and their libraries; not
 * /usr/local, which is the host's own business), the job's scratch at /job, earlier builds of the
 * run and granted bases read-only below /stores, and the files below. No /etc, /home, /var, /run of
 * the host, no network, no device but null and its like.
 */
#include "worker/enclosure.h"
#include "base/cleanup.h"
#include "base/limit.h"
#include "base/spawn.h"
#include "worker/engine.h"
#include "worker/stores.h"

#include <assert.h>
#include <errno.h>

/* Only images that are here already can be named; nothing may be read from an archive or folder
 * that a Dockerfile names. */
static const char policy_json[] =
	"{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"containers-storage\":"
	"{\"\":[{\"type\":\"insecureAcceptAnything\"}]}}}\n";

static const struct jail_mount fixed[] = {
	{ JAIL_BIND, "/usr", "/usr", .flags = JAIL_RO | JAIL_FOLLOW },
	{ JAIL_TMPFS, "/usr/local", .flags = JAIL_RO, .mode = 0755, .size = 4096 },
	{ JAIL_SYMLINK, "/bin", "usr/bin" },
	{ JAIL_SYMLINK, "/sbin", "usr/sbin" },
	{ JAIL_SYMLINK, "/lib", "usr/lib" },
	{ JAIL_SYMLINK, "/lib64", "usr/lib64" },
	{ JAIL_PROC, "/proc" },
	{ JAIL_DEV, "/dev" },
	{ JAIL_DIRECTORY, "/sys/fs/cgroup" },
	{ JAIL_TMPFS, "/tmp", .mode = 01777 },
	{ JAIL_TMPFS, "/var/tmp", .mode = 01777 },
	/* Engines look short names up under a lock in there. */
	{ JAIL_TMPFS, "/var/cache", .mode = 0755 },
	{ JAIL_TMPFS, "/run", .mode = 0755 },
	{ JAIL_TMPFS, "/root", .mode = 0700 },
	{ JAIL_FILE, "/etc/passwd",
	  "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n" },
	{ JAIL_FILE, "/etc/group", "root:x:0:\nnogroup:x:65534:\n" },
	{ JAIL_FILE, "/etc/hosts", "127.0.0.1 localhost\n" },
	{ JAIL_FILE, "/etc/resolv.conf", "" },
	{ JAIL_FILE, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n" },
	{ JAIL_FILE, "/etc/containers/policy.json", policy_json },
	{ JAIL_FILE, "/etc/containers/registries.conf", "unqualified-search-registries = []\n" },
	{ JAIL_FILE, "/etc/containers/containers.conf", "" },
};

static void add(struct enclosure *x, struct jail_mount m)
{
	assert(x->spec.n_mounts < ENCLOSURE_MOUNTS_MAX);
	x->mounts[x->spec.n_mounts++] = m;
}

static int storage_conf(struct enclosure *x, int stores_fd, unsigned n_bases)
{
	_cleanup_buf_ struct buf list = BUF_INIT(16 * 1024);
	int r = stores_fd >= 0 ? stores_list(stores_fd, INSIDE_STORES "/run", &list) : 0;
	for (unsigned i = 0; r == 0 && i < n_bases; i++)
		r = buf_printf(&list, ", \"%s\"", x->base_targets[i]);
	if (r == 0)
		r = buf_printf(&x->storage_conf,
			       "[storage]\ndriver = \"overlay\"\ngraphroot = \"%s\"\n"
			       "runroot = \"%s\"\n[storage.options]\n"
			       "additionalimagestores = [%s]\n",
			       INSIDE_STORAGE, INSIDE_RUN, list.len ? list.data + 2 : "");
	return r;
}

int enclosure_init(struct enclosure *x, const struct worker_settings *s, int work_fd, int stores_fd,
		   const int *base_fds, unsigned n_bases, struct error *e)
{
	*x = (struct enclosure){ .storage_conf = BUF_INIT(32 * 1024) };
	int r = spawn_find_helper("postern-builder", x->builder, sizeof(x->builder));
	if (r < 0)
		return error_set(e, -r, "postern-builder is not installed");
	for (size_t i = 0; i < ELEMENTS(fixed); i++)
		add(x, fixed[i]);
	add(x, (struct jail_mount){ JAIL_BIND, INSIDE_JOB, .flags = JAIL_FD, .fd = work_fd });
	add(x, (struct jail_mount){ JAIL_BIND, ENCLOSURE_BUILDER, x->builder, JAIL_RO });
	if (stores_fd >= 0)
		add(x, (struct jail_mount){ JAIL_BIND, INSIDE_STORES "/run",
					    .flags = JAIL_FD | JAIL_RO, .fd = stores_fd });
	for (unsigned i = 0; i < n_bases; i++) {
		snprintf(x->base_targets[i], sizeof(x->base_targets[i]), INSIDE_STORES "/base%u",
			 i);
		add(x, (struct jail_mount){ JAIL_BIND, x->base_targets[i],
					    .flags = JAIL_FD | JAIL_RO, .fd = base_fds[i] });
	}
	r = storage_conf(x, stores_fd, n_bases);
	if (r < 0)
		return error_set(e, -r, "the run's earlier builds cannot be listed: %s",
				 strerror(-r));
	add(x,
	    (struct jail_mount){ JAIL_FILE, "/etc/containers/storage.conf", x->storage_conf.data });
	const struct jail_rlimit limits[] = {
		{ RLIMIT_FSIZE, s->file_bytes },
		{ RLIMIT_NOFILE, LIMIT_BUILD_OPEN_FILES },
		{ RLIMIT_MEMLOCK, 64 * 1024 },
		{ RLIMIT_MSGQUEUE, 0 },
	};
	static_assert(sizeof(limits) <= sizeof(x->limits), "room for the limits");
	memcpy(x->limits, limits, sizeof(limits));
	x->spec.ids.kind = JAIL_IDS_RANGE;
	x->spec.hostname = "build";
	x->spec.mounts = x->mounts;
	x->spec.limits = x->limits;
	x->spec.n_limits = ELEMENTS(limits);
	x->spec.processes = (unsigned)s->processes;
	x->spec.memory = s->memory_bytes;
	return 0;
}

void enclosure_done(struct enclosure *x)
{
	buf_done(&x->storage_conf);
}
