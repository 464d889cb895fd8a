/* SPDX-License-Identifier: Apache-2.0 */
/* Tries engines on a two-line image. */
#include "worker/prove.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/spawn.h"
#include "worker/dockerd.h"
#include "worker/engine.h"
#include "worker/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#define CHOSEN_FILE "engine"

static void no_log(void *arg, const char *text, size_t n)
{
}

static void no_stage(void *arg, const char *text)
{
}

static int try_in(enum engine_choice engine, const char *socket, int probe, int work,
		  struct proof *ret, struct error *e)
{
	static struct contained_result result; /* large */
	struct worker_settings settings;
	int r = settings_parse("{\"run\":\"probe\",\"tag_prefix\":\"localhost/probe/\"}", &settings,
			       e);
	settings.seconds = LIMIT_PROVE_SECONDS;
	if (r == 0 && socket && !(settings.docker_socket = strdup(socket)))
		r = -ENOMEM;
	const struct contained_spec spec = { .engine = engine,
					     .input = INPUT_PROBE,
					     .input_fd = probe,
					     .tag = "localhost/probe/probe:latest",
					     .arguments = "{}",
					     .settings = &settings,
					     .work_fd = work,
					     .stores_fd = -1,
					     .want_version = true,
					     .image_fd = -1,
					     .output_fd = -1,
					     .control_fd = -1,
					     .log = no_log,
					     .stage = no_stage };
	if (r == 0)
		r = engine == ENGINE_DOCKER ? dockerd_build(&spec, &result, e)
					    : contained_build(&spec, &result, e);
	settings_done(&settings);
	if (r == 0 && result.state != JOB_SUCCEEDED)
		r = error_set(e, EIO, "%s%s%s%s%s", result.error, *result.hint ? " (" : "",
			      result.hint, *result.hint ? ")" : "",
			      *result.step ? ", in its RUN step" : "");
	memcpy(ret->version, result.version, sizeof(ret->version));
	return r;
}

static int check_installed(const struct engine *g, struct error *e)
{
	return access(g->program, X_OK) == 0
		       ? 0
		       : error_set(e, ENOENT, "%s is not installed; install the package %s",
				   g->program, g->package);
}

int prove_engine(enum engine_choice engine, int dirfd, const char *socket, struct proof *ret,
		 struct error *e)
{
	const struct engine *g = engine_find(engine);
	struct proof p = { .engine = engine };
	char path[PATH_MAX];
	struct error ignored;
	if (g && check_installed(g, e) < 0)
		return -ENOENT;
	if (spawn_find_helper("postern-runstep", path, sizeof(path)) < 0)
		return error_set(e, ENOENT, "postern-runstep is not installed");
	_cleanup_close_ int probe = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int work = -1;
	if (probe < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	uint64_t began = clock_monotonic_ms();
	int r = scratch_make(dirfd, "probe", &work, e);
	if (r == 0)
		r = try_in(engine, socket, probe, work, &p, e);
	(void)scratch_remove(dirfd, "probe", &ignored);
	if (r == 0) {
		p.ms = clock_monotonic_ms() - began;
		*ret = p;
	}
	return r;
}

/* What an earlier job of the run has found out: "NAME VERSION". */
static struct proof remembered(int run_fd)
{
	struct proof p = { .engine = ENGINE_AUTO };
	char text[64], name[16];
	_cleanup_close_ int fd = openat(run_fd, CHOSEN_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return p;
	text[n] = '\0';
	if (sscanf(text, "%15s %31s", name, p.version) != 2)
		return p;
	int engine = engine_choice_find(name);
	if (engine >= 0)
		p.engine = (enum engine_choice)engine;
	return p;
}

void prove_remember(int run_fd, const struct proof *p)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s %s\n", engine_choice_name(p->engine), p->version);
	_cleanup_close_ int fd = openat(
		run_fd, CHOSEN_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)fd_write_full(fd, text, (size_t)n); /* else it is found out again */
}

int prove_choose(enum engine_choice choice, int run_fd, int scratch_fd, struct proof *ret,
		 struct error *e)
{
	static const enum engine_choice order[] = { ENGINE_BUILDAH, ENGINE_PODMAN };
	struct error why[ELEMENTS(order)] = { 0 };
	struct proof p = remembered(run_fd);
	if (p.engine == ENGINE_AUTO || (choice != ENGINE_AUTO && choice != p.engine))
		p = (struct proof){ .engine = choice };
	const struct engine *g = engine_find(p.engine);
	if (p.engine != ENGINE_AUTO) {
		if (g && check_installed(g, e) < 0)
			return -ENOENT;
		*ret = p;
		return 0;
	}
	for (size_t i = 0; i < ELEMENTS(order); i++)
		if (prove_engine(order[i], scratch_fd, NULL, ret, &why[i]) == 0) {
			prove_remember(run_fd, ret);
			return 0;
		}
	return error_set(e, ENOENT, "no engine works on this host. buildah: %.140s. podman: %.140s",
			 why[0].message, why[1].message);
}
