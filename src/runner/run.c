/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a run. Forwards (begin_*): each stage returns 0 or -errno after having said what
 * failed; the first failure decides the outcome. Backwards (end_*): always all of it, and never
 * stopped by anything but the kernel; a signal during teardown turns grace into SIGKILL.
 */
#include "runner/run.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "runner/agent.h"
#include "runner/check.h"
#include "runner/folders.h"
#include "runner/mounts.h"
#include "runner/ports.h"
#include "runner/record.h"
#include "runner/script.h"
#include "runner/workspace.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WORKSPACE "/sandbox" /* where the agent sees its working folder */

struct run {
	const struct run_options *o;
	const struct harness *h;
	struct run_result *ret;
	struct error *e;
	struct watch watch;
	struct record record;
	struct server servers[LIMIT_HARNESS_SERVERS];
	struct agent *agent;
	char id[32];
	char output[FOLDER_PATH_SIZE];
	const char *temp;
	char *mounts_before;
	uint64_t deadline_ms;
	bool failed;	/* outcome and *e are set */
	bool pre_began; /* so the post-script is due */
};

/* The first failure decides; later ones are in the record only. */
static int fail(struct run *run, enum run_outcome outcome, const struct error *e)
{
	if (!run->failed) {
		run->failed = true;
		run->ret->outcome = outcome;
		if (run->e)
			*run->e = *e;
	}
	return e->code ? -e->code : -EIO;
}

static int fail_because(struct run *run, enum run_outcome outcome, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static int fail_because(struct run *run, enum run_outcome outcome, const char *format, ...)
{
	struct error e = { .code = EIO };
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(e.message, sizeof(e.message), format, arguments);
	va_end(arguments);
	return fail(run, outcome, &e);
}

/* An error of a stage before anything runs, into the record and the result. */
static int fail_step(struct run *run, enum run_outcome outcome, const struct error *e)
{
	char text[600];
	record_end(&run->record, RUN_STEP_FAILED, -1, NULL, "%s",
		   error_format(e, text, sizeof(text)));
	return fail(run, outcome, e);
}

/* Something else than what was waited for came first: say so as the failure of what is under way. */
static int fail_event(struct run *run, enum watch_event event)
{
	struct watch *w = &run->watch;
	char text[64];
	if (event == WATCH_SIGNAL)
		return fail_because(run, RUN_INTERRUPTED, "interrupted by %s (%s)",
				    w->last_signal == SIGINT ? "Ctrl-C" : strsignal(w->last_signal),
				    run->record.step);
	if (event == WATCH_DEADLINE)
		return fail_because(run, RUN_TIMED_OUT, "the time that the run had was over (%s)",
				    run->record.step);
	if (event != WATCH_SERVER)
		return fail_because(run, RUN_FAILED, "cannot wait for processes");
	struct server *s = &run->servers[w->dead_server];
	process_reap(&s->process);
	s->running = false;
	w->server_fds[w->dead_server] = -1;
	spawn_status_text(s->process.status, text, sizeof(text));
	if (!run->failed)
		run->ret->log_tail = log_tail(s->log, LIMIT_SERVER_LOG_LINES);
	return fail_because(run, RUN_FAILED, "server '%s' died (%s) during %s; its log is %s",
			    s->spec->name, text, run->record.step, s->log);
}

/* ---- forwards ---- */

/* "r20261124-001502-k3x9a7": sorts by time, and may be a part of an image's name. */
static void make_id(char *id, size_t size)
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
	time_t now = time(NULL);
	struct tm tm;
	char random[7] = "";
	gmtime_r(&now, &tm);
	for (unsigned i = 0; i < sizeof(random) - 1; i++)
		random[i] = letters[randombytes_uniform(sizeof(letters) - 1)];
	size_t n = strftime(id, size, "r%Y%m%d-%H%M%S-", &tm);
	snprintf(id + n, size - n, "%s", random);
}

