/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps, lists and drops image stores. Which may be dropped stands in their JSON, which is read in a jail. */
#include "worker/stores.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "jail/jail.h"
#include "worker/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/file.h>

#define DROPPED ".dropped" /* no store's name: what is half removed is none */

static int open_folder(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The number that a store's name begins with; 0 when it is none. */
static unsigned long number_of(const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);
	return *name >= '0' && *name <= '9' && *end == '-' ? n : 0;
}

struct store_names {
	char **name;
	size_t n;
};

static void free_names(struct store_names *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->name[i]);
	free(s->name);
}

static int newest_first(const void *a, const void *b)
{
	unsigned long x = number_of(*(char *const *)a), y = number_of(*(char *const *)b);
	return x < y ? 1 : x > y ? -1 : 0;
}

static int read_names(int stores_fd, struct store_names *ret)
{
	DIR *dir = fd_list(stores_fd, ".");
	if (!dir)
		return -errno;
	int r = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir))) {
		if (!number_of(entry->d_name))
			continue;
		char **more = realloc(ret->name, (ret->n + 1) * sizeof(char *));
		if (more)
			ret->name = more;
		char *copy = more ? strdup(entry->d_name) : NULL;
		if (copy)
			ret->name[ret->n++] = copy;
		else
			r = -ENOMEM;
	}
	closedir(dir);
	if (ret->n)
		qsort(ret->name, ret->n, sizeof(char *), newest_first);
	return r;
}

int stores_list(int stores_fd, const char *prefix, struct buf *out)
{
	_cleanup_(free_names) struct store_names names = { 0 };
	int r = read_names(stores_fd, &names);
	for (size_t i = 0; r == 0 && i < names.n && i < LIMIT_BUILD_STORES; i++)
		r = buf_printf(out, ", \"%s/%s\"", prefix, names.name[i]);
	return r;
}

static uint64_t bytes_of(const char *name)
{
	return strtoull(strrchr(name, '-') + 1, NULL, 10);
}

static int add_stored(int stores_fd, uint64_t *bytes)
{
	_cleanup_(free_names) struct store_names names = { 0 };
	int r = read_names(stores_fd, &names);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		*bytes += bytes_of(names.name[i]);
	return r;
}

int stores_total(int storage_fd, uint64_t *ret_bytes)
{
	DIR *dir = fd_list(storage_fd, ".");
	if (!dir)
		return -errno;
	int r = 0;
	uint64_t bytes = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, STORES_FOLDER, strlen(STORES_FOLDER)) != 0)
			continue;
		_cleanup_close_ int stores = open_folder(storage_fd, entry->d_name);
		r = stores < 0 ? stores : add_stored(stores, &bytes);
	}
	closedir(dir);
	if (r == 0)
		*ret_bytes = bytes;
	return r;
}

int stores_adopt(int work_fd, int stores_fd, const char *job, uint64_t bytes, struct error *e)
{
	_cleanup_(free_names) struct store_names names = { 0 };
	int r = read_names(stores_fd, &names);
	unsigned long n = names.n ? number_of(names.name[0]) : 0;
	char name[64];
	if (r == 0)
		r = -EEXIST;
	while (r == -EEXIST) { /* again when another build of this run was faster */
		snprintf(name, sizeof(name), "%lu-%.30s-%llu", ++n, job, (unsigned long long)bytes);
		r = renameat2(work_fd, "storage", stores_fd, name, RENAME_NOREPLACE) < 0 ? -errno
											 : 0;
	}
	return r < 0 ? error_set(e, -r, "what the build made cannot be kept: %s", strerror(-r)) : 0;
}

/* ---- in a jail: which stores build upon which ---- */

struct plan {
	const struct store_names *names; /* newest first */
	bool keep_newest;
	int to; /* gets the index of each store that may be dropped, in that order */
	json_t *owner, *newest; /* layer id, image name: index of the store that has it */
	bool *uses;		/* [i * n + j]: store i builds upon store j */
	bool *superseded, *gone;
};

static json_t *load(const char *store, const char *file)
{
	char path[512];
	_cleanup_free_ char *text = NULL;
	size_t n;
	snprintf(path, sizeof(path), "/stores/%s/%s", store, file);
	return file_read(path, LIMIT_STORE_JSON_BYTES, &text, &n) < 0
		       ? NULL
		       : json_loadb(text, n, 0, NULL);
}

static void set_use(struct plan *p, size_t user, const json_t *layer)
{
	const json_t *owner =
		json_is_string(layer) ? json_object_get(p->owner, json_string_value(layer)) : NULL;
	if (owner && (size_t)json_integer_value(owner) != user)
		p->uses[user * p->names->n + (size_t)json_integer_value(owner)] = true;
}

/* From the oldest to the newest, so that what an earlier one has is known. */
static void read_store(struct plan *p, size_t i)
{
	json_t *layers = load(p->names->name[i], "overlay-layers/layers.json");
	json_t *images = load(p->names->name[i], "overlay-images/images.json");
	json_t *entry, *name;
	size_t at, k;
	json_array_foreach(layers, at, entry)
	{
		const json_t *id = json_object_get(entry, "id");
		if (json_is_string(id))
			json_object_set_new(p->owner, json_string_value(id),
					    json_integer((json_int_t)i));
	}
	json_array_foreach(layers, at, entry) set_use(p, i, json_object_get(entry, "parent"));
	json_array_foreach(images, at, entry)
	{
		set_use(p, i, json_object_get(entry, "layer"));
		json_array_foreach(json_object_get(entry, "mapped-layers"), k, name)
			set_use(p, i, name);
		json_array_foreach(json_object_get(entry, "names"), k,
				   name) if (json_is_string(name))
			json_object_set_new(p->newest, json_string_value(name),
					    json_integer((json_int_t)i));
	}
	json_decref(layers);
	json_decref(images);
}

