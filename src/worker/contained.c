/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one build in its jail. Nothing decided here rests on what comes from inside, but the job's
 * own result: a build that lies about itself lies to its own agent.
 */
#include "worker/contained.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "worker/enclosure.h"
#include "worker/engine.h"
#include "worker/joblog.h"
#include "worker/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define TICK_MS		  250
#define METER_AFTER_MS	  1000 /* small builds end before it is worth measuring them */
#define MEMORY_HINT	  "run less at once; files in /dev/shm and the like count too"
#define ENDED_BEFORE_WORD "the build ended without a result"

struct contained {
	const struct contained_spec *s;
	struct contained_result *result;
	struct jail jail;
	struct meter meter;
	int reports, log; /* our ends */
	struct joblog joblog;
	uint64_t began_ms;
	char stage[CONTAINED_TEXT_SIZE]; /* that has begun and not ended, by the builder's word */
	uint64_t stage_began_ms;
	bool done, told; /* told: it succeeded or failed, by its own word */
	struct msg m;
};

enum { POLL_CONTROL, POLL_REPORTS, POLL_LOG, POLL_JAIL, POLL_METER, POLL_COUNT };

/* In the jail's PID 1: the program's descriptors are where it looks for them. */
struct inside {
	int reports, log;
	const struct worker_settings *settings;
	uint64_t stored; /* by the run already, bytes */
};

/* Files without a name are all that the meter does not find. */
static uint64_t storage_left(const struct inside *in)
{
	uint64_t most = in->settings->storage_bytes;
	return in->stored < most ? most - in->stored : 1;
}

static int pid1(void *arg)
{
	const struct inside *in = arg;
	static const char *const argv[] = { ENCLOSURE_BUILDER, NULL };
	if (dup2(in->reports, 0) < 0 || dup2(in->log, 1) < 0 || dup2(in->log, 2) < 0)
		return 125;
	close(in->reports);
	close(in->log);
	const struct jail_command c = {
		.argv = argv,
		.envp = engine_environment,
		.capabilities = JAIL_CAPS_BUILD,
		.seccomp = JAIL_SECCOMP_BUILD,
		.new_session = true,
		.watchdog = { .memory = in->settings->memory_bytes,
			      .processes = (unsigned)in->settings->processes,
			      .unnamed = storage_left(in) },
	};
	return jail_command(&c);
}

static int start_jail(struct contained *c, struct error *e)
{
	int reports[2], log[2];
	if (fd_seqpacket_pair(reports) < 0)
		return error_set(e, errno, "socketpair: %s", strerror(errno));
	c->reports = reports[0];
	_cleanup_close_ int their_reports = reports[1];
	if (pipe2(log, O_CLOEXEC) < 0)
		return error_set(e, errno, "pipe: %s", strerror(errno));
	c->log = log[0];
	_cleanup_close_ int their_log = log[1];
	static struct enclosure x; /* large */
	const struct contained_spec *s = c->s;
	int r = enclosure_init(&x, s->settings, s->work_fd, s->stores_fd, s->base_fds, s->n_bases,
			       e);
	struct inside in = { their_reports, their_log, s->settings, s->stored };
	x.keep_fds[0] = their_reports;
	x.keep_fds[1] = their_log;
	x.spec.keep_fds = x.keep_fds;
	x.spec.n_keep_fds = 2;
	if (r == 0)
		r = jail_start(&x.spec, pid1, &in, &c->jail, e);
	enclosure_done(&x);
	return r;
}

