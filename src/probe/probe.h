/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of postern-probe share: an attempt, its outcome, and the tables of attempts. The program says what is possible
 * where it stands: it is static, needs no privilege and none of postern's other programs, so that it can be copied alone into any
 * sandbox. Each attempt is made in a child of its own with a time limit (attempt.c); it must leave nothing that outlives that
 * child but files below scratch_folder().
 */
#ifndef POSTERN_PROBE_H
#define POSTERN_PROBE_H
#include "base/cleanup.h"
#include "base/limit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/types.h>

enum state {
	POSSIBLE, /* it was done; or the kernel refused nothing but arguments that were made to lead nowhere */
	REFUSED, /* it was tried and did not come about: `error` says how, or `detail` where there is none */
	ABSENT, /* what it takes is not here: no such system call, family, file, device or program */
	UNTRIED, /* the attempt itself could not be made; `detail` says why */
};

struct outcome {
	enum state state;
	int error; /* errno's value, or 0 */
	char detail[200];
};

struct attempt {
	const char *name;
	/* Called in a child. Fills *o, which says POSSIBLE at first. */
	void (*make)(const struct attempt *a, struct outcome *o);
	long number;	  /* what it is made with: a flag, a family, … */
	const char *text; /* the same: a path, an address, … */
};

struct attempt_group {
	const char *name;
	const struct attempt *attempts;
	unsigned n;
	unsigned seconds; /* for each */
};

extern const struct attempt_group group_namespaces, group_mounts, group_calls, group_processes,
	group_sockets, group_netlink, group_files, group_network, group_engines;

/* ---- attempt.c: in the parent ---- */

/* Make an attempt in a child, and end whatever it started. */
void attempt_run(const struct attempt *a, unsigned seconds, struct outcome *ret);
/* Whether a signal asked us to end. */
bool attempt_interrupted(void);
/* From now on such signals wait for the attempt that is being made. */
void attempt_heed_signals(void);

/* ---- outcome.c: in the child ---- */

/* What a system call returned, and errno: absent when that says that there is no such thing, refused otherwise. */
void outcome_of(struct outcome *o, long r);
/* The same, but failing with `through` shows that nothing but the arguments was in the way. */
void outcome_through(struct outcome *o, long r, int through);
void outcome_untried(struct outcome *o, const char *why);
/* What it takes is not here: why. */
void outcome_absent(struct outcome *o, const char *why);
void outcome_detail(struct outcome *o, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* In namespaces of its own, where nothing that is mounted outlives it; whether that was possible. */
bool own_mounts(void);
/* In a user namespace of its own, as its root. */
bool own_user(void);
/* A child that waits until its parent has ended; its pid, or -1. */
pid_t bystander(void);
/* Run a program. When it fails, the line of its output that says why becomes the detail, and the errno that it speaks of the error. */
void outcome_of_program(struct outcome *o, const char *const *argv, const char *const *envp);
/* Where a program is in PATH; false: nowhere. */
bool find_program(const char *name, char *path, size_t size);

/* ---- scratch.c ---- */

/* Make a folder for what attempts write, or not: the folder is then NULL. */
void scratch_make(void);
void scratch_remove(void);
const char *scratch_folder(void);
bool scratch_is_below(const char *path);
/* Remove what is in it. */
void scratch_empty(void);

/* ---- facts.c ---- */

/* What needs no attempt. Calls `say` for each, in order. */
void facts(void (*say)(const char *name, const char *value));
#endif
