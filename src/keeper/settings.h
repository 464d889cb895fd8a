/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's configuration file: YAML read once by `postern serve`, given on as the JSON object that keeper and workers
 * take (worker/settings.h). Every fault is named with file, line and column. Reads nothing of an agent's.
 */
#ifndef POSTERN_SETTINGS_H
#define POSTERN_SETTINGS_H
#include "base/buf.h"
#include "base/error.h"
#include <stdint.h>

#define SETTINGS_JSON_MAX (32 * 1024) /* bytes */

/* What keeper itself keeps to. */
struct serve_limits {
	uint64_t seconds;		    /* of a job */
	uint64_t jobs_running, jobs_queued; /* at once; uploading ones count as queued */
	uint64_t storage_bytes;		    /* of the run */
};

/*
 *   engine: auto            # auto, buildah, podman; docker only with trust_dockerfiles
 *   trust_dockerfiles: false
 *   bases: [debian-tcc]     # granted base images, made by `postern base add`
 *   limits: { seconds: 3600, memory_bytes: N, processes: N, file_bytes: N, storage_bytes: N, log_bytes: N,
 *             context_bytes: N, context_entries: N, jobs_running: N, jobs_queued: N }
 *
 * path NULL: the defaults ("{}"). 0, or -errno with *e. */
int serve_settings_load(const char *path, struct buf *out, struct serve_limits *ret_limits,
			struct error *e);
#endif
