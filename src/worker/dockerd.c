/* SPDX-License-Identifier: Apache-2.0 */
/* Builds through `docker`, which sends a checked context to a dockerd. */
#include "worker/dockerd.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/spawn.h"
#include "worker/engine.h"
#include "worker/joblog.h"
#include "worker/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TICK_MS	       250
#define SAID_MAX       4096
#define CLIENT_FAILURE "docker cannot be started"

struct dockerd {
	const struct contained_spec *s;
	struct contained_result *result;
	struct build_arguments arguments;
	struct joblog joblog;
	struct steps steps, errors;
	char host[160]; /* DOCKER_HOST=… */
	char said[SAID_MAX];
	size_t n_said;
	uint64_t deadline_ms;
	char stage[STEPS_LINE_MAX * 2];
	uint64_t stage_began_ms;
	char made[LIMIT_DOCKER_IMAGES][13]; /* images that steps came to, by their word */
	unsigned n_made;
	char began[CLOCK_TEXT_SIZE]; /* when the first of them could be made */
	bool stopped;		     /* result->state says why */
};

/* ---- stages ---- */

static void stage_end(struct dockerd *d)
{
	if (*d->stage)
		contained_stage_add(d->result, d->stage, clock_monotonic_ms() - d->stage_began_ms);
	d->stage[0] = '\0';
}

static void stage_begin(void *arg, const char *what)
{
	struct dockerd *d = arg;
	stage_end(d);
	snprintf(d->stage, sizeof(d->stage), "%s", what);
	d->stage_began_ms = clock_monotonic_ms();
	d->s->stage(d->s->arg, what);
}

static void on_image(void *arg, const char *id)
{
	struct dockerd *d = arg;
	if (d->n_made < LIMIT_DOCKER_IMAGES)
		snprintf(d->made[d->n_made++], sizeof(d->made[0]), "%s", id);
}

static int failed(struct dockerd *d, const char *error, const char *hint)
{
	struct contained_result *r = d->result;
	r->state = JOB_FAILED;
	snprintf(r->error, sizeof(r->error), "%.399s", error);
	snprintf(r->hint, sizeof(r->hint), "%.399s", hint);
	return -EIO;
}

/* ---- one call of docker ---- */

enum output { OUTPUT_LOG, OUTPUT_SAID, OUTPUT_FILE };

static void take_output(struct dockerd *d, enum output kind, const char *bytes, size_t n)
{
	if (kind == OUTPUT_LOG) {
		joblog_feed(&d->joblog, bytes, n);
		steps_feed(&d->steps, bytes, n);
		return;
	}
	size_t room = sizeof(d->said) - 1 - d->n_said;
	n = n < room ? n : room;
	memcpy(d->said + d->n_said, bytes, n);
	d->n_said += n;
	d->said[d->n_said] = '\0';
}

/* False at the end. */
static bool drain(struct dockerd *d, int fd, bool is_error, enum output kind)
{
	static char piece[JOBLOG_PIECE];
	ssize_t n = read(fd, piece, sizeof(piece));
	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	if (is_error) {
		steps_feed(&d->errors, piece, (size_t)n);
		joblog_feed(&d->joblog, piece, (size_t)n);
	} else {
		take_output(d, kind, piece, (size_t)n);
	}
	return true;
}

static void check_stop(struct dockerd *d, bool control)
{
	enum job_state state = control ? d->s->control(d->s->arg) : JOB_FREE;
	char text[CONTAINED_TEXT_SIZE];
	if (state == JOB_FREE && clock_monotonic_ms() > d->deadline_ms)
		state = JOB_TIMED_OUT;
	if (state == JOB_FREE)
		return;
	snprintf(text, sizeof(text), "the build took longer than its %llu seconds",
		 (unsigned long long)d->s->settings->seconds);
	failed(d, state == JOB_TIMED_OUT ? text : "the build was cancelled", "");
	d->result->state = state;
	d->stopped = true;
}

