/* SPDX-License-Identifier: Apache-2.0 */
/* The shared table of a run's jobs: keeper writes it, fronts read it. */
#include "api/jobtable.h"
#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
/* A writer holds a slot for the time of one copy; the bound only matters when it was killed there.
 */
#define READ_TRIES 10000000u

static const char *const state_names[] = {
	[JOB_FREE] = "free",	       [JOB_UPLOADING] = "uploading", [JOB_QUEUED] = "queued",
	[JOB_RUNNING] = "running",     [JOB_SUCCEEDED] = "succeeded", [JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled", [JOB_TIMED_OUT] = "timed_out", [JOB_LOST] = "lost",
};
static_assert(ELEMENTS(state_names) == JOB_STATE_COUNT, "a name per state");
static_assert(offsetof(struct job_view, result) + LIMIT_RESULT_BYTES <= sizeof(struct job_view),
	      "the result comes last, so that reading can stop at its end");

const char *job_state_name(enum job_state s)
{
	return (unsigned)s < JOB_STATE_COUNT ? state_names[s] : "unknown";
}

bool job_state_ended(enum job_state s)
{
	return s >= JOB_SUCCEEDED && s < JOB_STATE_COUNT;
}

bool job_id_valid(const char *id)
{
	static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
	return id[0] == 'j' && strlen(id) == 21 && strspn(id + 1, alphabet) == 20;
}

/* The middle of an id, as a number that is never 0. */
static uint64_t key_of(const char *id)
{
	uint64_t key;
	memcpy(&key, id + 5, sizeof(key));
	return key;
}

int jobtable_create(struct job_table **ret, int *ret_fd)
{
	_cleanup_close_ int fd = memfd_create("postern-jobs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, sizeof(struct job_table)) < 0)
		return -errno;
	struct job_table *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t == MAP_FAILED)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0) {
		int r = -errno;
		munmap(t, sizeof(*t));
		return r;
	}
	*ret = t;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int jobtable_map(int fd, const struct job_table **ret)
{
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	off_t size = lseek(fd, 0, SEEK_END);
	if ((seals & SEALS) != SEALS || size != sizeof(struct job_table))
		return -EPERM;
	const struct job_table *t = mmap(NULL, sizeof(*t), PROT_READ, MAP_SHARED, fd, 0);
	if (t == MAP_FAILED)
		return -errno;
	*ret = t;
	return 0;
}

void jobtable_write(struct job_table *t, unsigned slot, const struct job_view *v)
{
	assert(slot < LIMIT_JOBS_PER_RUN && v->state < JOB_STATE_COUNT);
	assert(v->result_len <= LIMIT_RESULT_BYTES && v->n_artifacts <= LIMIT_ARTIFACTS);
	struct job_slot *s = &t->slot[slot];
	uint32_t sequence = atomic_load_explicit(&s->sequence, memory_order_relaxed);
	atomic_store_explicit(&s->sequence, sequence | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	memcpy(&s->view, v, sizeof(*v));
	atomic_store_explicit(&s->sequence, (sequence | 1) + 1, memory_order_release);
	atomic_store_explicit(&t->key[slot], v->state == JOB_FREE ? 0 : key_of(v->id),
			      memory_order_release);
}

static void spin_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Start and check of a consistent read; an odd count is a write in progress. */
static bool read_start(const struct job_slot *s, uint32_t *ret_sequence)
{
	for (unsigned i = 0; i < READ_TRIES; i++) {
		*ret_sequence = atomic_load_explicit(&s->sequence, memory_order_acquire);
		if (!(*ret_sequence & 1))
			return true;
		spin_pause();
	}
	return false;
}

static bool read_was_consistent(const struct job_slot *s, uint32_t sequence)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&s->sequence, memory_order_relaxed) == sequence;
}

bool jobtable_read(const struct job_table *t, unsigned slot, struct job_view *ret)
{
	if (slot >= LIMIT_JOBS_PER_RUN)
		return false;
	const struct job_slot *s = &t->slot[slot];
	uint32_t sequence;
	do {
		if (!read_start(s, &sequence))
			return false;
		memcpy(ret, &s->view, offsetof(struct job_view, result));
		size_t n = ret->result_len;
		if (n > LIMIT_RESULT_BYTES)
			continue; /* torn: the check below fails */
		memcpy(ret->result, s->view.result, n);
		if (n < LIMIT_RESULT_BYTES)
			ret->result[n] = '\0';
	} while (!read_was_consistent(s, sequence));
	return ret->state != JOB_FREE;
}

uint32_t jobtable_version(const struct job_table *t, unsigned slot)
{
	assert(slot < LIMIT_JOBS_PER_RUN);
	return atomic_load_explicit(&t->slot[slot].sequence, memory_order_acquire);
}

static bool slot_has(const struct job_slot *s, const char *id)
{
	uint32_t sequence;
	bool same;
	do {
		if (!read_start(s, &sequence))
			return false;
		same = s->view.state != JOB_FREE && !memcmp(s->view.id, id, strlen(id) + 1);
	} while (!read_was_consistent(s, sequence));
	return same;
}

int jobtable_find(const struct job_table *t, const char *id)
{
	if (!job_id_valid(id))
		return -1;
	uint64_t key = key_of(id);
	for (unsigned i = 0; i < LIMIT_JOBS_PER_RUN; i++)
		if (atomic_load_explicit(&t->key[i], memory_order_acquire) == key &&
		    slot_has(&t->slot[i], id))
			return (int)i;
	return -1;
}
