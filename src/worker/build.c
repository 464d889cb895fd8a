/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a build job: prepares folders and stores, builds in the jail, keeps or removes. */
#include "worker/build.h"
#include "api/tag.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "worker/bases.h"
#include "worker/dockerd.h"
#include "worker/meter.h"
#include "worker/prove.h"
#include "worker/result.h"
#include "worker/scratch.h"
#include "worker/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define IMAGE_NAME "image.tar"
#define IMAGE_TYPE "application/vnd.oci.image.layout.v1.tar"

struct build {
	const struct build_job *job;
	struct build_arguments arguments;
	struct proof engine;
	char tag[TAG_MAX], output_name[LIMIT_ARTIFACT_NAME_BYTES + 1];
	int work, stores, artifacts, image, output;
	int base_stores[LIMIT_BASES], base_folders[LIMIT_BASES];
	char mark[sizeof(STORES_FOLDER) + BASES_MARK_SIZE]; /* the name of `stores` */
	uint64_t stored; /* bytes of the run's quota that earlier builds have used */
	struct contained_result result;
};

static void to_log(void *arg, const char *text, size_t n)
{
	const struct build *b = arg;
	(void)!fd_write_full(b->job->log_fd, text, n); /* a full disk ends the build by itself */
}

static void to_stage(void *arg, const char *text)
{
	const struct build *b = arg;
	b->job->stage(b->job->arg, text);
}

static enum job_state to_control(void *arg)
{
	const struct build *b = arg;
	return b->job->control(b->job->arg);
}

/* The artifact's name is the last part of the path in the image, made safe. */
static void name_output(struct build *b)
{
	const char *path = b->arguments.output;
	const char *slash = strrchr(path, '/');
	snprintf(b->output_name, sizeof(b->output_name), "%s", slash ? slash + 1 : path);
	for (char *p = b->output_name; *p; p++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-",
			    *p))
			*p = '_';
	if (!*b->output_name || *b->output_name == '.' || !strcmp(b->output_name, IMAGE_NAME))
		snprintf(b->output_name, sizeof(b->output_name), "output");
}

