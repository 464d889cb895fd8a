/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-builder: one build, inside the jail. Started by PID 1 of a jail that postern-worker made;
 * everything hostile is read here, beside processes that may be hostile themselves, with nothing
 * to steal: no network, no file of the host's but /usr, no secret.
 *
 * Descriptors: 0 = reports to and from postern-worker (worker/report.h), 1 = the log (a pipe that
 * the worker reads), 2 = the same.
 *
 * Acquire: one REPORT_START. Work: unpack the context, find the Dockerfile, run the engine with the
 * listed options only, kill what it left running, write the image archive and the one file asked
 * for into the descriptors it was given. Then REPORT_DONE or REPORT_FAILED, and end.
 *
 * Must: bound whatever it reads. Mustn't: be trusted: a RUN may kill or imitate this process, and
 * the worker takes its word for nothing that reaches beyond the job.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/spawn.h"
#include "worker/context.h"
#include "worker/dockerfile.h"
#include "worker/engine.h"
#include "worker/image.h"
#include "worker/layers.h"
#include "worker/report.h"
#include "worker/settings.h"
#include "worker/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum { REPORTS = STDIN_FILENO, LOG_PIPE = STDOUT_FILENO };

struct builder {
	struct msg m; /* large, and one at a time */
	enum report_input input;
	const struct engine *engine;
	char tag[512];
	struct build_arguments arguments;
	struct context_limits limits;
	char granted[2048]; /* names of base images */
	bool want_version;
	char *dockerfile; /* its text; NULL when it is not looked into */
	size_t dockerfile_len;
	int input_fd, image_fd, output_fd, copied_fd;
	int pass_fd; /* becomes descriptor 3 of the next program; -1: none */
	struct steps steps;
	char stage[STEPS_LINE_MAX * 2]; /* what is being done; "" between stages */
	uint64_t stage_began_ms;
	char engine_says[4096]; /* what a short command printed */
	size_t engine_said;
};

static void send_report(struct builder *b)
{
	if (msg_send(REPORTS, &b->m) < 0)
		_exit(EXIT_FAILURE); /* nobody listens any more: the worker is gone */
}

static void stage_end(struct builder *b)
{
	if (!*b->stage)
		return;
	msg_begin(&b->m, &report_messages, REPORT_STAGE_DONE, 0);
	msg_put_s(&b->m, b->stage);
	msg_put_u(&b->m, clock_monotonic_ms() - b->stage_began_ms);
	send_report(b);
	b->stage[0] = '\0';
}

static void stage_begin(void *arg, const char *what)
{
	struct builder *b = arg;
	stage_end(b);
	snprintf(b->stage, sizeof(b->stage), "%s", what);
	b->stage_began_ms = clock_monotonic_ms();
	msg_begin(&b->m, &report_messages, REPORT_STAGE, 0);
	msg_put_s(&b->m, b->stage);
	send_report(b);
}

/* Where the failed step stands in the Dockerfile; 0 when that is not known. */
static unsigned line_of_step(const struct builder *b)
{
	return !b->dockerfile || !*b->steps.step
		       ? 0
		       : dockerfile_line(b->dockerfile, b->dockerfile_len, b->steps.stage,
					 b->steps.number, b->steps.step);
}

static _Noreturn void fail_at(struct builder *b, const char *error, const char *hint,
			      const char *step, unsigned line, int exit_code)
{
	char lines[LIMIT_FAILURE_LINES * STEPS_LINE_MAX];
	size_t n = 0;
	stage_end(b);
	const char *last;
	for (unsigned i = 0; *step && (last = steps_last_line(&b->steps, i)); i++)
		n += (size_t)snprintf(lines + n, sizeof(lines) - n, "%s\n", last);
	lines[n] = '\0';
	msg_begin(&b->m, &report_messages, REPORT_FAILED, 0);
	msg_put_s(&b->m, error);
	msg_put_s(&b->m, hint);
	msg_put_s(&b->m, step);
	msg_put_u(&b->m, line);
	msg_put_u(&b->m, (uint64_t)(exit_code + 1));
	msg_put_s(&b->m, lines);
	send_report(b);
	exit(EXIT_FAILURE);
}

