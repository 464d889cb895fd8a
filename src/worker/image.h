/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what an OCI archive (a tar of an OCI image layout) says about its one image: digest,
 * layers, bytes. Used by postern-builder, inside the jail: the archive comes from an engine that
 * hostile processes could have tampered with.
 */
#ifndef POSTERN_WORKER_IMAGE_H
#define POSTERN_WORKER_IMAGE_H
#include "base/error.h"
#include <stdint.h>

#define DIGEST_SIZE 80 /* bytes, NUL included, of "sha256:" and 64 hexadecimal digits, or longer */

struct image_facts {
	char id[DIGEST_SIZE];	  /* of the configuration */
	char digest[DIGEST_SIZE]; /* of the manifest */
	uint64_t size;		  /* bytes of the layers as packed, and the configuration */
	uint64_t layers;
};

/* fd: the archive, read from its beginning. 0 or -errno with *e. */
int image_describe(int fd, struct image_facts *ret, struct error *e);

/* Copy the one file that the tar in fd holds (as `docker cp` writes it) to the file `to`. 0, or -errno
 * with *e: -EISDIR when it is no file. */
int image_copied_file(int fd, int to, struct error *e);
#endif
