/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Front reads the job table out of keeper's memory: F_SEAL_FUTURE_WRITE leaves the writer's mapping writable
 * and keeps everyone else from writing, for ever, whatever rights they have.
 */
#include "kernel.h"
#include <sys/mman.h>

int main(void)
{
	enum { SIZE = 4096 };
	int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	HOLDS(fd >= 0 && ftruncate(fd, SIZE) == 0);
	char *own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	HOLDS(own != MAP_FAILED);
	HOLDS(fcntl(fd, F_ADD_SEALS,
		    F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	REFUSED(write(fd, "x", 1), EPERM);
	HOLDS(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
	      errno == EPERM);
	const char *other = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	HOLDS(other != MAP_FAILED);
	REFUSED(mprotect((void *)(uintptr_t)other, SIZE, PROT_READ | PROT_WRITE), EACCES);
	REFUSED(ftruncate(fd, 1), EPERM);
	REFUSED(ftruncate(fd, 2 * SIZE), EPERM);
	REFUSED(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR | O_CLOEXEC);
	HOLDS(again < 0 || (write(again, "x", 1) < 0 && errno == EPERM));
	own[5] = 'y';
	HOLDS(other[5] == 'y');
	return holds("a sealed memory is written by the mapping that was there before, and by "
		     "nothing else");
}