static int send_start(struct contained *c)
{
	const struct contained_spec *s = c->s;
	char granted[LIMIT_BASES * 80] = "";
	size_t n = 0;
	for (unsigned i = 0; i < s->n_bases; i++)
		n += (size_t)snprintf(granted + n, sizeof(granted) - n, "%s%.64s", i ? ", " : "",
				      s->settings->bases[i]);
	msg_begin(&c->m, &report_messages, REPORT_START, 0);
	msg_put_u(&c->m, s->input);
	msg_put_u(&c->m, s->engine);
	msg_put_s(&c->m, s->tag);
	msg_put_s(&c->m, s->arguments);
	msg_put_u(&c->m, s->settings->context_bytes);
	msg_put_u(&c->m, s->settings->context_entries);
	msg_put_s(&c->m, granted);
	msg_put_u(&c->m, s->want_version);
	msg_put_fd(&c->m, s->input_fd);
	if (s->image_fd >= 0)
		msg_put_fd(&c->m, s->image_fd);
	if (s->output_fd >= 0)
		msg_put_fd(&c->m, s->output_fd);
	if (s->input == INPUT_SAVED && s->output_fd >= 0)
		msg_put_fd(&c->m, s->copied_fd);
	return msg_send(c->reports, &c->m);
}

/* ---- the end ---- */

/* Decide how it ends, unless that is decided, and end it. */
static void stop(struct contained *c, enum job_state state, const char *error, const char *hint)
{
	if (c->done)
		return;
	c->done = true;
	c->result->state = state;
	snprintf(c->result->error, CONTAINED_TEXT_SIZE, "%s", error);
	snprintf(c->result->hint, CONTAINED_TEXT_SIZE, "%s", hint);
	if (*c->stage)
		contained_stage_add(c->result, c->stage, clock_monotonic_ms() - c->stage_began_ms);
	jail_kill(&c->jail);
}

static void stop_limit(struct contained *c, const char *what, uint64_t limit, const char *unit,
		       const char *hint)
{
	char text[CONTAINED_TEXT_SIZE];
	snprintf(text, sizeof(text), "the build %s more than its %llu %s", what,
		 (unsigned long long)limit, unit);
	stop(c, JOB_FAILED, text, hint);
}

static void stop_late(struct contained *c)
{
	char text[CONTAINED_TEXT_SIZE];
	snprintf(text, sizeof(text), "the build took longer than its %llu seconds",
		 (unsigned long long)c->s->settings->seconds);
	stop(c, JOB_TIMED_OUT, text,
	     "a step may wait for something that never comes, such as "
	     "input or the network; else build less at a time");
}

/* The jail has ended: why, when the builder had no last word. */
static void explain_end(struct contained *c, const struct jail_end *end)
{
	const struct worker_settings *limits = c->s->settings;
	char text[CONTAINED_TEXT_SIZE], how[64];
	if (c->done)
		return;
	if (end->reason == JAIL_MEMORY) {
		c->told = false;
		stop_limit(c, "used", limits->memory_bytes, "bytes of memory", MEMORY_HINT);
	} else if (end->reason == JAIL_PROCESSES) {
		c->told = false;
		stop_limit(c, "started", limits->processes, "processes", "run fewer at once");
	} else if (end->reason == JAIL_UNNAMED) {
		c->told = false;
		stop_limit(c, "stores", limits->storage_bytes, "bytes",
			   "files that are open count, though they have no name any more");
		c->result->storage_full = true;
	} else if (!c->told) {
		snprintf(text, sizeof(text), ENDED_BEFORE_WORD ": %s%s%s",
			 spawn_status_text(end->status, how, sizeof(how)),
			 *end->message ? ", " : "", end->message);
		stop(c, JOB_FAILED, text,
		     "something in the build killed it, or it reached a limit of this host");
	}
}

/* ---- the log ---- */

/* False at its end. */
static bool on_log(struct contained *c)
{
	static char piece[JOBLOG_PIECE];
	ssize_t n = read(c->log, piece, sizeof(piece));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n > 0)
		joblog_feed(&c->joblog, piece, (size_t)n);
	else
		joblog_end(&c->joblog);
	return n > 0;
}

/* ---- reports ---- */

static void plain(char *to, const struct msg_field *f)
{
	text_line(f->text, f->len, to, CONTAINED_TEXT_SIZE);
}

static void on_stage(struct contained *c)
{
	plain(c->stage, &c->m.field[0]);
	c->stage_began_ms = clock_monotonic_ms();
	c->s->stage(c->s->arg, c->stage);
}

