/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer where there is none: runs a fuzzer's function over the files of its corpus, so that every build
 * holds against what was found once: NAME_replay FOLDER.
 */
#include "base/cleanup.h"
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay(const char *folder, const char *name)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		return -errno;
	/* Just as large as the input, so that reading past it is seen. */
	size_t n = (size_t)st.st_size;
	_cleanup_free_ uint8_t *data = malloc(n ? n : 1);
	if (!data || fread(data, 1, n, f) != n) {
		fclose(f);
		return -EIO;
	}
	fclose(f);
	printf("%s\n", name); /* the last one printed is the one that failed */
	fflush(stdout);
	(void)LLVMFuzzerTestOneInput(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned n = 0;

	if (!d) {
		fprintf(stderr, "usage: %s FOLDER: %s\n", argv[0], strerror(errno));
		return 2;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		int r = replay(argv[1], e->d_name);
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", e->d_name, strerror(-r));
			closedir(d);
			return 1;
		}
	}
	closedir(d);
	printf("%u inputs\n", n);
	return n > 0 ? 0 : 1;
}
