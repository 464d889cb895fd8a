/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-worker: one job, from MESSAGE_JOB_START to MESSAGE_JOB_RESULT. Started by the supervisor.
 *
 * Descriptors: 3 = channel to keeper (api/messages.h). Or, instead of a job: MESSAGE_WORKER_CLEAN, any number of times, with
 * folders that workers left which were killed.
 *
 * Acquire: the one JOB_START with its descriptors. Work: hand the upload into a jail, carry log,
 * stages and artifacts out. End: kill the jail, remove the scratch, say the result, exit. When
 * keeper goes away the same happens without a word.
 *
 * Must: outlive no job, leave no scratch. Mustn't: parse what the agent sent or what an engine
 * printed (postern-builder does, inside the jail) beyond the fixed messages of worker/report.h;
 * open anything but what the descriptors lead to.
 *
 * The same program, called by a person's commands and without descriptor 3:
 *   postern-worker --clean DIR               remove DIR, whose files belong to the jail's ids
 *   postern-worker --base-add BASES NAME TAR import a base image; prints "made" or "present"
 *   postern-worker --base-remove BASES NAME  remove one
 *   postern-worker --base-tidy BASES         remove what one that was interrupted left
 *   postern-worker --probe ENGINE [SOCKET]   prints its version and the milliseconds that a two-line
 *                                            image took
 * Exit code 0; or 1, and why on stderr.
 */
#include "api/jobtable.h"
#include "api/messages.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "worker/bases.h"
#include "worker/build.h"
#include "worker/prove.h"
#include "worker/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { CHANNEL = 3 };

static struct msg in, out; /* large, and one at a time */
static bool keeper_gone;

static void tell(void)
{
	if (!keeper_gone && msg_send(CHANNEL, &out) < 0)
		keeper_gone = true;
}

static void send_stage(void *arg, const char *text)
{
	msg_begin(&out, &service_messages, MESSAGE_JOB_STAGE, 0);
	msg_put_s(&out, text);
	tell();
}

static void send_artifact(void *arg, const char *name, const char *media_type, uint64_t size)
{
	msg_begin(&out, &service_messages, MESSAGE_JOB_ARTIFACT, 0);
	msg_put_s(&out, name);
	msg_put_s(&out, media_type);
	msg_put_u(&out, size);
	tell();
}

static void send_result(enum job_state state, const char *json)
{
	msg_begin(&out, &service_messages, MESSAGE_JOB_RESULT, 0);
	msg_put_u(&out, state);
	msg_put_s(&out, json);
	tell();
}

/* Something came from keeper while the job runs. */
static enum job_state on_control(void *arg)
{
	int r = msg_recv(CHANNEL, &service_messages, ROLE_KEEPER, &in);
	if (r == -EAGAIN)
		return JOB_FREE;
	if (r < 0) {
		keeper_gone = true;
		return JOB_LOST;
	}
	enum job_state state = JOB_FREE;
	if (in.type->type == MESSAGE_JOB_STOP)
		state = in.field[0].number == JOB_TIMED_OUT ? JOB_TIMED_OUT : JOB_CANCELLED;
	msg_done(&in);
	return state;
}

/* The jail that wrote the folder died with its worker, which takes a moment. */
#define CLEAN_TRIES    50
#define CLEAN_PAUSE_MS 100

