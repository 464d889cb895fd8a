/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of pinned programs, and the hashes under way.
 *
 * - A file is taken to be unchanged as long as its device, inode, size, mtime and ctime are: nothing in a sandbox can set
 *   a ctime, and it changes with the content, the mode, the name and the number of names. (A tmpfs of old kernels does
 *   not note what is written through a shared mapping. Who can write there can also make a listed program do what he
 *   wants, which is why such paths should not be listed.)
 * - Times are as coarse as the kernel's tick. So a file is not hashed before one has gone by since it last changed:
 *   whatever is written after the hash began has another time.
 * - A file that changes while it is hashed is hashed again, by whoever asks next.
 * - Several files are hashed in turns, one slice of each, so that a large one holds up no small one, and neither the
 *   requests of programs that are known.
 */
#include "proxy/pins.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>

#define SLICE_BYTES (64 * 1024)
#define TICK_MS	    20 /* more than the longest one (10 ms) */
#define SLOTS	    (2 * LIMIT_PROGRAMS)

/* That a file is the same one, with the same content. */
struct mark {
	dev_t dev;
	ino_t inode;
	off_t size;
	struct timespec mtime, ctime;
};

struct program {
	char *path;
	unsigned char digest[SHA256_DIGEST_SIZE]; /* of the first file */
	struct mark last;			  /* looked at */
	bool same;				  /* whether that had the digest */
};

struct hash {
	char *path; /* NULL: none is under way here */
	int fd;
	struct mark mark;
	off_t done;
	uint64_t after_ms; /* of the wall clock: not before */
	struct sha256_ctx state;
};

static struct program *programs[SLOTS]; /* by path, open addressing */
static unsigned n_programs;
static struct hash hashes[LIMIT_PROGRAM_HASHES];
static unsigned turn;

static struct mark mark_of(const struct stat *st)
{
	return (struct mark){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_mark(const struct mark *a, const struct mark *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->size == b->size &&
	       same_time(a->mtime, b->mtime) && same_time(a->ctime, b->ctime);
}

/* Where a program with this path is, or would be. */
static struct program **slot_of(const char *path)
{
	uint64_t hash = HASH_START;
	for (const char *c = path; *c; c++)
		hash = hash_byte(hash, *c);
	size_t at = hash % SLOTS;
	while (programs[at] && strcmp(programs[at]->path, path) != 0)
		at = (at + 1) % SLOTS;
	return &programs[at];
}

static int begin(int proc, const char *exe, const char *path, const struct mark *mark,
		 enum pin *ret, int *ret_hash)
{
	unsigned i = 0;
	while (i < LIMIT_PROGRAM_HASHES && hashes[i].path)
		i++;
	*ret_hash = PINS_LATER;
	if (i == LIMIT_PROGRAM_HASHES)
		return -EINPROGRESS;
	_cleanup_close_ int fd = openat(proc, exe, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ESRCH))
		return -EAGAIN;
	*ret = PIN_UNREADABLE;
	if (fd < 0)
		return 0;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return 0;
	struct mark now = mark_of(&st);
	if (!same_mark(&now, mark))
		return -EAGAIN;
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	hashes[i] = (struct hash){
		.path = copy,
		.fd = TAKE_FD(fd),
		.mark = now,
		.after_ms = (uint64_t)now.ctime.tv_sec * 1000 +
			    (uint64_t)now.ctime.tv_nsec / 1000000 + TICK_MS,
	};
	sha256_init(&hashes[i].state);
	*ret_hash = (int)i;
	return -EINPROGRESS;
}

/* What can be said without looking into the file; false: nothing can. */
static bool is_known(const char *path, const struct stat *st, const struct mark *mark,
		     enum pin *ret)
{
	const struct program *p = *slot_of(path);
	if (p && same_mark(&p->last, mark))
		*ret = p->same ? PIN_SAME : PIN_CHANGED;
	else if (!S_ISREG(st->st_mode))
		*ret = PIN_UNREADABLE;
	else if (st->st_size > LIMIT_PROGRAM_BYTES)
		*ret = PIN_TOO_LARGE;
	else if (!p && n_programs == LIMIT_PROGRAMS)
		*ret = PIN_NO_ROOM;
	else
		return false;
	return true;
}

int pins_look(int proc, const char *exe, const char *path, const struct stat *st, enum pin *ret,
	      int *ret_hash)
{
	struct mark mark = mark_of(st);
	if (is_known(path, st, &mark, ret))
		return 0;
	for (unsigned i = 0; i < LIMIT_PROGRAM_HASHES; i++) {
		if (!hashes[i].path || !same_mark(&hashes[i].mark, &mark) ||
		    strcmp(hashes[i].path, path) != 0)
			continue;
		*ret_hash = (int)i;
		return -EINPROGRESS;
	}
	return begin(proc, exe, path, &mark, ret, ret_hash);
}

/* How long one has to wait; a time that lies further ahead than any tick is a clock's fault. */
static unsigned due_in_ms(const struct hash *h)
{
	uint64_t now = clock_wall_ms();
	return h->after_ms > now && h->after_ms - now <= TICK_MS ? (unsigned)(h->after_ms - now)
								 : 0;
}

int pins_wait_ms(void)
{
	int wait = -1;
	for (unsigned i = 0; i < LIMIT_PROGRAM_HASHES; i++) {
		if (!hashes[i].path)
			continue;
		int ms = (int)due_in_ms(&hashes[i]);
		if (wait < 0 || ms < wait)
			wait = ms;
	}
	return wait;
}

/* The file had this digest all the while. Nothing is remembered when there is no memory: it is hashed again. */
static void settle(struct hash *h, const unsigned char *digest)
{
	struct program **slot = slot_of(h->path), *p = *slot;
	if (!p && n_programs < LIMIT_PROGRAMS && (p = calloc(1, sizeof(*p)))) {
		p->path = TAKE_PTR(h->path);
		memcpy(p->digest, digest, sizeof(p->digest));
		*slot = p;
		n_programs++;
	}
	if (!p)
		return;
	p->last = h->mark;
	p->same = !memcmp(p->digest, digest, sizeof(p->digest));
}

static void finish(struct hash *h)
{
	unsigned char digest[SHA256_DIGEST_SIZE];
	struct stat st;
	sha256_digest(&h->state, sizeof(digest), digest);
	struct mark now = fstat(h->fd, &st) == 0 ? mark_of(&st) : (struct mark){ 0 };
	if (same_mark(&now, &h->mark))
		settle(h, digest);
}

static struct hash *next_due(void)
{
	for (unsigned i = 0; i < LIMIT_PROGRAM_HASHES; i++) {
		turn = (turn + 1) % LIMIT_PROGRAM_HASHES;
		if (hashes[turn].path && !due_in_ms(&hashes[turn]))
			return &hashes[turn];
	}
	return NULL;
}

int pins_step(void)
{
	static unsigned char slice[SLICE_BYTES];
	struct hash *h = next_due();
	if (!h)
		return PINS_LATER;
	ssize_t n = read(h->fd, slice, sizeof(slice));
	if (n < 0 && errno == EINTR)
		return PINS_LATER;
	if (n > 0) {
		sha256_update(&h->state, (size_t)n, slice);
		h->done += n;
	}
	/* One that grows is another file already. */
	if (n > 0 && h->done <= h->mark.size)
		return PINS_LATER;
	if (n == 0)
		finish(h);
	close(h->fd);
	free(TAKE_PTR(h->path));
	return (int)turn;
}
