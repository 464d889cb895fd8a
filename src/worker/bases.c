/* SPDX-License-Identifier: Apache-2.0 */
/* Opens granted base images and imports new ones. */
#include "worker/bases.h"
#include "api/tag.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "worker/contained.h"
#include "worker/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FACTS_FILE "base.json"
#define NEW_FOLDER ".new"
#define OLD_FOLDER ".old"

static int open_folder(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int bases_open(int bases_fd, char *const *names, unsigned n, int *ret_stores, int *ret_folders,
	       struct error *e)
{
	for (unsigned i = 0; i < n; i++) {
		if (!tag_is_base_name(names[i]))
			return error_set(e, EINVAL, "'%.64s' is not a name of a base image",
					 names[i]);
		ret_folders[i] = open_folder(bases_fd, names[i]);
		if (ret_folders[i] >= 0 && flock(ret_folders[i], LOCK_SH) == 0)
			ret_stores[i] = open_folder(ret_folders[i], "storage");
		if (ret_folders[i] < 0 || ret_stores[i] < 0)
			return error_set(e, ENOENT,
					 "base image %s is granted, but not there; `postern base "
					 "add %s ROOTFS.tar` makes it",
					 names[i], names[i]);
	}
	return 0;
}

int bases_mark(const int *folders, unsigned n, char ret[BASES_MARK_SIZE], struct error *e)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	for (unsigned i = 0; i < n; i++) {
		_cleanup_free_ char *text = NULL;
		size_t len = 0;
		_cleanup_close_ int fd =
			openat(folders[i], FACTS_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		int r = fd < 0 ? -errno : fd_read_file(fd, 64 * 1024, &text, &len);
		if (r < 0)
			return error_set(e, -r, "a granted base image cannot be read: %s: %s",
					 FACTS_FILE, strerror(-r));
		crypto_hash_sha256_update(&state, (const unsigned char *)text, len);
	}
	crypto_hash_sha256_final(&state, hash);
	sodium_bin2hex(ret, BASES_MARK_SIZE, hash, (BASES_MARK_SIZE - 1) / 2);
	return 0;
}

/* ---- import ---- */

struct import {
	int folder, work;
	char digest[2 * crypto_hash_sha256_BYTES + 1];
	struct buf log; /* the last of it, for an error */
	struct contained_result result;
};

static int digest_of(int fd, char out[2 * crypto_hash_sha256_BYTES + 1], struct error *e)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	static char piece[256 * 1024];
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set(e, errno, "the tar must be a file");
	for (;;) {
		ssize_t n = fd_read_full(fd, piece, sizeof(piece));
		if (n < 0)
			return error_set(e, (int)-n, "the tar cannot be read: %s",
					 strerror((int)-n));
		if (n == 0)
			break;
		crypto_hash_sha256_update(&state, (const unsigned char *)piece,
					  (unsigned long long)n);
	}
	crypto_hash_sha256_final(&state, hash);
	sodium_bin2hex(out, 2 * sizeof(hash) + 1, hash, sizeof(hash));
	return 0;
}