static int make_artifact(struct build *b, const char *name, int *ret, struct error *e)
{
	if (unlinkat(b->artifacts, name, 0) < 0 && errno != ENOENT)
		return error_set(e, errno, "cannot make the artifact %s: %s", name,
				 strerror(errno));
	*ret = openat(b->artifacts, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *ret < 0 ? error_set(e, errno, "cannot make the artifact %s: %s", name,
				    strerror(errno))
			: 0;
}

static int open_artifacts(struct build *b, struct error *e)
{
	int job = b->job->job_fd;
	if (mkdirat(job, "artifacts", 0700) < 0 && errno != EEXIST)
		return error_set(e, errno, "cannot make the artifacts' folder: %s",
				 strerror(errno));
	b->artifacts = openat(job, "artifacts", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b->artifacts < 0)
		return error_set(e, errno, "cannot open the artifacts' folder: %s",
				 strerror(errno));
	int r = make_artifact(b, IMAGE_NAME, &b->image, e);
	if (r == 0 && b->arguments.output) {
		name_output(b);
		r = make_artifact(b, b->output_name, &b->output, e);
	}
	return r;
}

static int storage_is_full(struct build *b, struct error *e)
{
	b->result.storage_full = true;
	return error_set(e, EDQUOT, "the build stores more than its %llu bytes",
			 (unsigned long long)b->job->settings->storage_bytes);
}

static int prepare(struct build *b, struct error *e)
{
	const struct build_job *j = b->job;
	snprintf(b->mark, sizeof(b->mark), STORES_FOLDER);
	int r = build_arguments_parse(j->arguments, &b->arguments, e);
	if (r == 0 && j->upload_fd < 0)
		r = error_set(e, EINVAL, "a build needs a context as its body");
	if (r == 0)
		r = tag_compose(j->settings->tag_prefix, b->arguments.tag, j->id, b->tag, e);
	if (r == 0)
		r = bases_open(j->bases_fd, j->settings->bases, j->settings->n_bases,
			       b->base_stores, b->base_folders, e);
	if (r == 0)
		r = bases_mark(b->base_folders, j->settings->n_bases,
			       b->mark + strlen(STORES_FOLDER), e);
	if (r == 0)
		r = scratch_keep(j->storage_fd, b->mark, &b->stores, e);
	/* The other half of the quota is for the build. */
	if (r == 0)
		r = stores_make_room(j->storage_fd, b->stores, b->mark,
				     j->settings->storage_bytes / 2, LIMIT_BUILD_STORES - 1, true,
				     e);
	if (r == 0 && (r = stores_total(j->storage_fd, &b->stored)) < 0)
		error_set(e, -r, "the run's storage cannot be read: %s", strerror(-r));
	if (r == 0 && b->stored > j->settings->storage_bytes)
		r = storage_is_full(b, e);
	if (r == 0)
		r = scratch_make(j->job_fd, "work", &b->work, e);
	if (r == 0)
		r = prove_choose(j->settings->engine, j->storage_fd, j->job_fd, &b->engine, e);
	return r == 0 ? open_artifacts(b, e) : r;
}

static int contain(struct build *b, struct error *e)
{
	const struct build_job *j = b->job;
	const struct contained_spec spec = { .engine = b->engine.engine,
					     .want_version = !*b->engine.version,
					     .input = INPUT_CONTEXT,
					     .input_fd = j->upload_fd,
					     .tag = b->tag,
					     .arguments = j->arguments,
					     .settings = j->settings,
					     .work_fd = b->work,
					     .stores_fd = b->stores,
					     .base_fds = b->base_stores,
					     .n_bases = j->settings->n_bases,
					     .stored = b->stored,
					     .image_fd = b->image,
					     .output_fd = b->output,
					     .control_fd = j->control_fd,
					     .log = to_log,
					     .stage = to_stage,
					     .control = to_control,
					     .arg = b };
	int r = b->engine.engine == ENGINE_DOCKER ? dockerd_build(&spec, &b->result, e)
						  : contained_build(&spec, &b->result, e);
	if (*b->result.version) {
		memcpy(b->engine.version, b->result.version, sizeof(b->engine.version));
		prove_remember(j->storage_fd, &b->engine);
	}
	memcpy(b->result.version, b->engine.version, sizeof(b->result.version));
	return r;
}

static uint64_t size_of(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* After the jail is gone nobody writes to the artifacts any more. */
static void announce(struct build *b, int fd, const char *name, const char *type)
{
	if (fd >= 0)
		b->job->artifact(b->job->arg, name, type, size_of(fd));
}

/* Keep what was built as a store for later builds, within the run's quota. */
static int keep(struct build *b, struct error *e)
{
	if (b->engine.engine == ENGINE_DOCKER)
		return 0;
	uint64_t bytes = 0;
	_cleanup_close_ int storage =
		openat(b->work, "storage", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = storage < 0 ? error_set(e, errno, "the build's storage is gone")
			    : meter_once(storage, &bytes, e);
	if (r == 0) /* other builds may have ended meanwhile */
		r = stores_total(b->job->storage_fd, &b->stored);
	if (r == 0 && b->stored + bytes > b->job->settings->storage_bytes)
		r = storage_is_full(b, e);
	return r < 0 ? r : stores_adopt(b->work, b->stores, b->job->id, bytes, e);
}

/* What earlier builds have kept is of less use than that the next one succeeds. */
static void make_all_room(struct build *b)
{
	struct error ignored = { 0 };
	uint64_t left = b->stored;
	const struct build_job *j = b->job;
	if (b->stores >= 0 && b->stored)
		(void)stores_make_room(j->storage_fd, b->stores, b->mark, 0, 0, false, &ignored);
	(void)stores_total(j->storage_fd, &left);
	snprintf(b->result.hint, sizeof(b->result.hint), "%s",
		 !b->stored ? "make the image smaller, or write less while it is built"
		 : left	    ? "what earlier builds of this run keep counts too, and another build "
			      "draws upon that now: build again when that has ended"
			    : "what earlier builds of this run kept has made room: build again, "
			      "first those images that the others are built upon");
}

static void settle(struct build *b, struct error *e)
{
	const struct build_job *j = b->job;
	if (b->result.state == JOB_SUCCEEDED && keep(b, e) < 0)
		b->result.state = JOB_FAILED;
	if (b->result.storage_full)
		make_all_room(b);
	if (b->result.state == JOB_SUCCEEDED) {
		announce(b, b->image, IMAGE_NAME, IMAGE_TYPE);
		announce(b, b->output, b->output_name, "application/octet-stream");
		return;
	}
	if (b->artifacts >= 0) {
		unlinkat(b->artifacts, IMAGE_NAME, 0);
		if (*b->output_name)
			unlinkat(b->artifacts, b->output_name, 0);
		unlinkat(j->job_fd, "artifacts", AT_REMOVEDIR);
	}
}

static void close_all(struct build *b)
{
	int *const fds[] = { &b->work, &b->stores, &b->artifacts, &b->image, &b->output };
	for (size_t i = 0; i < ELEMENTS(fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	for (unsigned i = 0; i < LIMIT_BASES; i++) {
		if (b->base_stores[i] >= 0)
			close(b->base_stores[i]);
		if (b->base_folders[i] >= 0)
			close(b->base_folders[i]);
	}
}

enum job_state build_run(const struct build_job *j, char **ret_result)
{
	static struct build b; /* large */
	struct error e = { 0 }, clean = { 0 };
	b = (struct build){
		.job = j, .work = -1, .stores = -1, .artifacts = -1, .image = -1, .output = -1
	};
	b.result.exit_code = -1;
	b.result.state = JOB_FAILED;
	for (unsigned i = 0; i < LIMIT_BASES; i++)
		b.base_stores[i] = b.base_folders[i] = -1;
	if (prepare(&b, &e) == 0)
		(void)contain(&b, &e); /* why it failed is in e */
	settle(&b, &e);
	if (e.code)
		snprintf(b.result.error, sizeof(b.result.error), "%s", e.message);
	if (scratch_remove(j->job_fd, "work", &clean) < 0) {
		b.result.state = JOB_FAILED;
		snprintf(b.result.error, sizeof(b.result.error),
			 "the job's scratch is left: %.300s", clean.message);
	}
	*ret_result = result_json(
		&b.result,
		b.engine.engine == ENGINE_AUTO ? NULL : engine_choice_name(b.engine.engine), b.tag,
		b.engine.engine != ENGINE_DOCKER);
	enum job_state state = b.result.state;
	close_all(&b);
	build_arguments_done(&b.arguments);
	return state;
}
