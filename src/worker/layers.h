/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short names for the layers of earlier builds and base images. Engines mount a deep image by names
 * below their own storage, "l/NAME", since the kernel takes a page of mount options; what lies in
 * an additional store has no such name there. Used by postern-builder, inside the jail.
 */
#ifndef POSTERN_WORKER_LAYERS_H
#define POSTERN_WORKER_LAYERS_H

/* Before the engine's first start: name every layer below INSIDE_STORES. 0 or -errno. */
int layers_link(void);
/* After its last: the names go, so that they do not add up from store to store. */
void layers_unlink(void);
#endif