static void on_stage_done(struct contained *c)
{
	char name[CONTAINED_TEXT_SIZE];
	plain(name, &c->m.field[0]);
	contained_stage_add(c->result, name, c->m.field[1].number);
	c->stage[0] = '\0';
}

static void on_image(struct contained *c)
{
	struct image_facts *i = &c->result->image;
	snprintf(i->id, sizeof(i->id), "%.*s", DIGEST_SIZE - 1, c->m.field[0].text);
	snprintf(i->digest, sizeof(i->digest), "%.*s", DIGEST_SIZE - 1, c->m.field[1].text);
	i->size = c->m.field[2].number;
	i->layers = c->m.field[3].number;
}

static void on_failed(struct contained *c)
{
	struct contained_result *r = c->result;
	plain(r->error, &c->m.field[0]);
	plain(r->hint, &c->m.field[1]);
	plain(r->step, &c->m.field[2]);
	r->line =
		c->m.field[3].number > LIMIT_DOCKERFILE_BYTES ? 0 : (unsigned)c->m.field[3].number;
	r->exit_code = c->m.field[4].number > 256 ? -1 : (int)c->m.field[4].number - 1;
	const char *p = c->m.field[5].text, *end = p + c->m.field[5].len;
	while (p < end && r->n_lines < LIMIT_FAILURE_LINES) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		if (!line_end)
			line_end = end;
		text_line(p, (size_t)(line_end - p), r->lines[r->n_lines++], CONTAINED_TEXT_SIZE);
		p = line_end + 1;
	}
	r->state = JOB_FAILED;
	c->told = true;
}

/* False when there is nothing more to hear. */
static bool on_report(struct contained *c)
{
	int r = msg_recv(c->reports, &report_messages, REPORT_INSIDE, &c->m);
	if (r < 0 || c->told)
		return r == -EAGAIN;
	char text[CONTAINED_TEXT_SIZE];
	switch (c->m.type->type) {
	case REPORT_ENGINE:
		plain(text, &c->m.field[0]);
		snprintf(c->result->version, ENGINE_VERSION_SIZE, "%.*s", ENGINE_VERSION_SIZE - 1,
			 text);
		break;
	case REPORT_DOCKERFILE:
		plain(c->result->dockerfile, &c->m.field[0]);
		text_line(c->m.field[1].text, c->m.field[1].len, c->result->dockerfile_lines,
			  sizeof(c->result->dockerfile_lines));
		break;
	case REPORT_STAGE:
		on_stage(c);
		break;
	case REPORT_STAGE_DONE:
		on_stage_done(c);
		break;
	case REPORT_IMAGE:
		on_image(c);
		break;
	case REPORT_FAILED:
		on_failed(c);
		break;
	case REPORT_DONE:
		c->result->state = JOB_SUCCEEDED;
		c->told = true;
		break;
	}
	return true;
}

/* ---- limits ---- */

static void check_storage(struct contained *c)
{
	uint64_t bytes;
	int r = meter_read(&c->meter, &bytes);
	if (r == -E2BIG) {
		char text[CONTAINED_TEXT_SIZE];
		snprintf(text, sizeof(text), METER_TOO_DEEP, LIMIT_BUILD_DEPTH);
		stop(c, JOB_FAILED, text, "what lies so deep is not counted");
	} else if (r < 0)
		meter_done(&c->meter);
	else if (c->s->stored + bytes > c->s->settings->storage_bytes && !c->done) {
		stop_limit(c, "stores", c->s->settings->storage_bytes, "bytes", "");
		c->result->storage_full = true;
	}
}

