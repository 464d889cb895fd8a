/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The base store: CACHE/bases/NAME/ holds one base image, storage/ (an image store of the jail's
 * ids) and base.json (what it is). Made by `postern base add` through postern-worker, drawn upon by
 * builds that were granted its name.
 */
#ifndef POSTERN_WORKER_BASES_H
#define POSTERN_WORKER_BASES_H
#include "worker/settings.h"

/* Open the stores of granted bases, each with a shared lock on its folder, so that none is replaced
 * under a running build. The descriptors of stores are in ret_stores, those that hold the locks in
 * ret_folders; close both. 0, or -errno with *e naming the base that is missing. */
int bases_open(int bases_fd, char *const *names, unsigned n, int *ret_stores, int *ret_folders,
	       struct error *e);

/* A text for this set of bases as they are now: another one when any of them was replaced. What was
 * built upon one set is of no use with another, since layers name their parents. 0 or -errno with *e. */
#define BASES_MARK_SIZE 17
int bases_mark(const int *folders, unsigned n, char ret[BASES_MARK_SIZE], struct error *e);

/* Import a root file system tar as base NAME. Does nothing (and says so in ret_made) when the same
 * tar was imported already. engine: the one to use. */
int bases_add(int bases_fd, const char *name, int tar_fd, enum engine_choice engine, bool *ret_made,
	      struct error *e);

/* Remove what an import or a removal that was killed has left. 0 or -errno with *e. */
int bases_tidy(int bases_fd, struct error *e);

/* Remove base NAME, when the builds that use it have ended. 0 or -errno with *e. */
int bases_remove(int bases_fd, const char *name, struct error *e);
#endif