enum { AT_OUT, AT_ERR, AT_END, AT_CONTROL, AT_COUNT };

static int attend(struct dockerd *d, pid_t pid, struct pollfd p[AT_COUNT], enum output kind)
{
	uint64_t stop_ms = 0;
	int status;
	while (!(p[AT_END].revents & POLLIN)) {
		if (poll(p, AT_COUNT, TICK_MS) < 0)
			continue; /* EINTR */
		if (p[AT_OUT].revents && !drain(d, p[AT_OUT].fd, false, kind))
			p[AT_OUT].fd = -1;
		if (p[AT_ERR].revents && !drain(d, p[AT_ERR].fd, true, kind))
			p[AT_ERR].fd = -1;
		if (!d->stopped)
			check_stop(d, p[AT_CONTROL].revents != 0);
		if (!d->stopped)
			continue;
		p[AT_CONTROL].fd = -1;
		if (!stop_ms) {
			kill(pid, SIGTERM);
			stop_ms = clock_monotonic_ms() + LIMIT_DOCKER_STOP_MS;
		} else if (clock_monotonic_ms() > stop_ms) {
			kill(pid, SIGKILL);
		}
	}
	/* Nobody else holds docker's pipes. */
	while (p[AT_OUT].fd >= 0 && drain(d, p[AT_OUT].fd, false, kind))
		;
	while (p[AT_ERR].fd >= 0 && drain(d, p[AT_ERR].fd, true, kind))
		;
	return waitpid(pid, &status, 0) < 0 ? -errno : status;
}

