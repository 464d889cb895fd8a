/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership that shows at the declaration: _cleanup_free_, _cleanup_close_, and TAKE_PTR/TAKE_FD
 * for handing over. Owns nothing; used by everyone.
 */
#ifndef POSTERN_CLEANUP_H
#define POSTERN_CLEANUP_H
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}
static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_(f)	__attribute__((cleanup(f), unused))
#define _cleanup_free_	_cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close) /* initialise with -1 or a descriptor */

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _taken = (fd);                                                                 \
		(fd) = -1;                                                                         \
		_taken;                                                                            \
	})
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#endif