static _Noreturn void fail(struct builder *b, const char *error, const char *hint)
{
	fail_at(b, error, hint, "", 0, -1);
}

/* ---- start ---- */

static void receive_start(struct builder *b)
{
	if (msg_recv(REPORTS, &report_messages, REPORT_OUTSIDE, &b->m) < 0)
		exit(EXIT_FAILURE);
	struct error e = { 0 };
	const struct msg_field *f = b->m.field;
	b->input_fd = TAKE_FD(b->m.fds[0]);
	b->image_fd = b->m.n_fds > 1 ? TAKE_FD(b->m.fds[1]) : -1;
	b->output_fd = b->m.n_fds > 2 ? TAKE_FD(b->m.fds[2]) : -1;
	b->copied_fd = b->m.n_fds > 3 ? TAKE_FD(b->m.fds[3]) : -1;
	b->input = (enum report_input)f[0].number;
	b->engine = engine_find((enum engine_choice)f[1].number);
	snprintf(b->tag, sizeof(b->tag), "%s", f[2].text);
	struct rlimit file = { 0 };
	getrlimit(RLIMIT_FSIZE, &file);
	b->limits = (struct context_limits){ .bytes = f[4].number,
					     .file = file.rlim_cur,
					     .entries = f[5].number,
					     .depth = LIMIT_CONTEXT_DEPTH };
	snprintf(b->granted, sizeof(b->granted), "%s", f[6].text);
	b->want_version = f[7].number;
	if ((!b->engine && f[1].number != ENGINE_DOCKER) || b->input >= INPUT_COUNT)
		exit(EXIT_FAILURE);
	if (build_arguments_parse(f[3].text, &b->arguments, &e) < 0)
		fail(b, e.message, "");
}

/* ---- the context ---- */

static int make_folder(const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_file(int dirfd, const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
}

static int copy_all(int from, int to)
{
	if (lseek(from, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0);
		if (n == 0)
			return 0;
		if (n > 0)
			continue;
		if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != EBADF)
			return -errno;
		return fd_copy(from, to);
	}
}