static void record_facts(struct run *run)
{
	struct record *r = &run->record;
	json_t *command = json_array(), *servers = json_array();
	for (const char *const *word = run->o->command; *word; word++)
		json_array_append_new(command, json_string(*word));
	for (unsigned i = 0; i < run->h->n_servers; i++) {
		char log[64];
		snprintf(log, sizeof(log), "%s.log", run->h->servers[i].name);
		const struct harness_server *spec = &run->h->servers[i];
		json_array_append_new(
			servers, json_pack("{s:s, s:s, s:i, s:s}", "name", spec->name, "program",
					   spec->program ? spec->program : "postern", "port",
					   (int)run->servers[i].sandbox_port, "log", log));
	}
	record_text(r, "id", run->id);
	record_text(r, "harness", run->h->path);
	record_text(r, "policy", run->h->policy);
	record_text(r, "output", run->output);
	record_value(r, "command", command);
	record_value(r, "servers", servers);
}

/* What the sandbox will hold of host_files. */
static int fill_workspace(struct run *run, struct error *e)
{
	char workspace[FOLDER_PATH_SIZE + 16];
	snprintf(workspace, sizeof(workspace), "%s/workspace", run->output);
	for (unsigned i = 0; i < run->h->n_files; i++) {
		const struct harness_file *f = &run->h->files[i];
		const char *dest = f->dest;
		if (!f->src)
			continue;
		if (!strcmp(dest, WORKSPACE) || !strncmp(dest, WORKSPACE "/", sizeof(WORKSPACE)))
			dest += strlen(WORKSPACE) + (dest[strlen(WORKSPACE)] == '/');
		if (*dest == '/')
			return error_at(e, EINVAL, f->place.line, f->place.column,
					"dest %s is outside the agent's working folder, " WORKSPACE,
					f->dest);
		int r = workspace_copy(workspace, f, dest, run->o->environment, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Everything that can be known to be wrong before anything is started; what is wrong is no step. */
static int begin_folders(struct run *run)
{
	struct error e = { 0 };
	char unnamed[64];
	record_begin(&run->record, "prepare", run->h->name);
	for (unsigned i = 0; i < run->h->n_servers; i++)
		run->servers[i].spec = &run->h->servers[i];
	if (check_harness(run->h, run->o->policy, &e) < 0 ||
	    ports_resolve(run->h, run->o->policy, run->servers, unnamed, sizeof(unnamed), &e) < 0)
		return fail(run,
			    e.code == EOPNOTSUPP ? RUN_UNAVAILABLE
			    : *e.file || e.line	 ? RUN_CONFIG
						 : RUN_FAILED,
			    &e);
	if (output_make(run->o->output, run->id, run->output, &e) < 0)
		return fail(run, RUN_FAILED, &e);
	snprintf(run->ret->output, sizeof(run->ret->output), "%s", run->output);
	snprintf(run->record.path, sizeof(run->record.path), "%.*s/run.json",
		 (int)sizeof(run->record.path) - 16, run->output);
	if (fill_workspace(run, &e) < 0) {
		error_in_file(&e, run->h->name);
		return fail(run, RUN_CONFIG, &e);
	}
	record_facts(run);
	record_end(&run->record, RUN_STEP_OK, -1, NULL, "run %s in %s", run->id, run->output);
	if (*unnamed) {
		record_begin(&run->record, "policy", "");
		record_end(&run->record, RUN_STEP_NOTE, -1, NULL,
			   "it names no endpoint for server '%s', so the agent cannot reach that",
			   unnamed);
	}
	return 0;
}

/* One of the two scripts, to its end. */
static int run_script(struct run *run, const char *name, const char *path, uint64_t deadline_ms)
{
	_cleanup_environment_ struct environment env = { 0 };
	struct error e = { 0 };
	char log[FOLDER_PATH_SIZE + 32], text[64];
	int status = 0;
	environment_copy(&env, run->o->environment);
	environment_set_all(&env, &run->h->runner_env);
	environment_set(&env, "POSTERN_RUN_ID", run->id);
	environment_set(&env, "POSTERN_OUTPUT", run->output);
	environment_set(&env, "POSTERN_HARNESS", run->h->path);
	snprintf(log, sizeof(log), "%s/%s.log", run->output, name);
	record_begin(&run->record, name, path);
	if (env.failed)
		return fail_step(run, RUN_FAILED,
				 &(struct error){ .code = ENOMEM, .message = "out of memory" });
	struct script script = {
		.path = path, .directory = run->h->directory, .env = &env, .log = log
	};
	enum watch_event event = script_run(&script, &run->watch, deadline_ms, &status, &e);
	if (event == WATCH_FAILED)
		return fail_step(run, RUN_FAILED, &e);
	spawn_status_text(status, text, sizeof(text));
	if (event != WATCH_ENDED) {
		int r = fail_event(run, event);
		record_end(&run->record, RUN_STEP_FAILED, process_exit_code(status), log,
			   "ended early: %s", text);
		return r;
	}
	if (status != 0) {
		if (!run->failed)
			run->ret->log_tail = log_tail(log, LIMIT_SERVER_LOG_LINES);
		int r = fail_because(run, RUN_FAILED, "the %s failed (%s); its output is in %s",
				     name, text, log);
		record_end(&run->record, RUN_STEP_FAILED, process_exit_code(status), log, "%s",
			   text);
		return r;
	}
	record_end(&run->record, RUN_STEP_OK, 0, log, "%s", text);
	return 0;
}

static int begin_pre_script(struct run *run)
{
	run->pre_began = true;
	if (!run->h->pre_script)
		return 0;
	return run_script(run, "pre-script", run->h->pre_script, run->deadline_ms);
}

static int begin_server(struct run *run, unsigned i)
{
	struct server *s = &run->servers[i];
	struct server_context context = {
		.run_id = run->id,
		.directory = run->h->directory,
		.temp = run->temp,
		.output = run->output,
		.environment = run->o->environment,
		.runner_env = &run->h->runner_env,
	};
	struct error e = { 0 };
	char name[64], why[128];
	snprintf(name, sizeof(name), "server %s", s->spec->name);
	record_begin(&run->record, name, s->spec->program ? s->spec->program : "postern serve");
	int r = server_start(s, &context, &e);
	if (r < 0)
		return fail_step(run, r == -EADDRINUSE ? RUN_PORT_TAKEN : RUN_FAILED, &e);
	run->watch.server_fds[i] = s->process.pidfd;
	run->watch.n_servers = i + 1;
	enum watch_event event =
		server_await_health(s, &run->watch, run->deadline_ms, why, sizeof(why));
	if (event == WATCH_ENDED) {
		record_end(&run->record, RUN_STEP_OK, -1, s->log,
			   "healthy; the agent sees it at "
			   "http://host.openshell.internal:%u",
			   s->sandbox_port);
		return 0;
	}
	bool over = run->deadline_ms && clock_monotonic_ms() >= run->deadline_ms;
	if (event == WATCH_DEADLINE && !over) {
		if (!run->failed)
			run->ret->log_tail = log_tail(s->log, LIMIT_SERVER_LOG_LINES);
		r = fail_because(run, RUN_FAILED,
				 "server '%s' was not healthy within %d s: %s; its log is %s",
				 s->spec->name, LIMIT_HEALTH_SECONDS, why, s->log);
	} else {
		r = fail_event(run, event);
	}
	record_end(&run->record, RUN_STEP_FAILED, -1, s->log, "%s",
		   event == WATCH_DEADLINE ? why : "ended before it was healthy");
	return r;
}

static int begin_servers(struct run *run)
{
	for (unsigned i = 0; i < run->h->n_servers; i++) {
		int r = begin_server(run, i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One of the two files that say what the proxy decided. */
static int open_decisions(const struct run *run, const char *name, struct error *e)
{
	char path[FOLDER_PATH_SIZE + 32];
	snprintf(path, sizeof(path), "%s/%s", run->output, name);
	int fd = sandbox_open_log(path);
	if (fd < 0)
		error_set(e, -fd, "cannot make the decision log %s: %s", path, strerror(-fd));
	return fd;
}

static void note_policy(void *arg, const char *text)
{
	struct run *run = arg;
	record_note(&run->record, "policy", text);
}

static int begin_agent(struct run *run)
{
	char workspace[FOLDER_PATH_SIZE + 16];
	struct error e = { 0 };
	snprintf(workspace, sizeof(workspace), "%s/workspace", run->output);
	_cleanup_close_ int log = open_decisions(run, "decisions.log", &e);
	_cleanup_close_ int log_json = open_decisions(run, "decisions.jsonl", &e);
	struct agent_options options = {
		.policy = run->o->policy,
		.name = run->id,
		.command = run->o->command,
		.workspace = workspace,
		.environment = run->o->environment,
		.env = &run->h->sandbox_env,
		.servers = run->servers,
		.n_servers = run->h->n_servers,
		.log = log,
		.log_json = log_json,
		.out = run->o->agent_out,
	};
	record_begin(&run->record, "sandbox", run->h->policy);
	int r = log < 0 || log_json < 0 ? -e.code : agent_start(&options, &run->agent, &e);
	if (r == -EINTR) /* it waits to be read, and to be named */
		return fail_event(run, watch_wait(&run->watch, -1, run->deadline_ms));
	if (r < 0)
		return fail_step(run,
				 e.line		    ? RUN_CONFIG
				 : r == -EOPNOTSUPP ? RUN_UNAVAILABLE
						    : RUN_FAILED,
				 &e);
	record_end(&run->record, RUN_STEP_OK, -1, NULL, "made");
	record_begin(&run->record, "agent", run->o->command[0]);
	agent_relay(run->agent, &run->watch);
	enum watch_event event =
		agent_wait(run->agent, &run->watch, run->deadline_ms, note_policy, run);
	if (event != WATCH_ENDED) {
		r = fail_event(run, event);
		run->watch.tolerated = run->watch.signals;
		run->watch.n_servers = 0;
		agent_stop(run->agent, &run->watch, LIMIT_AGENT_STOP_SECONDS * 1000);
	}
	char why[256] = "";
	bool broken;
	int code = agent_finish(TAKE_PTR(run->agent), &run->watch, &broken, why, sizeof(why));
	bool ended = event == WATCH_ENDED;
	if (ended && broken)
		r = fail_because(run, RUN_FAILED, "the sandbox failed: %s", why);
	if (ended)
		run->ret->exit_code = code;
	record_end(&run->record, ended && code == 0 ? RUN_STEP_OK : RUN_STEP_FAILED, code, NULL,
		   "%sexit %d%s%s", ended ? "" : "ended early: ", code, *why ? ": " : "", why);
	return r;
}

/* ---- backwards ---- */

static void end_servers(struct run *run)
{
	/* The signal that ended the run, or a first one during teardown, changes nothing; the next does. */
	run->watch.n_servers = 0;
	if (!run->watch.tolerated)
		run->watch.tolerated = 1;
	for (unsigned i = run->h->n_servers; i-- > 0;) {
		struct server *s = &run->servers[i];
		char name[64], text[64];
		if (!s->running)
			continue;
		snprintf(name, sizeof(name), "server %s gone", s->spec->name);
		record_begin(&run->record, name, "");
		bool well = server_stop(s, &run->watch);
		record_end(&run->record, well ? RUN_STEP_OK : RUN_STEP_NOTE,
			   process_exit_code(s->process.status), s->log, "%s after SIGTERM",
			   spawn_status_text(s->process.status, text, sizeof(text)));
	}
}

static void end_post_script(struct run *run)
{
	if (!run->pre_began || !run->h->post_script)
		return;
	/* It has its time even when the run has none left; and the run's, when it has more. */
	uint64_t deadline = clock_monotonic_ms() + LIMIT_POST_SCRIPT_SECONDS * 1000ull;
	if (!run->failed && (!run->deadline_ms || run->deadline_ms > deadline))
		deadline = run->deadline_ms;
	(void)run_script(run, "post-script", run->h->post_script, deadline);
}

/* After everything: nothing may be left but the output folder. */
static void end_check(struct run *run)
{
	_cleanup_buf_ struct buf left = BUF_INIT(1024);
	_cleanup_buf_ struct buf killed = BUF_INIT(1024);
	struct stat st;
	record_begin(&run->record, "nothing left", "");
	unsigned n_killed = process_sweep(&killed);
	bool kept = run->o->keep && *run->output;
	if (kept) {
		char where[FOLDER_PATH_SIZE] = "";
		(void)temp_keep(run->temp, run->output, where);
		record_text(&run->record, "state", where);
	}
	int r = !kept ? temp_remove(run->temp) : 0;
	if (!kept && (r < 0 || lstat(run->temp, &st) == 0))
		(void)buf_printf(&left, "%s (%s)", run->temp, strerror(-r));
	mounts_left(run->mounts_before, run->temp, &left);
	mounts_left(run->mounts_before, run->output, &left);
	if (left.len) {
		record_end(&run->record, RUN_STEP_FAILED, -1, NULL, "left: %s", left.data);
		(void)fail_because(run, RUN_FAILED, "the run left %s", left.data);
	} else if (n_killed) {
		record_end(&run->record, RUN_STEP_NOTE, -1, NULL,
			   "only after killing what was left: %s", killed.data);
	} else {
		record_end(&run->record, RUN_STEP_OK, -1, NULL,
			   "no process, mount, socket or temporary file%s",
			   kept ? " but the servers' state, which was to be kept" : "");
	}
}

static const char *const outcomes[] = { "agent ended", "failed",    "malformed file", "unavailable",
					"port taken",  "timed out", "interrupted" };
_Static_assert(ELEMENTS(outcomes) == RUN_OUTCOME_COUNT, "a name for each outcome");

int run_execute(const struct run_options *o, struct run_result *ret, struct error *e)
{
	struct run run = { .o = o, .h = o->harness, .temp = o->temp, .ret = ret, .e = e };
	char now[CLOCK_TEXT_SIZE], text[600];
	struct error local = { 0 };
	if (!run.e)
		run.e = &local;
	*ret = (struct run_result){ .outcome = RUN_AGENT_ENDED };
	for (unsigned i = 0; i < LIMIT_HARNESS_SERVERS; i++)
		run.servers[i].process = PROCESS_INIT;
	if (sodium_init() < 0 || record_init(&run.record, o->progress, o->progress_arg) < 0 ||
	    watch_init(&run.watch) < 0) {
		ret->outcome = RUN_FAILED;
		return error_set(run.e, ENOMEM, "cannot begin: %s", strerror(errno));
	}
	make_id(run.id, sizeof(run.id));
	run.mounts_before = mounts_now();
	run.deadline_ms = o->timeout_ms ? clock_monotonic_ms() + o->timeout_ms : 0;
	int r = begin_folders(&run);
	bool prepared = r == 0; /* else nothing was begun, and one line says why */
	if (r == 0)
		r = begin_pre_script(&run);
	if (r == 0)
		r = begin_servers(&run);
	if (r == 0)
		(void)begin_agent(&run); /* what it says is in the result */
	if (prepared) {
		end_servers(&run);
		end_post_script(&run);
		end_check(&run);
	} else {
		(void)temp_remove(run.temp);
	}
	record_text(&run.record, "outcome", outcomes[ret->outcome]);
	if (ret->outcome == RUN_AGENT_ENDED)
		record_value(&run.record, "exit_code", json_integer(ret->exit_code));
	else
		record_text(&run.record, "error", error_format(run.e, text, sizeof(text)));
	record_text(&run.record, "ended", clock_text(clock_wall_ms(), now));
	(void)record_write(&run.record);
	ret->record = json_dumps(run.record.root, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	record_done(&run.record);
	free(run.mounts_before);
	watch_done(&run.watch);
	for (unsigned i = 0; i < LIMIT_HARNESS_SERVERS; i++)
		sodium_memzero(run.servers[i].token, SERVER_TOKEN_SIZE);
	return ret->outcome == RUN_AGENT_ENDED ? 0 : -EIO;
}