/* Its wait status or -errno; out is where its output goes with OUTPUT_FILE. */
static int run_docker(struct dockerd *d, const struct argv *argv, int in, enum output kind, int out)
{
	int o[2], e[2];
	const char *const envp[] = { d->host,
				     "DOCKER_BUILDKIT=0",
				     "DOCKER_CONFIG=/proc/none",
				     "HOME=/proc/none",
				     "PATH=/usr/bin:/bin",
				     "LC_ALL=C.UTF-8",
				     NULL };
	if (pipe2(o, O_CLOEXEC) < 0 || pipe2(e, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int from_out = o[0];
	_cleanup_close_ int from_err = e[0];
	const struct spawn s = { .program = argv->v[0],
				 .argv = argv->v,
				 .envp = envp,
				 .in = in,
				 .out = kind == OUTPUT_FILE ? out : o[1],
				 .err = e[1],
				 .new_session = true };
	pid_t pid;
	_cleanup_close_ int pidfd = -1;
	d->n_said = 0;
	d->said[0] = '\0';
	steps_init(&d->errors, NULL, NULL);
	int r = spawn_start(&s, &pid, &pidfd);
	close(o[1]);
	close(e[1]);
	if (r < 0)
		return r;
	struct pollfd p[AT_COUNT] = { { .fd = from_out, .events = POLLIN },
				      { .fd = from_err, .events = POLLIN },
				      { .fd = pidfd, .events = POLLIN },
				      { .fd = d->stopped ? -1 : d->s->control_fd,
					.events = POLLIN } };
	r = attend(d, pid, p, kind);
	steps_end(&d->errors);
	return r;
}

/* The last line that docker wrote to its standard error. */
static const char *last_error(const struct dockerd *d)
{
	const char *line, *last = *d->errors.error ? d->errors.error : "";
	for (unsigned i = 0; !*d->errors.error && (line = steps_last_line(&d->errors, i)); i++)
		last = *line ? line : last;
	return last;
}

/* A short command whose output is one word or line, in d->said. 0, or -EIO with the result filled. */
static int ask(struct dockerd *d, const char *const *words, const char *last, const char *what)
{
	struct argv argv;
	argv_of(words, &argv);
	if (last)
		argv_add(&argv, last);
	int status = run_docker(d, &argv, -1, OUTPUT_SAID, -1);
	d->said[strcspn(d->said, "\n")] = '\0';
	if (d->stopped)
		return -ECANCELED;
	return status ? failed(d, what, status < 0 ? strerror(-status) : last_error(d)) : 0;
}

/* ---- the parts of a build ---- */

/* An unnamed file for what goes from docker to a jail, whose ids may only read it. */
static int make_file(struct dockerd *d, int *ret)
{
	*ret = openat(d->s->work_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
	if (*ret >= 0 && fchmod(*ret, 0644) == 0)
		return 0;
	return failed(d, "the job's folder cannot be written", strerror(errno));
}

static int in_jail(struct dockerd *d, const struct contained_spec *spec, struct error *e)
{
	static struct contained_result r; /* large */
	struct contained_result *to = d->result;
	int err = contained_build(spec, &r, e);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < r.n_stages; i++)
		contained_stage_add(to, r.stages[i].name, r.stages[i].ms);
	if (r.state == JOB_SUCCEEDED) {
		to->image = r.image;
		memcpy(to->dockerfile, r.dockerfile, sizeof(to->dockerfile));
		memcpy(to->dockerfile_lines, r.dockerfile_lines, sizeof(to->dockerfile_lines));
		return 0;
	}
	failed(d, r.error, r.hint);
	to->state = r.state;
	to->line = r.line;
	return -EIO;
}

static int check_context(struct dockerd *d, int packed, struct error *e)
{
	struct contained_spec spec = *d->s;
	spec.engine = ENGINE_DOCKER;
	spec.stores_fd = -1;
	spec.n_bases = 0;
	spec.image_fd = packed;
	spec.output_fd = -1;
	return in_jail(d, &spec, e);
}

/* dockerd counts steps over the whole file. */
static unsigned line_of_step(const struct dockerd *d)
{
	const char *p = d->result->dockerfile_lines;
	char *end = NULL;
	unsigned long line = 0;
	for (unsigned i = 0; i < d->steps.number; i++, p = end) {
		line = strtoul(p, &end, 10);
		if (end == p)
			return 0;
	}
	return (unsigned)line;
}

static int end_of_build(struct dockerd *d, int status)
{
	struct contained_result *r = d->result;
	const char *error = last_error(d), *line;
	char how[64], text[STEPS_LINE_MAX + 64];
	steps_end(&d->steps);
	stage_end(d);
	if (d->stopped)
		return -ECANCELED;
	if (status < 0)
		return failed(d, CLIENT_FAILURE, strerror(-status));
	if (status == 0)
		return 0;
	snprintf(text, sizeof(text), "%s", error);
	if (!*error)
		snprintf(text, sizeof(text), "docker ended with %s",
			 spawn_status_text(status, how, sizeof(how)));
	r->exit_code = steps_exit_code(error);
	r->line = line_of_step(d);
	snprintf(r->step, sizeof(r->step), "%s",
		 *d->steps.step ? d->steps.step : "before the first step");
	for (unsigned i = 0; (line = steps_last_line(&d->steps, i)); i++)
		snprintf(r->lines[r->n_lines++], CONTAINED_TEXT_SIZE, "%s", line);
	return failed(d, text,
		      strstr(error, "pull access denied") || strstr(error, "no such host") ||
				      strstr(error, "not found")
			      ? "this dockerd has no such image and cannot fetch it"
			      : "");
}

static int build(struct dockerd *d, int packed)
{
	char memory[32];
	struct argv argv;
	const struct build_arguments *a = &d->arguments;
	if (lseek(packed, 0, SEEK_SET) < 0)
		return failed(d, "the packed context cannot be read", strerror(errno));
	snprintf(memory, sizeof(memory), "--memory=%llu",
		 (unsigned long long)d->s->settings->memory_bytes);
	argv_of((const char *const[]){ DOCKER_PROGRAM, "build", "--network=none", "--force-rm",
				       memory, "--tag", d->s->tag, "--file", d->result->dockerfile,
				       NULL },
		&argv);
	engine_add_arguments(a, &argv);
	argv_add(&argv, "-");
	steps_init(&d->steps, stage_begin, d);
	d->steps.errors_elsewhere = true; /* on docker's standard error */
	d->steps.on_image = on_image;
	(void)clock_text(clock_wall_ms(), d->began);
	stage_begin(d, "starting the engine");
	return end_of_build(d, run_docker(d, &argv, packed, OUTPUT_LOG, -1));
}

/* `docker cp` follows links as they would be inside the image. */
static int copy_output(struct dockerd *d, int copied)
{
	static const char *const create[] = { DOCKER_PROGRAM, "create", "--network=none", NULL };
	static const char *const rm[] = { DOCKER_PROGRAM, "rm", "--force", "--volumes", NULL };
	char from[768], container[80], text[512];
	struct argv argv;
	argv_of(create, &argv);
	argv_add(&argv, d->s->tag);
	argv_add(&argv, "/none"); /* it is never started */
	int status = run_docker(d, &argv, -1, OUTPUT_SAID, -1);
	if (status || strspn(d->said, "0123456789abcdef") < 12)
		return d->stopped ? -ECANCELED
				  : failed(d, "the image's files cannot be read", last_error(d));
	snprintf(container, sizeof(container), "%.64s", d->said);
	snprintf(from, sizeof(from), "%s:%s%s", container, *d->arguments.output == '/' ? "" : "/",
		 d->arguments.output);
	argv_of((const char *const[]){ DOCKER_PROGRAM, "cp", "--follow-link", from, "-", NULL },
		&argv);
	status = run_docker(d, &argv, -1, OUTPUT_FILE, copied);
	int r = d->stopped ? -ECANCELED : 0;
	if (r == 0 && status) {
		snprintf(text, sizeof(text), "the image has no file '%.300s'", d->arguments.output);
		r = failed(d, text, "`output` is the path of one file in the image that was built");
	}
	argv_of(rm, &argv);
	argv_add(&argv, container);
	d->deadline_ms += LIMIT_DOCKER_TIDY_MS;
	(void)run_docker(d, &argv, -1, OUTPUT_SAID, -1);
	return r;
}

static int take_image(struct dockerd *d, struct error *e)
{
	struct contained_spec spec = *d->s;
	struct argv argv;
	_cleanup_close_ int saved = -1;
	_cleanup_close_ int copied = -1;
	stage_begin(d, "saving the image");
	int r = make_file(d, &saved);
	if (r == 0)
		r = make_file(d, &copied);
	if (r < 0)
		return r;
	argv_of((const char *const[]){ DOCKER_PROGRAM, "save", d->s->tag, NULL }, &argv);
	int status = run_docker(d, &argv, -1, OUTPUT_FILE, saved);
	if (d->stopped)
		return -ECANCELED;
	if (status)
		return failed(d, "the image cannot be saved", last_error(d));
	if (d->s->output_fd >= 0)
		r = copy_output(d, copied);
	stage_end(d);
	if (r < 0)
		return r;
	spec.engine = ENGINE_DOCKER;
	spec.input = INPUT_SAVED;
	spec.input_fd = saved;
	spec.copied_fd = copied;
	spec.stores_fd = -1;
	spec.n_bases = 0;
	return in_jail(d, &spec, e);
}

static const char *const rmi[] = { DOCKER_PROGRAM, "rmi", "--no-prune", NULL };

/* Of the images [from, to), those that have no name and are younger than the build: a step may have printed the id of another's. What
 * others have built upon meanwhile, dockerd keeps. */
static void remove_some(struct dockerd *d, unsigned from, unsigned to)
{
	static const char *const inspect[] = { DOCKER_PROGRAM,
					       "image",
					       "inspect",
					       "--format",
					       "{{.Id}} {{len .RepoTags}} {{.Created}}",
					       NULL };
	char id[80], created[40];
	unsigned names;
	struct argv argv;
	argv_of(inspect, &argv);
	for (unsigned i = to; i > from; i--) /* what was made last is built upon the others */
		argv_add(&argv, d->made[i - 1]);
	(void)run_docker(d, &argv, -1, OUTPUT_SAID, -1);
	argv_of(rmi, &argv);
	char *save = NULL, said[sizeof(d->said)];
	memcpy(said, d->said, sizeof(said));
	for (char *line = strtok_r(said, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%79s %u %39s", id, &names, created) == 3 && names == 0 &&
		    strncmp(created, d->began, strlen("2026-11-23T01:02:03")) >= 0) {
			line[strcspn(line, " ")] = '\0';
			argv_add(&argv, line);
		}
	if (argv.n > ELEMENTS(rmi) - 1)
		(void)run_docker(d, &argv, -1, OUTPUT_SAID, -1);
}

/* What was built leaves the dockerd: its archive is the job's, and a later build begins anew. */
static void remove_made(struct dockerd *d)
{
	enum { AT_ONCE = 32 }; /* fit into what docker says of them, and into an argv */
	struct argv argv;
	argv_of(rmi, &argv);
	argv_add(&argv, "--force");
	argv_add(&argv, d->s->tag);
	d->deadline_ms = clock_monotonic_ms() + LIMIT_DOCKER_TIDY_MS;
	(void)run_docker(d, &argv, -1, OUTPUT_SAID, -1);
	for (unsigned to = d->n_made; to; to -= to < AT_ONCE ? to : AT_ONCE)
		remove_some(d, to < AT_ONCE ? 0 : to - AT_ONCE, to);
}

static int run(struct dockerd *d, struct error *e)
{
	static const char *const version[] = { DOCKER_PROGRAM, "version", "--format",
					       "{{.Server.Version}}", NULL };
	_cleanup_close_ int packed = -1;
	int r = make_file(d, &packed);
	if (r == 0)
		r = check_context(d, packed, e);
	if (r == 0)
		r = ask(d, version, NULL, "there is no dockerd that answers");
	if (r < 0)
		return r;
	snprintf(d->result->version, ENGINE_VERSION_SIZE, "%.31s", d->said);
	r = build(d, packed);
	if (r == 0)
		r = take_image(d, e);
	remove_made(d);
	return r;
}

int dockerd_build(const struct contained_spec *s, struct contained_result *ret, struct error *e)
{
	static struct dockerd d; /* large */
	/* For what docker writes itself; the jails have limits of their own. */
	const struct rlimit file = { s->settings->file_bytes, s->settings->file_bytes };
	*ret = (struct contained_result){ .state = JOB_FAILED, .exit_code = -1 };
	d = (struct dockerd){
		.s = s,
		.result = ret,
		.joblog = { .limit = s->settings->log_bytes, .write = s->log, .arg = s->arg },
		.deadline_ms = clock_monotonic_ms() + s->settings->seconds * 1000
	};
	if (access(DOCKER_PROGRAM, X_OK) < 0)
		return error_set(e, ENOENT,
				 DOCKER_PROGRAM " is not installed; install the package docker.io");
	if (access("/usr/bin/skopeo", X_OK) < 0)
		return error_set(e, ENOENT,
				 "/usr/bin/skopeo is not installed, by which a "
				 "dockerd's image becomes an OCI archive; install the "
				 "package skopeo");
	if (setrlimit(RLIMIT_FSIZE, &file) < 0)
		return error_set(e, errno, "setrlimit: %s", strerror(errno));
	snprintf(d.host, sizeof(d.host), "DOCKER_HOST=unix://%s",
		 s->settings->docker_socket ? s->settings->docker_socket : "/var/run/docker.sock");
	struct error mine = { 0 }; /* what keeps a build from being tried, not how it failed */
	int r = build_arguments_parse(s->arguments, &d.arguments, &mine);
	if (r == 0)
		r = run(&d, &mine);
	stage_end(&d);
	joblog_end(&d.joblog);
	build_arguments_done(&d.arguments);
	if (r == 0)
		ret->state = JOB_SUCCEEDED;
	if (!mine.code)
		return 0;
	*e = mine;
	return -mine.code;
}
