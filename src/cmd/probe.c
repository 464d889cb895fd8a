/* SPDX-License-Identifier: Apache-2.0 */
/* `postern probe`: becomes postern-probe, which is a program of its own so that it can be copied alone into a sandbox; its options and
 * its help are there. */
#include "base/spawn.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cmd_probe(int argc, char **argv)
{
	static char name[] = "postern probe";
	char path[PATH_MAX];
	if (spawn_find_helper("postern-probe", path, sizeof(path)) < 0) {
		fputs("postern probe: postern-probe is not installed\n", stderr);
		return EXIT_UNAVAILABLE;
	}
	argv[0] = name;
	execv(path, argv);
	fprintf(stderr, "postern probe: %s: %s\n", path, strerror(errno));
	return EXIT_UNAVAILABLE;
}