/* Remove what keeper names until it closes the channel. */
static int clean_all(struct msg *m)
{
	int r = 0;
	while (r == 0 && m->type->type == MESSAGE_WORKER_CLEAN) {
		struct error e;
		unsigned tries = CLEAN_TRIES;
		int failed;
		while ((failed = scratch_remove(m->fds[0], m->field[0].text, &e)) < 0 && --tries)
			poll(NULL, 0, CLEAN_PAUSE_MS);
		msg_begin(&out, &service_messages, MESSAGE_WORKER_CLEANED, 0);
		msg_put_s(&out, failed < 0 ? e.message : "");
		tell();
		msg_done(m);
		r = msg_recv(CHANNEL, &service_messages, ROLE_KEEPER, m);
	}
	return r == -ECONNRESET ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_job(void)
{
	static struct msg start; /* its texts are used to the end */
	struct worker_settings settings;
	struct error e = { 0 };
	_cleanup_free_ char *result = NULL;
	int r = msg_recv(CHANNEL, &service_messages, ROLE_KEEPER, &start);
	if (r == 0 && start.type->type == MESSAGE_WORKER_CLEAN)
		return clean_all(&start);
	if (r < 0 || start.type->type != MESSAGE_JOB_START) {
		log_error("no job came: %s", r < 0 ? strerror(-r) : "another message did");
		return EXIT_FAILURE;
	}
	enum job_state state = JOB_FAILED;
	r = settings_parse(start.field[3].text, &settings, &e);
	if (r == 0 && strcmp(start.field[1].text, "build") != 0)
		r = error_set(&e, ENOSYS, "no operation '%.40s'", start.field[1].text);
	if (r < 0) {
		log_error("job %s: %s", start.field[0].text, e.message);
		send_result(state, "{\"error\":\"the server's settings for workers are "
				   "wrong; its log says how\",\"stages\":[]}");
	} else {
		const struct build_job job = { .id = start.field[0].text,
					       .arguments = start.field[2].text,
					       .settings = &settings,
					       .log_fd = start.fds[0],
					       .job_fd = start.fds[1],
					       .storage_fd = start.fds[2],
					       .bases_fd = start.fds[3],
					       .upload_fd = start.n_fds > 4 ? start.fds[4] : -1,
					       .control_fd = CHANNEL,
					       .control = on_control,
					       .stage = send_stage,
					       .artifact = send_artifact };
		state = build_run(&job, &result);
		send_result(state, result ? result
					  : "{\"error\":\"the worker ran out of memory\","
					    "\"stages\":[]}");
	}
	settings_done(&settings);
	msg_done(&start);
	return keeper_gone ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- for people's commands ---- */

static int say(int r, const struct error *e)
{
	if (r < 0)
		log_error("%s", e->message);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int clean(const char *path)
{
	char parent[PATH_MAX], name[PATH_MAX];
	struct error e = { 0 };
	snprintf(parent, sizeof(parent), "%s", path);
	snprintf(name, sizeof(name), "%s", path);
	_cleanup_close_ int fd = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? error_set(&e, errno, "%s: %s", path, strerror(errno))
		       : scratch_remove(fd, basename(name), &e);
	if (fd < 0 && errno == ENOENT)
		r = 0;
	return say(r, &e);
}

/* A folder for what a command needs for a moment. */
static int open_temporary(char path[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");
	snprintf(path, PATH_MAX, "%s/postern-worker-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
	if (!mkdtemp(path))
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int base_add(const char *bases, const char *name, const char *tar)
{
	struct error e = { 0 };
	char path[PATH_MAX];
	struct proof engine;
	bool made = false;
	_cleanup_close_ int bases_fd = open(bases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int tar_fd = open(tar, O_RDONLY | O_CLOEXEC);
	if (bases_fd < 0 || tar_fd < 0)
		return say(
			error_set(&e, errno, "%s: %s", bases_fd < 0 ? bases : tar, strerror(errno)),
			&e);
	_cleanup_close_ int tmp = open_temporary(path);
	int r = tmp < 0 ? error_set(&e, -tmp, "%s: %s", path, strerror(-tmp))
			: prove_choose(ENGINE_AUTO, tmp, tmp, &engine, &e);
	if (r == 0)
		r = bases_add(bases_fd, name, tar_fd, engine.engine, &made, &e);
	if (tmp >= 0)
		(void)remove_tree_at(AT_FDCWD, path);
	if (r == 0)
		puts(made ? "made" : "present");
	return say(r, &e);
}

static int base_remove(const char *bases, const char *name)
{
	struct error e = { 0 };
	_cleanup_close_ int bases_fd = open(bases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = bases_fd < 0 ? error_set(&e, errno, "%s: %s", bases, strerror(errno))
			     : bases_remove(bases_fd, name, &e);
	return say(r, &e);
}

static int base_tidy(const char *bases)
{
	struct error e = { 0 };
	_cleanup_close_ int bases_fd = open(bases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = bases_fd < 0 ? error_set(&e, errno, "%s: %s", bases, strerror(errno))
			     : bases_tidy(bases_fd, &e);
	return say(r, &e);
}

static int probe(const char *name, const char *socket)
{
	struct error e = { 0 };
	char path[PATH_MAX];
	struct proof p;
	int engine = engine_choice_find(name);
	if (engine < 0)
		return say(error_set(&e, EINVAL, "no engine '%.40s'", name), &e);
	_cleanup_close_ int tmp = open_temporary(path);
	if (tmp < 0)
		return say(error_set(&e, -tmp, "%s: %s", path, strerror(-tmp)), &e);
	int r = prove_engine((enum engine_choice)engine, tmp, socket, &p, &e);
	(void)remove_tree_at(AT_FDCWD, path);
	if (r == 0)
		printf("%s %llu\n", p.version, (unsigned long long)p.ms);
	return say(r, &e);
}

int main(int argc, char **argv)
{
	log_init("worker", getenv("POSTERN_LOG_JSON") != NULL);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	/* Whoever shares our ids must not read a job's descriptors out of us. */
	prctl(PR_SET_DUMPABLE, 0);
	if (argc == 3 && !strcmp(argv[1], "--clean"))
		return clean(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "--base-add"))
		return base_add(argv[2], argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "--base-remove"))
		return base_remove(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "--base-tidy"))
		return base_tidy(argv[2]);
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "--probe"))
		return probe(argv[2], argv[3]);
	if (argc == 1)
		return run_job();
	fputs("postern-worker: started by postern, not by people\n", stderr);
	return EXIT_FAILURE;
}