/* Whether every image's name of the store means a newer image by now. */
static bool is_superseded(struct plan *p, size_t i)
{
	const char *name;
	json_t *at;
	json_object_foreach(p->newest, name,
			    at) if ((size_t)json_integer_value(at) == i) return false;
	return true;
}

static bool may_go(const struct plan *p, size_t i)
{
	bool used = p->gone[i] || (i == 0 && p->keep_newest);
	for (size_t user = 0; !used && user < p->names->n; user++)
		used = !p->gone[user] && p->uses[user * p->names->n + i];
	return !used;
}

/* The oldest that may go, of those that were built again when there is one; n for none. */
static size_t next_to_go(const struct plan *p)
{
	for (int any = 0; any < 2; any++)
		for (size_t i = p->names->n; i-- > 0;)
			if ((any || p->superseded[i]) && may_go(p, i))
				return i;
	return p->names->n;
}

static int make_plan(void *arg)
{
	struct plan *p = arg;
	size_t n = p->names->n, i;
	p->owner = json_object();
	p->newest = json_object();
	p->uses = calloc(n * n, sizeof(bool));
	p->superseded = calloc(n, sizeof(bool));
	p->gone = calloc(n, sizeof(bool));
	if (!p->owner || !p->newest || !p->uses || !p->superseded || !p->gone)
		return EXIT_FAILURE;
	for (i = n; i-- > 0;)
		read_store(p, i);
	for (i = 0; i < n; i++)
		p->superseded[i] = is_superseded(p, i);
	while ((i = next_to_go(p)) < n) {
		p->gone[i] = true;
		if (fd_write_full(p->to, &i, sizeof(i)) < 0)
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* ---- dropping ---- */

static int drop(int stores_fd, const char *name, struct error *e)
{
	int r = scratch_remove(stores_fd, DROPPED, e); /* what a crash may have left */
	if (r == 0 && renameat(stores_fd, name, stores_fd, DROPPED) < 0)
		r = error_set(e, errno, "%s: %s", name, strerror(errno));
	return r == 0 ? scratch_remove(stores_fd, DROPPED, e) : r;
}

/* The jail's plan is taken as advice: each store goes once, and only stores do. */
static int drop_planned(int stores_fd, struct plan *p, uint64_t total, uint64_t bytes,
			unsigned count, struct error *e)
{
	int pair[2];
	struct store_names *names = (struct store_names *)p->names;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_set(e, errno, "pipe: %s", strerror(errno));
	_cleanup_close_ int from = pair[0];
	p->to = pair[1];
	const struct jail_mount mounts[] = {
		{ JAIL_BIND, "/stores", .flags = JAIL_FD | JAIL_RO, .fd = stores_fd },
	};
	const struct jail_spec spec = { .ids = { .kind = JAIL_IDS_RANGE },
					.mounts = mounts,
					.n_mounts = ELEMENTS(mounts),
					.keep_fds = &p->to,
					.n_keep_fds = 1 };
	_cleanup_jail_ struct jail jail = JAIL_INIT;
	int r = jail_start(&spec, make_plan, p, &jail, e);
	close(p->to);
	size_t left = names->n, i;
	while (r == 0 && (total > bytes || left > count) &&
	       fd_read_full(from, &i, sizeof(i)) == sizeof(i)) {
		if (i >= names->n || !names->name[i])
			break;
		total -= bytes_of(names->name[i]);
		left--;
		r = drop(stores_fd, names->name[i], e);
		free(names->name[i]);
		names->name[i] = NULL;
	}
	return r;
}

/* Stores upon other base images than there are now. */
static int drop_others(int storage_fd, const char *mark, struct error *e)
{
	DIR *dir = fd_list(storage_fd, ".");
	if (!dir)
		return error_set(e, EIO, "the run's storage cannot be read");
	int r = 0;
	struct dirent *entry;
	while (r == 0 && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, STORES_FOLDER, strlen(STORES_FOLDER)) != 0 ||
		    !strcmp(entry->d_name, mark))
			continue;
		_cleanup_close_ int other = open_folder(storage_fd, entry->d_name);
		if (other >= 0 && flock(other, LOCK_EX | LOCK_NB) == 0)
			r = scratch_remove(storage_fd, entry->d_name, e);
	}
	closedir(dir);
	return r;
}

static int make_room(int storage_fd, int stores_fd, const char *mark, uint64_t bytes,
		     unsigned count, bool keep_newest, struct error *e)
{
	_cleanup_(free_names) struct store_names names = { 0 };
	uint64_t total = 0;
	int r = read_names(stores_fd, &names);
	if (r == 0)
		r = stores_total(storage_fd, &total);
	if (r == 0 && total > bytes) {
		r = drop_others(storage_fd, mark, e);
		if (r == 0)
			r = stores_total(storage_fd, &total);
	}
	if (r < 0 || (total <= bytes && names.n <= count))
		return r;
	if (flock(stores_fd, LOCK_EX | LOCK_NB) < 0)
		return 0; /* another build draws upon them */
	struct plan plan = { .names = &names, .keep_newest = keep_newest };
	return drop_planned(stores_fd, &plan, total, bytes, count, e);
}

int stores_make_room(int storage_fd, int stores_fd, const char *mark, uint64_t bytes,
		     unsigned count, bool keep_newest, struct error *e)
{
	int r = make_room(storage_fd, stores_fd, mark, bytes, count, keep_newest, e);
	if (r < 0 && !e->code)
		error_set(e, -r, "what earlier builds have kept cannot be read: %s", strerror(-r));
	while (flock(stores_fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return error_set(e, errno, "flock: %s", strerror(errno));
	return r;
}