static void check_limits(struct contained *c)
{
	const struct worker_settings *limits = c->s->settings;
	uint64_t now = clock_monotonic_ms();
	if (now - c->began_ms > limits->seconds * 1000)
		stop_late(c);
	struct statvfs v;
	if (fstatvfs(c->s->work_fd, &v) == 0) {
		uint64_t all = (uint64_t)v.f_blocks * v.f_frsize;
		uint64_t left = (uint64_t)v.f_bavail * v.f_frsize;
		if (left < LIMIT_BUILD_DISK_RESERVE_BYTES && left < all / 20)
			stop(c, JOB_FAILED, "no space is left on the host's disk", "");
		if (v.f_favail < v.f_files / 20) /* some file systems count no files: 0 < 0 */
			stop(c, JOB_FAILED, "no more files fit on the host's disk",
			     "leave fewer files in the image");
	}
	struct error e = { 0 };
	if (c->meter.from < 0 && now - c->began_ms > METER_AFTER_MS && !c->done &&
	    meter_start(&c->meter, c->s->work_fd, &e) < 0)
		stop(c, JOB_FAILED, "what the build stores cannot be measured", e.message);
}

/* ---- the loop ---- */

static void fill_poll(const struct contained *c, struct pollfd p[POLL_COUNT])
{
	const int fds[POLL_COUNT] = { [POLL_CONTROL] = c->done ? -1 : c->s->control_fd,
				      [POLL_REPORTS] = c->reports,
				      [POLL_LOG] = c->log,
				      [POLL_JAIL] = c->jail.pid ? c->jail.pidfd : -1,
				      [POLL_METER] = c->meter.from };
	for (int i = 0; i < POLL_COUNT; i++)
		p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
}

static void on_control(struct contained *c)
{
	enum job_state state = c->s->control(c->s->arg);
	if (state == JOB_TIMED_OUT)
		stop_late(c);
	else if (state != JOB_FREE)
		stop(c, state, "the build was cancelled", "");
}

static void close_end(int *fd)
{
	close(*fd);
	*fd = -1;
}

/* Until the jail is gone and both of its channels are read to their ends. */
static void loop(struct contained *c)
{
	uint64_t checked = c->began_ms;
	while (c->jail.pid || c->log >= 0 || c->reports >= 0) {
		struct pollfd p[POLL_COUNT];
		struct jail_end end;
		fill_poll(c, p);
		if (poll(p, POLL_COUNT, TICK_MS) < 0)
			continue; /* EINTR */
		if (p[POLL_REPORTS].revents && !on_report(c))
			close_end(&c->reports);
		if (p[POLL_LOG].revents && !on_log(c))
			close_end(&c->log);
		if (p[POLL_METER].revents)
			check_storage(c);
		if (p[POLL_CONTROL].revents)
			on_control(c);
		/* Last, so that the builder's last word is heard before its end is. */
		if (p[POLL_JAIL].revents && jail_wait(&c->jail, &end) == 0) {
			while (c->reports >= 0 && on_report(c))
				;
			explain_end(c, &end);
		}
		if (c->jail.pid && clock_monotonic_ms() - checked >= TICK_MS) {
			checked = clock_monotonic_ms();
			check_limits(c);
		}
	}
}

void contained_stage_add(struct contained_result *r, const char *name, uint64_t ms)
{
	if (r->n_stages == CONTAINED_STAGES) {
		r->stages[CONTAINED_STAGES - 1].ms += ms;
		return;
	}
	snprintf(r->stages[r->n_stages].name, CONTAINED_TEXT_SIZE, "%s", name);
	r->stages[r->n_stages++].ms = ms;
}

int contained_build(const struct contained_spec *s, struct contained_result *ret, struct error *e)
{
	static struct contained c; /* large */
	*ret = (struct contained_result){ .state = JOB_FAILED, .exit_code = -1 };
	c = (struct contained){
		.s = s,
		.result = ret,
		.jail = JAIL_INIT,
		.meter = METER_INIT,
		.joblog = { .limit = s->settings->log_bytes, .write = s->log, .arg = s->arg },
		.reports = -1,
		.log = -1,
		.began_ms = clock_monotonic_ms()
	};
	int r = start_jail(&c, e);
	if (r == 0) {
		if (send_start(&c) < 0)
			stop(&c, JOB_FAILED, ENDED_BEFORE_WORD, "");
		loop(&c);
	}
	meter_done(&c.meter);
	jail_done(&c.jail);
	if (c.reports >= 0)
		close(c.reports);
	if (c.log >= 0)
		close(c.log);
	return r;
}
