/* SPDX-License-Identifier: Apache-2.0 */
/* `postern base`: the base images that builds may start from. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/worker.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>

static const char help[] =
	"Usage: postern base add NAME ROOTFS.tar [--cache-dir DIR]\n"
	"       postern base remove NAME [--cache-dir DIR]\n"
	"       postern base list [--cache-dir DIR]\n"
	"\n"
	"`add` imports a root file system (a tar, as mmdebstrap makes one) as the image NAME, "
	"which\n"
	"builds that were granted it may name in FROM. The same tar again changes nothing; "
	"another\n"
	"tar replaces the image. `remove` waits for builds that use it. `list` prints a JSON "
	"object\n"
	"per image and line.\n"
	"\n"
	"  -c, --cache-dir DIR  where images are kept (default: $XDG_CACHE_HOME/postern, else\n"
	"                       /var/cache/postern for root and ~/.cache/postern for others)\n"
	"  -h, --help           print this\n"
	"\n"
	"Exit code: 0 done; 1 it failed, and why is on stderr; 2 wrong usage; 4 a program that it "
	"needs\n"
	"is missing; 130 interrupted.\n";

int cmd_bases_path(const char *cache, char *out, size_t size)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;
	if (cache)
		n = snprintf(out, size, "%s/bases", cache);
	else if (xdg && *xdg == '/')
		n = snprintf(out, size, "%s/postern/bases", xdg);
	else if (geteuid() == 0)
		n = snprintf(out, size, "/var/cache/postern/bases");
	else if (home && *home == '/')
		n = snprintf(out, size, "%s/.cache/postern/bases", home);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int make_folders(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		int r = mkdir(path, 0755);
		*p = '/';
		if (r < 0 && errno != EEXIST)
			return -errno;
	}
	/* Stores hold set-id files of a range that is the user's own: closed to all others. */
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int run_worker(const char *const *argv)
{
	int signal = 0, r = cmd_worker(argv, NULL, 0, &signal);
	if (r == -EINTR) {
		fprintf(stderr, "postern base: interrupted (%s)\n", strsignal(signal));
		/* What it had begun with in the folder of the images. */
		(void)cmd_worker((const char *const[]){ argv[0], "--base-tidy", argv[2], NULL },
				 NULL, 0, &signal);
		return EXIT_INTERRUPTED;
	}
	if (r < 0) {
		fprintf(stderr, "postern base: postern-worker: %s\n", strerror(-r));
		return EXIT_UNAVAILABLE;
	}
	return r == 0 ? EXIT_OK : EXIT_FAILED;
}

static int cannot_read(const char *path, int error)
{
	fprintf(stderr, "postern base: %s: %s\n", path, strerror(error));
	return EXIT_FAILED;
}

static int add(const char *bases, const char *name, const char *tar)
{
	char path[PATH_MAX];
	if (!realpath(tar, path))
		return cannot_read(tar, errno);
	return run_worker(
		(const char *const[]){ "postern-worker", "--base-add", bases, name, path, NULL });
}

static int list(const char *bases)
{
	DIR *dir = opendir(bases);
	struct dirent *entry;
	int code = EXIT_OK;
	if (!dir) /* none has been added yet, or they cannot be seen */
		return errno == ENOENT ? EXIT_OK : cannot_read(bases, errno);
	while ((entry = readdir(dir))) {
		char path[PATH_MAX];
		_cleanup_free_ char *text = NULL;
		size_t n;
		if (*entry->d_name == '.')
			continue;
		int len = snprintf(path, sizeof(path), "%s/%s/base.json", bases, entry->d_name);
		int r = len < 0 || (size_t)len >= sizeof(path)
				? -ENAMETOOLONG
				: file_read(path, 64 * 1024, &text, &n);
		if (r == 0)
			fputs(text, stdout);
		else if (r != -ENOENT && r != -ENOTDIR) /* what else lies there is no image */
			code = cannot_read(path, -r);
	}
	closedir(dir);
	return code;
}

int cmd_base(int argc, char **argv)
{
	static const struct option options[] = { { "cache-dir", required_argument, NULL, 'c' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	const char *cache = NULL;
	char bases[PATH_MAX];
	for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (c == 'c')
			cache = optarg;
		else
			return c == 'h'
				       ? cmd_usage(EXIT_OK, help)
				       : cmd_usage(EXIT_USAGE, "`postern base --help` says more\n");
	}
	const char *verb = argv[optind];
	bool is_add = verb && !strcmp(verb, "add") && argc - optind == 3;
	bool is_list = verb && !strcmp(verb, "list") && argc - optind == 1;
	bool is_remove = verb && !strcmp(verb, "remove") && argc - optind == 2;
	if (!is_add && !is_remove && !is_list)
		return cmd_usage(EXIT_USAGE,
				 "postern base: `add NAME ROOTFS.tar`, `remove NAME` or "
				 "`list`; `postern base --help` says more\n");
	int r = cmd_bases_path(cache, bases, sizeof(bases));
	if (r == 0 && is_add)
		r = make_folders(bases);
	if (r < 0) {
		fprintf(stderr, "postern base: no folder for base images: %s\n", strerror(-r));
		return EXIT_FAILED;
	}
	/* The worker starts in "/", so what is relative would mean another folder there. */
	char absolute[PATH_MAX];
	if (is_list)
		return list(bases);
	if (!realpath(bases, absolute))
		return cannot_read(bases, errno);
	if (is_add)
		return add(absolute, argv[optind + 1], argv[optind + 2]);
	return run_worker((const char *const[]){ "postern-worker", "--base-remove", absolute,
						 argv[optind + 1], NULL });
}
