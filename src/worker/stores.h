/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What builds of a run keep for later ones: a folder STORAGE/stores-MARK for each set of base
 * images, in it one image store per build, N-JOB-BYTES. A build holds a shared lock on the folder
 * that it draws upon; who drops stores needs the only one. Used by postern-worker alone.
 */
#ifndef POSTERN_WORKER_STORES_H
#define POSTERN_WORKER_STORES_H
#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define STORES_FOLDER "stores-"

/* Keep WORK/storage as the newest store in the folder stores_fd: bytes is what it counts for in the
 * run's quota. */
int stores_adopt(int work_fd, int stores_fd, const char *job, uint64_t bytes, struct error *e);
/* What all stores of the run count for. 0 or -errno. */
int stores_total(int storage_fd, uint64_t *ret_bytes);
/* Names of the stores, newest first, as `, "PREFIX/NAME"` each. 0 or -errno. */
int stores_list(int stores_fd, const char *prefix, struct buf *out);

/* Drop stores until those that are left count for at most `bytes` and are at most `count`: first
 * those that belong to other base images, then those whose images have been built again, then the
 * oldest; never one that another one's layers build upon. keep_newest: nor the newest, with what it
 * builds upon. Nothing that another build draws upon is dropped. `mark` is the name of the folder stores_fd, on
 * which the caller holds no lock but, in that descriptor, a shared one, and afterwards holds that.
 * 0, also when too much is left; or -errno with *e. */
int stores_make_room(int storage_fd, int stores_fd, const char *mark, uint64_t bytes,
		     unsigned count, bool keep_newest, struct error *e);
#endif