/* Whether base.json of that base names this digest. */
static bool is_same(int bases_fd, const char *name, const char *digest)
{
	_cleanup_close_ int folder = open_folder(bases_fd, name);
	_cleanup_close_ int fd =
		folder < 0 ? -1 : openat(folder, FACTS_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t n;
	return fd >= 0 && fd_read_file(fd, 64 * 1024, &text, &n) == 0 && strstr(text, digest);
}

static void keep_log(void *arg, const char *text, size_t n)
{
	struct import *i = arg;
	(void)buf_append(&i->log, text, n); /* what is beyond its limit is dropped */
}

static void no_stage(void *arg, const char *text)
{
}

static int import_in(struct import *i, const char *name, int tar_fd, enum engine_choice engine,
		     struct error *e)
{
	struct worker_settings settings;
	char tag[TAG_MAX];
	int r = settings_parse("{\"run\":\"base\",\"tag_prefix\":\"localhost/\"}", &settings, e);
	if (r == 0)
		r = tag_compose("localhost/", name, name, tag, e);
	settings.seconds = LIMIT_IMPORT_SECONDS;
	const struct contained_spec spec = { .engine = engine,
					     .input = INPUT_ROOTFS,
					     .input_fd = tar_fd,
					     .tag = tag,
					     .arguments = "{\"no_cache\":true}",
					     .settings = &settings,
					     .work_fd = i->work,
					     .stores_fd = -1,
					     .image_fd = -1,
					     .output_fd = -1,
					     .control_fd = -1,
					     .log = keep_log,
					     .stage = no_stage,
					     .arg = i };
	if (r == 0)
		r = contained_build(&spec, &i->result, e);
	settings_done(&settings);
	if (r == 0 && i->result.state != JOB_SUCCEEDED)
		r = error_set(e, EIO, "%s %s", i->result.error, i->result.hint);
	return r;
}

static int write_facts(const struct import *i, const char *name, struct error *e)
{
	char when[CLOCK_TEXT_SIZE];
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	buf_printf(&b,
		   "{\"name\":\"%s\",\"rootfs_sha256\":\"%s\",\"image_id\":\"%s\",\"size\":%llu,"
		   "\"made\":\"%s\"}\n",
		   name, i->digest, i->result.image.id, (unsigned long long)i->result.image.size,
		   clock_text(clock_wall_ms(), when));
	_cleanup_close_ int fd =
		openat(i->folder, FACTS_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : fd_write_full(fd, b.data, b.len);
	return r < 0 ? error_set(e, -r, "%s: %s", FACTS_FILE, strerror(-r)) : 0;
}

/* Remove a base's folder, whose store holds files of the jail's ids. */
static int remove_base(int bases_fd, const char *name, struct error *e)
{
	_cleanup_close_ int folder = open_folder(bases_fd, name);
	if (folder < 0)
		return folder == -ENOENT ? 0
					 : error_set(e, -folder, "%s: %s", name, strerror(-folder));
	int r = scratch_remove(folder, "work", e);
	if (r == 0)
		r = scratch_remove(folder, "storage", e);
	if (r == 0 && remove_tree_at(bases_fd, name) < 0)
		r = error_set(e, EIO, "cannot remove %s", name);
	return r;
}

/* Put the new folder in the place of an older one; builds that use that finish first. */
static int replace(int bases_fd, const char *name, struct error *e)
{
	_cleanup_close_ int old = open_folder(bases_fd, name);
	if (old >= 0 && flock(old, LOCK_EX) < 0)
		return error_set(e, errno, "flock: %s", strerror(errno));
	if (old >= 0 && renameat(bases_fd, name, bases_fd, OLD_FOLDER) < 0)
		return error_set(e, errno, "%s: %s", name, strerror(errno));
	if (renameat(bases_fd, NEW_FOLDER, bases_fd, name) < 0)
		return error_set(e, errno, "%s: %s", name, strerror(errno));
	return remove_base(bases_fd, OLD_FOLDER, e);
}

static int import(struct import *i, int bases_fd, const char *name, int tar_fd,
		  enum engine_choice engine, struct error *e)
{
	if (mkdirat(bases_fd, NEW_FOLDER, 0700) < 0)
		return error_set(e, errno, "%s: %s", NEW_FOLDER, strerror(errno));
	i->folder = open_folder(bases_fd, NEW_FOLDER);
	if (i->folder < 0)
		return error_set(e, -i->folder, "%s: %s", NEW_FOLDER, strerror(-i->folder));
	int r = scratch_make(i->folder, "work", &i->work, e);
	if (r == 0)
		r = import_in(i, name, tar_fd, engine, e);
	if (r == 0 && renameat(i->work, "storage", i->folder, "storage") < 0)
		r = error_set(e, errno, "storage: %s", strerror(errno));
	if (r == 0)
		r = scratch_remove(i->folder, "work", e);
	if (r == 0)
		r = write_facts(i, name, e);
	return r == 0 ? replace(bases_fd, name, e) : r;
}

static int tidy(int bases_fd, struct error *e)
{
	int r = remove_base(bases_fd, NEW_FOLDER, e);
	return r < 0 ? r : remove_base(bases_fd, OLD_FOLDER, e);
}

int bases_tidy(int bases_fd, struct error *e)
{
	/* One at a time per cache. */
	return flock(bases_fd, LOCK_EX) < 0 ? error_set(e, errno, "flock: %s", strerror(errno))
					    : tidy(bases_fd, e);
}

int bases_add(int bases_fd, const char *name, int tar_fd, enum engine_choice engine, bool *ret_made,
	      struct error *e)
{
	static struct import i; /* large */
	struct error ignored;
	i = (struct import){ .folder = -1, .work = -1, .log = BUF_INIT(64 * 1024) };
	if (!tag_is_base_name(name))
		return error_set(e, EINVAL, "'%.64s' is not a name for a base image", name);
	/* One import at a time per cache. */
	if (flock(bases_fd, LOCK_EX) < 0)
		return error_set(e, errno, "flock: %s", strerror(errno));
	int r = digest_of(tar_fd, i.digest, e);
	*ret_made = r == 0 && !is_same(bases_fd, name, i.digest);
	if (r < 0 || !*ret_made)
		return r;
	r = tidy(bases_fd, e); /* what a crash may have left */
	if (r == 0)
		r = import(&i, bases_fd, name, tar_fd, engine, e);
	if (i.folder >= 0)
		close(i.folder);
	if (i.work >= 0)
		close(i.work);
	buf_done(&i.log);
	if (r < 0)
		(void)remove_base(bases_fd, NEW_FOLDER, &ignored);
	return r;
}

int bases_remove(int bases_fd, const char *name, struct error *e)
{
	if (!tag_is_base_name(name))
		return error_set(e, EINVAL, "'%.64s' is not a name for a base image", name);
	if (flock(bases_fd, LOCK_EX) < 0)
		return error_set(e, errno, "flock: %s", strerror(errno));
	_cleanup_close_ int folder = open_folder(bases_fd, name);
	if (folder < 0)
		return error_set(e, ENOENT, "there is no base image %s", name);
	if (flock(folder, LOCK_EX) < 0)
		return error_set(e, errno, "flock: %s", strerror(errno));
	int r = remove_base(bases_fd, OLD_FOLDER, e); /* what a crash may have left */
	if (r == 0 && renameat(bases_fd, name, bases_fd, OLD_FOLDER) < 0)
		r = error_set(e, errno, "%s: %s", name, strerror(errno));
	return r == 0 ? remove_base(bases_fd, OLD_FOLDER, e) : r;
}
