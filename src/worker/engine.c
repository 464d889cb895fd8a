/* SPDX-License-Identifier: Apache-2.0 */
/* The table of engines and their argument lists. */
#include "worker/engine.h"
#include "base/cleanup.h"

#include <assert.h>
#include <stdio.h>

const char *const engine_environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
					   "HOME=/root",
					   "TMPDIR=" INSIDE_TMP,
					   "XDG_RUNTIME_DIR=/run",
					   "BUILDAH_ISOLATION=chroot",
					   "LC_ALL=C.UTF-8",
					   NULL };

/* `--network host` is the jail's own network namespace, which has no way out; chroot isolation
 * knows no other. `--pull never`: an image is one of the granted bases, or of this run's. */
static const char *const buildah_build[] = { "/usr/bin/buildah",      "bud",
					     "--isolation=chroot",    "--network=host",
					     "--pull-never",	      "--http-proxy=false",
					     "--format=oci",	      "--force-rm",
					     "--iidfile=" INSIDE_IID, NULL };
static const char *const buildah_push[] = { "/usr/bin/buildah", "push", "--quiet", "--format=oci",
					    NULL };
static const char *const buildah_from[] = { "/usr/bin/buildah", "from", "--pull-never", NULL };
static const char *const buildah_mount[] = { "/usr/bin/buildah", "mount", NULL };

static const char *const podman_build[] = { "/usr/bin/podman",	     "build",
					    "--isolation=chroot",    "--network=host",
					    "--pull=never",	     "--http-proxy=false",
					    "--format=oci",	     "--force-rm",
					    "--iidfile=" INSIDE_IID, NULL };
static const char *const podman_push[] = { "/usr/bin/podman", "push", "--quiet", "--format=oci",
					   NULL };
/* `podman image mount` does not find layers of additional stores; a container's mount does. It is
 * never started. */
static const char *const podman_create[] = { "/usr/bin/podman",	   "create",
					     "--pull=never",	   "--network=none",
					     "--entrypoint=/none", NULL };
static const char *const podman_mount[] = { "/usr/bin/podman", "mount", NULL };

static const struct engine engines[] = {
	{ ENGINE_BUILDAH,
	  "/usr/bin/buildah",
	  "buildah",
	  buildah_build,
	  buildah_push,
	  { buildah_from, buildah_mount } },
	{ ENGINE_PODMAN,
	  "/usr/bin/podman",
	  "podman",
	  podman_build,
	  podman_push,
	  { podman_create, podman_mount } },
};

const struct engine *engine_find(enum engine_choice id)
{
	for (size_t i = 0; i < ELEMENTS(engines); i++)
		if (engines[i].id == id)
			return &engines[i];
	return NULL;
}

void engine_missing(const char *settings, char *out, size_t size)
{
	enum engine_choice choice = settings_engine(settings);
	const struct engine *g = engine_find(choice);
	bool buildah = access(engines[0].program, X_OK) == 0;
	bool podman = access(engines[1].program, X_OK) == 0;
	out[0] = '\0';
	if (g && access(g->program, X_OK) < 0)
		snprintf(out, size, "%s is not installed: builds fail until the package %s is",
			 g->program, g->package);
	else if (choice == ENGINE_AUTO && !buildah && !podman)
		snprintf(out, size,
			 "neither buildah nor podman is installed: builds fail until a "
			 "package of that name is");
	else if (choice == ENGINE_DOCKER &&
		 (access("/usr/bin/docker", X_OK) < 0 || access("/usr/bin/skopeo", X_OK) < 0))
		snprintf(out, size,
			 "engine docker needs the packages docker.io and skopeo: builds "
			 "fail until they are installed");
}

void argv_add(struct argv *a, const char *word)
{
	assert(a->n + 1 < ENGINE_ARGV_MAX);
	a->v[a->n++] = word;
	a->v[a->n] = NULL;
}

void argv_of(const char *const *words, struct argv *ret)
{
	ret->n = 0;
	for (; *words; words++)
		argv_add(ret, *words);
}

void engine_add_arguments(const struct build_arguments *a, struct argv *ret)
{
	if (a->no_cache)
		argv_add(ret, "--no-cache");
	if (a->target) {
		argv_add(ret, "--target");
		argv_add(ret, a->target);
	}
	if (a->platform) {
		argv_add(ret, "--platform");
		argv_add(ret, a->platform);
	}
	for (unsigned i = 0; i < a->n_build_arg; i++) {
		argv_add(ret, "--build-arg");
		argv_add(ret, a->build_arg[i]);
	}
}

void engine_build_argv(const struct engine *g, const struct build_arguments *a, const char *tag,
		       const char *dockerfile, struct argv *ret)
{
	argv_of(g->build, ret);
	argv_add(ret, "--layers"); /* the same image with a cache or without one */
	argv_add(ret, "--tag");
	argv_add(ret, tag);
	argv_add(ret, "--file");
	argv_add(ret, dockerfile);
	engine_add_arguments(a, ret);
	argv_add(ret, INSIDE_CONTEXT);
}
