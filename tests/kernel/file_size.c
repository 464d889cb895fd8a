/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upload is written by front into a descriptor that keeper opened; front's own RLIMIT_FSIZE bounds it, and
 * is an error to it, not its death, when SIGXFSZ is ignored.
 */
#include "kernel.h"
#include <sys/resource.h>

int main(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	HOLDS(fd >= 0);
	struct rlimit limit = { 4096, 4096 };
	HOLDS(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
	static char bytes[8192];
	HOLDS(write(fd, bytes, sizeof(bytes)) == 4096);
	REFUSED(write(fd, bytes, 1), EFBIG);
	REFUSED(ftruncate(fd, 8192), EFBIG);
	return holds("RLIMIT_FSIZE bounds a file by its writer, whoever opened it");
}
