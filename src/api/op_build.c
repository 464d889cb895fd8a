/* SPDX-License-Identifier: Apache-2.0 */
/* The operation `build`: a container image, or one file out of it, from a build context. */
#include "api/operation.h"
#include "base/limit.h"

/* A repository name as registries take it, and a tag: no host, no digest. */
#define NAME_PART     "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
#define IMAGE_NAME    "^" NAME_PART "(/" NAME_PART ")*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"
#define PATH_BYTE     "A-Za-z0-9._@+~,=:%"
#define RELATIVE_PATH "^[A-Za-z0-9._@+][" PATH_BYTE "/ -]*$"
#define ANY_PATH      "^/?[A-Za-z0-9._@+][" PATH_BYTE "/ -]*$"

static const struct param params[] = {
	{ .name = "tag",
	  .in = PARAM_QUERY,
	  .most = 128,
	  .least = 1,
	  .pattern = IMAGE_NAME,
	  .description =
		  "Name of the image, NAME or NAME:TAG, below this run's own prefix. Without "
		  "it the image is known by its id and digest only.",
	  .example = "hello:1" },
	{ .name = "dockerfile",
	  .in = PARAM_QUERY,
	  .least = 1,
	  .most = 256,
	  .pattern = RELATIVE_PATH,
	  .path_inside = true,
	  .description = "Path of the Dockerfile in the context. Default: Dockerfile, else "
			 "Containerfile.",
	  .example = "docker/Dockerfile" },
	{ .name = "target",
	  .in = PARAM_QUERY,
	  .least = 1,
	  .most = 128,
	  .pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
	  .description = "Stop at this stage of the Dockerfile.",
	  .example = "tests" },
	{ .name = "build_arg",
	  .in = PARAM_QUERY,
	  .repeats = 32,
	  .least = 2,
	  .most = 2048,
	  .pattern = "^[A-Za-z_][A-Za-z0-9_]*=",
	  .description = "NAME=VALUE for an ARG of the Dockerfile; give it once for each.",
	  .example = "VERSION=1.2" },
	{ .name = "platform",
	  .in = PARAM_QUERY,
	  .least = 1,
	  .most = 64,
	  .pattern = "^linux/[a-z0-9]+(/v[0-9]+)?$",
	  .description = "Platform to build for. Default: the host's own.",
	  .example = "linux/amd64" },
	{ .name = "no_cache",
	  .in = PARAM_QUERY,
	  .type = PARAM_BOOLEAN,
	  .description = "Run every step again instead of taking it from this run's cache.",
	  .example = "true" },
	{ .name = "output",
	  .in = PARAM_QUERY,
	  .least = 1,
	  .most = 512,
	  .pattern = ANY_PATH,
	  .path_inside = true,
	  .description =
		  "Path of one file in the built image: it becomes an artifact of the job. The "
		  "artifact has the file's name, with _ for what is no letter, digit, ., _ or -, "
		  "or is named output, if that would begin with . or be image.tar.",
	  .example = "/usr/bin/hello" },
	{ .name = "Idempotency-Key",
	  .in = PARAM_HEADER,
	  .least = 1,
	  .most = LIMIT_IDEMPOTENCY_KEY_BYTES,
	  .pattern = "^[!-~]+$",
	  .description = "Makes a retry safe: the same key with the same query finds the job that "
			 "the first request started.",
	  .example = "build-7f3a" },
	{ .name = "Prefer",
	  .in = PARAM_HEADER,
	  .ignored = true,
	  .most = 256,
	  .description = "wait=N: hold the answer until the job has ended, at most N seconds "
			 "(0 to 300). Default: wait=20.",
	  .example = "wait=120" },
	{ .name = NULL },
};

static const char *const applied[] = { "Preference-Applied", NULL };
static const char *const location_later[] = { "Location", "Retry-After", "Preference-Applied",
					      NULL };
static const struct answer answers[] = {
	{ 200, ANSWER_JOB, "The job has ended, well or badly: see its state.", applied },
	{ 202, ANSWER_JOB, "The job goes on: ask again at Location.", location_later },
	{ 0 },
};

static const enum problem problems[] = {
	PROBLEM_KEY_REUSED, PROBLEM_LENGTH_REQUIRED, PROBLEM_TOO_LARGE, PROBLEM_QUEUE_FULL,
	PROBLEM_DRAINING,   PROBLEM_STORAGE_FULL,    PROBLEM_DISK_FULL, PROBLEM_NONE,
};

const struct operation operation_build = {
	.id = OPERATION_BUILD,
	.name = "build",
	.method = "POST",
	.path = "/build",
	.summary = "Build a container image from a tar of its build context",
	.help = "The request's body is the build context, a folder with a Dockerfile: a tar "
		"archive, "
		"plain or compressed with gzip or zstd. The build has no network. When it has "
		"succeeded, the job's result tells the image's id and digest, and the artifact "
		"image.tar is an OCI archive; when it has failed, the result tells the failed step "
		"and its last lines of output.",
	.curl = "tar c . | curl -sH \"$A\" -H Expect: --data-binary @- \"$U/build?tag=hello\"",
	.params = params,
	.body = BODY_ARCHIVE,
	.body_max = LIMIT_UPLOAD_BYTES,
	.answers = answers,
	.problems = problems,
	.job = true,
	.grant = "build",
};
