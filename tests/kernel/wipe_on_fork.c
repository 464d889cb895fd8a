/* SPDX-License-Identifier: Apache-2.0 */
/* The dialer's credentials lie in locked memory that a child does not get. */
#include "kernel.h"
#include <sys/mman.h>

int main(void)
{
	enum { SIZE = 512 * 1024 }; /* about what they take */
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	HOLDS(p != MAP_FAILED && mlock(p, SIZE) == 0);
	HOLDS(madvise(p, SIZE, MADV_DONTDUMP) == 0 && madvise(p, SIZE, MADV_WIPEONFORK) == 0);
	p[SIZE - 1] = 's';
	pid_t pid = fork();
	if (pid == 0)
		_exit(p[SIZE - 1] == 0 ? 0 : 1);
	wait_good(pid);
	HOLDS(p[SIZE - 1] == 's');
	return holds("memory marked MADV_WIPEONFORK is zero in a child");
}
