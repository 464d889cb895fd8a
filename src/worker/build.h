/* SPDX-License-Identifier: Apache-2.0 */
/* The operation "build": one job, from its arguments to its result. Used by postern-worker. */
#ifndef POSTERN_WORKER_BUILD_H
#define POSTERN_WORKER_BUILD_H
#include "worker/contained.h"

struct build_job {
	const char *id, *arguments; /* arguments: JSON */
	const struct worker_settings *settings;
	int log_fd, job_fd, storage_fd, bases_fd, upload_fd;
	int control_fd;
	enum job_state (*control)(void *arg);
	void (*stage)(void *arg, const char *text);
	void (*artifact)(void *arg, const char *name, const char *media_type, uint64_t size);
	void *arg;
};

/* Do it, whatever happens, and leave nothing behind but what the result says. The state it ended in
 * and its result (the caller frees; NULL when out of memory). */
enum job_state build_run(const struct build_job *j, char **ret_result);
#endif