/* A context of our own making, around one file of the operator's or of ours. */
static int make_context(struct builder *b, int dirfd, const char *file, const char *dockerfile)
{
	_cleanup_close_ int fd = openat(dirfd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	int r = fd < 0 ? -errno : copy_all(b->input_fd, fd);
	return r < 0 ? r : write_file(dirfd, "Dockerfile", dockerfile);
}

/* Its path in the jail into ret, where symlinks have led as if the context were "/": an engine would follow them elsewhere. What no
 * engine understands is refused before one starts, which would not say the line. */
static void take_dockerfile(struct builder *b, int dirfd, const char *name, char *ret, size_t size)
{
	char self[64];
	_cleanup_close_ int fd = fd_open(dirfd, name, O_RDONLY, 0, RESOLVE_IN_ROOT);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	ssize_t n = fd < 0 ? fd : readlink(self, ret, size - 1);
	if (n < 0)
		fail(b, "the Dockerfile cannot be read", strerror(fd < 0 ? -fd : errno));
	ret[n] = '\0';
	if (n > 3 && !strcmp(ret + n - 3, ".in"))
		return; /* engines give it to a preprocessor first */
	struct error e = { 0 };
	if (fd_read_file(fd, LIMIT_DOCKERFILE_BYTES, &b->dockerfile, &b->dockerfile_len) < 0)
		fail(b, "the Dockerfile cannot be read", strerror(errno));
	if (dockerfile_check(b->dockerfile, b->dockerfile_len, &e) == 0)
		return;
	char text[sizeof(e.message) + PATH_MAX];
	if (e.line)
		snprintf(text, sizeof(text), "%.200s, line %u: %s", name, e.line, e.message);
	else
		snprintf(text, sizeof(text), "%.200s: %s", name, e.message);
	fail_at(b, text, "", "", e.line, -1);
}

/* Prepare /job; *ret gets the Dockerfile's path in the jail. */
static void prepare(struct builder *b, char *ret, size_t size)
{
	struct error e = { 0 };
	static const char *const folders[] = { INSIDE_CONTEXT, INSIDE_STORAGE, INSIDE_TMP,
					       INSIDE_RUN };
	for (size_t i = 0; i < ELEMENTS(folders); i++)
		if (make_folder(folders[i]) < 0)
			fail(b, "the job's folder cannot be prepared", strerror(errno));
	_cleanup_close_ int dirfd = open(INSIDE_CONTEXT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dirfd < 0 ? -errno : 0;
	const char *name = "Dockerfile";
	/* ADD takes what is no archive as a file. */
	if (r == 0 && b->input == INPUT_ROOTFS && context_check_kind(b->input_fd, &e) < 0)
		fail(b, "the root file system is not a tar archive", "");
	if (r == 0 && b->input == INPUT_ROOTFS)
		r = make_context(b, dirfd, "rootfs.tar", "FROM scratch\nADD rootfs.tar /\n");
	else if (r == 0 && b->input == INPUT_PROBE)
		r = make_context(b, dirfd, "probe",
				 "FROM scratch\nCOPY probe /probe\nRUN [\"/probe\"]\n");
	else if (r == 0)
		r = context_unpack(b->input_fd, dirfd, &b->limits, &e);
	if (r == 0)
		r = context_find_dockerfile(dirfd, b->arguments.dockerfile, &name, &e);
	if (r < 0 && !e.code)
		error_set(&e, -r, "the context cannot be unpacked: %s", strerror(-r));
	if (r < 0)
		fail(b, e.message,
		     r == -EFBIG ? "leave out what the build does not need, or split it" : "");
	take_dockerfile(b, dirfd, name, ret, size);
}

/* ---- the engine ---- */

static void on_build_output(struct builder *b, const char *bytes, size_t n)
{
	(void)!fd_write_full(LOG_PIPE, bytes, n);
	steps_feed(&b->steps, bytes, n);
}

static void on_short_output(struct builder *b, const char *bytes, size_t n)
{
	size_t room = sizeof(b->engine_says) - 1 - b->engine_said;
	n = n < room ? n : room;
	memcpy(b->engine_says + b->engine_said, bytes, n);
	b->engine_said += n;
	b->engine_says[b->engine_said] = '\0';
}

typedef void on_output(struct builder *, const char *, size_t);

/* Take what is in the pipe; false at its end. */
static bool take_output(struct builder *b, int from, on_output *output)
{
	char piece[16 * 1024];
	ssize_t n = read(from, piece, sizeof(piece));
	if (n > 0)
		output(b, piece, (size_t)n);
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Run one command of the engine's to its end: its wait status, or -errno. What a RUN left behind
 * may hold the pipe open for ever, so the engine's own end counts, not the pipe's. */
static int run_engine(struct builder *b, const struct argv *argv, on_output *output,
		      on_output *errors)
{
	int out[2], err[2];
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int from_out = out[0];
	_cleanup_close_ int from_err = err[0];
	struct spawn s = { .program = argv->v[0],
			   .argv = argv->v,
			   .envp = engine_environment,
			   .in = -1,
			   .out = out[1],
			   .err = errors == output ? out[1] : err[1],
			   .fds = { b->pass_fd },
			   .n_fds = b->pass_fd >= 0,
			   .directory = INSIDE_JOB,
			   .new_session = true };
	pid_t pid;
	_cleanup_close_ int pidfd = -1;
	int r = spawn_start(&s, &pid, &pidfd);
	close(out[1]);
	close(err[1]);
	if (r < 0)
		return r;
	fd_set_nonblock(from_out, true);
	fd_set_nonblock(from_err, true);
	struct pollfd p[] = { { .fd = from_out, .events = POLLIN },
			      { .fd = from_err, .events = POLLIN },
			      { .fd = pidfd, .events = POLLIN } };
	while (!(p[2].revents & POLLIN)) {
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[0].revents && !take_output(b, from_out, output))
			p[0].fd = -1;
		if (p[1].revents && !take_output(b, from_err, errors))
			p[1].fd = -1;
	}
	/* What the pipes still hold when the engine has ended; not what others go on writing. */
	for (int i = 0; i < 2; i++)
		for (int pieces = 0; p[i].fd >= 0 && pieces < 64; pieces++) {
			struct pollfd now = { .fd = p[i].fd, .events = POLLIN };
			if (poll(&now, 1, 0) <= 0 || !take_output(b, p[i].fd, i ? errors : output))
				break;
		}
	int status;
	return waitpid(pid, &status, 0) < 0 ? -errno : status;
}

/* Whatever a RUN left running would otherwise see, and could change, what is exported. */
static void kill_leftovers(void)
{
	for (int i = 0; i < 100 && kill(-1, SIGKILL) == 0; i++)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
}

static const char *hint_of_images(const struct builder *b)
{
	static char text[sizeof(b->granted) + 256];
	snprintf(text, sizeof(text),
		 "there is no registry; a build starts from scratch, an earlier stage, an "
		 "image that this run has built (the oldest make room for new ones), or a "
		 "granted base image (%s)",
		 *b->granted ? b->granted : "none is");
	return text;
}

static const char *hint_for(const struct builder *b, const char *error)
{
	if (strstr(error, "short-name") || strstr(error, "no such image") ||
	    strstr(error, "image not known") || strstr(error, "not resolve") ||
	    strstr(error, "no stage or image found"))
		return hint_of_images(b);
	/* COPY looks for a file of that name. */
	if (strstr(error, "Unknown instruction") || strstr(error, "/<<"))
		return "this engine does not know here-documents (RUN <<EOF): join commands by "
		       "&&, or COPY a script and RUN it";
	if (strstr(error, "dial tcp") || strstr(error, "no such host") ||
	    strstr(error, "network is unreachable"))
		return "a build has no network; put what it needs into the context";
	if (strstr(error, "no space left"))
		return "the build needs more storage than it is allowed";
	return !strncasecmp(b->steps.step, "FROM ", 5) ? hint_of_images(b) : "";
}

static void build(struct builder *b, const char *dockerfile)
{
	struct argv argv;
	engine_build_argv(b->engine, &b->arguments, b->tag, dockerfile, &argv);
	steps_init(&b->steps, stage_begin, b);
	int status = run_engine(b, &argv, on_build_output, on_build_output);
	steps_end(&b->steps);
	stage_end(b);
	kill_leftovers();
	if (status < 0)
		fail(b, "the engine cannot be started", strerror(-status));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	char text[STEPS_LINE_MAX + 64], how[64];
	if (*b->steps.error)
		snprintf(text, sizeof(text), "%s", b->steps.error);
	else
		snprintf(text, sizeof(text), "the engine ended with %s",
			 spawn_status_text(status, how, sizeof(how)));
	fail_at(b, text, hint_for(b, text),
		*b->steps.step ? b->steps.step : "before the first step", line_of_step(b),
		b->steps.exit_code);
}

/* ---- what the job leaves ---- */

static void read_image_id(struct builder *b, char ret[DIGEST_SIZE])
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	if (file_read(INSIDE_IID, DIGEST_SIZE, &text, &n) < 0)
		fail(b, "the engine left no image", "");
	size_t len = strcspn(text, "\n");
	if (len >= DIGEST_SIZE || strspn(text, "sha256:0123456789abcdef") != len)
		fail(b, "the engine left a malformed image id", "");
	snprintf(ret, DIGEST_SIZE, "%.*s", (int)len, text);
}

/* Run the command, which writes INSIDE_ARCHIVE, with the archive's name as its last argument; then
 * keep and describe that. */
static void export_image(struct builder *b, struct argv *argv)
{
	char target[sizeof(b->tag) + 64];
	struct image_facts facts;
	struct error e = { 0 };
	snprintf(target, sizeof(target), "oci-archive:%s:%s", INSIDE_ARCHIVE, b->tag);
	argv_add(argv, target);
	b->engine_said = 0;
	int status = run_engine(b, argv, on_short_output, on_short_output);
	if (status != 0)
		fail(b, "the image cannot be written as an archive", b->engine_says);
	_cleanup_close_ int fd = open(INSIDE_ARCHIVE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || image_describe(fd, &facts, &e) < 0)
		fail(b, fd < 0 ? "the engine wrote no archive" : e.message, "");
	int r = b->image_fd < 0 ? 0 : copy_all(fd, b->image_fd);
	if (r < 0)
		fail(b, "the image archive cannot be kept", strerror(-r));
	unlink(INSIDE_ARCHIVE);
	msg_begin(&b->m, &report_messages, REPORT_IMAGE, 0);
	msg_put_s(&b->m, facts.id);
	msg_put_s(&b->m, facts.digest);
	msg_put_u(&b->m, facts.size);
	msg_put_u(&b->m, facts.layers);
	send_report(b);
}

/* The first line that a short command printed on its standard output. */
static void ask_engine(struct builder *b, const char *const *command, char *value, size_t size)
{
	struct argv argv;
	argv_of(command, &argv);
	argv_add(&argv, value);
	b->engine_said = 0;
	b->engine_says[0] = '\0';
	if (run_engine(b, &argv, on_short_output, on_build_output) != 0)
		fail(b, "the image's files cannot be read", b->steps.error);
	snprintf(value, size, "%.*s", (int)strcspn(b->engine_says, "\n"), b->engine_says);
}

static _Noreturn void fail_no_file(struct builder *b)
{
	char text[512];
	snprintf(text, sizeof(text), "'%.300s' in the image is not a file", b->arguments.output);
	fail(b, text, "`output` takes one file; pack folders in the Dockerfile");
}

/* Symlinks of the image are followed as they would be inside it, never out of it. */
static void extract_output(struct builder *b, const char *id)
{
	char value[1024], text[512];
	const char *name = b->arguments.output;
	snprintf(value, sizeof(value), "%s", id);
	for (int i = 0; i < 3 && b->engine->mount[i]; i++)
		ask_engine(b, b->engine->mount[i], value, sizeof(value));
	_cleanup_close_ int root = open(value, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		fail(b, "the image's files cannot be read", strerror(errno));
	_cleanup_close_ int fd = fd_open(root, name, O_RDONLY | O_NONBLOCK, 0,
					 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(text, sizeof(text), "the image has no file '%.300s': %s", name,
			 strerror(fd < 0 ? -fd : errno));
		fail(b, text, "`output` is the path of one file in the image that was built");
	}
	if (!S_ISREG(st.st_mode))
		fail_no_file(b);
	int r = copy_all(fd, b->output_fd);
	if (r < 0)
		fail(b, "the output cannot be kept", strerror(-r));
}

/* "buildah version 1.28.2 (…)", "podman version 4.3.1". Who has none is no engine. */
static void report_version(struct builder *b)
{
	struct argv argv;
	char version[32] = "";
	argv_of((const char *const[]){ b->engine->program, "--version", NULL }, &argv);
	b->engine_said = 0;
	if (run_engine(b, &argv, on_short_output, on_short_output) != 0 ||
	    sscanf(b->engine_says, "%*s version %31[0-9A-Za-z.+~-]", version) != 1)
		fail(b, "the engine does not say its version", b->engine_says);
	msg_begin(&b->m, &report_messages, REPORT_ENGINE, 0);
	msg_put_s(&b->m, version);
	send_report(b);
}

static void check_platform(struct builder *b)
{
	struct utsname u;
	if (!b->arguments.platform || uname(&u) < 0)
		return;
	const char *arch = !strcmp(u.machine, "x86_64")	   ? "amd64"
			   : !strcmp(u.machine, "aarch64") ? "arm64"
							   : u.machine;
	char here[96], text[512];
	snprintf(here, sizeof(here), "linux/%s", arch);
	if (!strcmp(b->arguments.platform, here))
		return;
	snprintf(text, sizeof(text), "platform '%.100s' cannot be built on this host, only %s",
		 b->arguments.platform, here);
	fail(b, text, "leave `platform` out");
}

/* ---- what comes of an input ---- */

static void build_here(struct builder *b, const char *dockerfile)
{
	char id[DIGEST_SIZE];
	struct argv argv;
	stage_begin(b, "starting the engine");
	int r = layers_link();
	if (r < 0)
		fail(b, "the layers of earlier builds cannot be named", strerror(-r));
	if (b->want_version)
		report_version(b);
	build(b, dockerfile);
	read_image_id(b, id);
	stage_begin(b, "writing the image archive");
	argv_of(b->engine->push, &argv);
	argv_add(&argv, id);
	export_image(b, &argv);
	if (b->output_fd >= 0) {
		stage_begin(b, "reading the output file");
		extract_output(b, id);
	}
	layers_unlink();
}

/* For an engine outside, which gets nothing of the context that was not looked at. */
static void pack_again(struct builder *b, const char *dockerfile)
{
	char lines[REPORT_LINES_SIZE] = "";
	if (b->dockerfile)
		dockerfile_lines(b->dockerfile, b->dockerfile_len, lines, sizeof(lines));
	struct argv argv;
	argv_of((const char *const[]){ "/usr/bin/tar", "--create", "--file=" INSIDE_JOB "/packed",
				       "--directory=" INSIDE_CONTEXT, "--sort=name",
				       "--numeric-owner", "--owner=0", "--group=0", ".", NULL },
		&argv);
	b->engine_said = 0;
	int status = run_engine(b, &argv, on_short_output, on_short_output);
	_cleanup_close_ int fd = open(INSIDE_JOB "/packed", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = status || fd < 0 || b->image_fd < 0 ? -EIO : copy_all(fd, b->image_fd);
	if (r < 0)
		fail(b, "the context cannot be packed again", b->engine_says);
	msg_begin(&b->m, &report_messages, REPORT_DOCKERFILE, 0);
	msg_put_s(&b->m, dockerfile + strlen(INSIDE_CONTEXT "/"));
	msg_put_s(&b->m, lines);
	send_report(b);
}

/* What dockerd has built, in the form of all other engines. */
static void take_saved(struct builder *b)
{
	struct argv argv;
	struct error e = { 0 };
	if (make_folder(INSIDE_TMP) < 0)
		fail(b, "the job's folder cannot be prepared", strerror(errno));
	stage_begin(b, "writing the image archive");
	argv_of((const char *const[]){ "/usr/bin/skopeo", "--insecure-policy", "copy", "--quiet",
				       "docker-archive:/proc/self/fd/3", NULL },
		&argv);
	b->pass_fd = b->input_fd;
	export_image(b, &argv);
	if (b->output_fd < 0)
		return;
	stage_begin(b, "reading the output file");
	int r = image_copied_file(b->copied_fd, b->output_fd, &e);
	if (r == -EISDIR)
		fail_no_file(b);
	if (r < 0)
		fail(b, e.message, "");
}

int main(void)
{
	static struct builder b = { .pass_fd = -1 };
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file above the limit is an error of the write */
	setlocale(LC_CTYPE, "C.UTF-8");
	umask(022);
	/* Not even a step that has the engine's capabilities gets at our memory and descriptors. */
	prctl(PR_SET_DUMPABLE, 0);
	receive_start(&b);
	char dockerfile[PATH_MAX];
	if (b.input == INPUT_SAVED) {
		take_saved(&b);
	} else {
		check_platform(&b);
		stage_begin(&b, "unpacking the context");
		prepare(&b, dockerfile, sizeof(dockerfile));
		if (b.engine)
			build_here(&b, dockerfile);
		else
			pack_again(&b, dockerfile);
	}
	stage_end(&b);
	msg_begin(&b.m, &report_messages, REPORT_DONE, 0);
	send_report(&b);
	return EXIT_SUCCESS;
}
