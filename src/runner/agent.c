/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the agent into the native sandbox. */
#include "runner/agent.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "runner/environment.h"
#include "sandbox/sandbox.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>

#define API_HOST "host.openshell.internal"

struct agent {
	struct sandbox *sandbox;
	struct terminal terminal;
};

/* "API" for the only server, "SECOND_ONE" for server second-one among several. */
static void variable_prefix(const struct agent_options *o, unsigned server, char *out, size_t size)
{
	snprintf(out, size, "%s", o->n_servers == 1 ? "api" : o->servers[server].spec->name);
	for (char *c = out; *c; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* The agent's part of its environment, and what stands behind its placeholders. */
static int make_grants(const struct agent_options *o, struct environment *env,
		       struct sandbox_credential *credentials, char names[][48],
		       struct sandbox_server *servers)
{
	environment_set(env, "TERM", environment_get(o->environment, "TERM"));
	environment_set(env, "COLORTERM", environment_get(o->environment, "COLORTERM"));
	for (unsigned i = 0; i < o->n_servers; i++) {
		const struct server *s = &o->servers[i];
		char prefix[36], url_name[48], url[64], placeholder[80];
		variable_prefix(o, i, prefix, sizeof(prefix));
		snprintf(names[i], sizeof(names[i]), "%s_TOKEN", prefix);
		snprintf(url_name, sizeof(url_name), "%s_URL", prefix);
		snprintf(url, sizeof(url), "http://" API_HOST ":%u", s->sandbox_port);
		snprintf(placeholder, sizeof(placeholder), "openshell:resolve:env:%s", names[i]);
		environment_set(env, names[i], placeholder);
		environment_set(env, url_name, url);
		credentials[i] = (struct sandbox_credential){ .name = names[i],
							      .value = s->token,
							      .host = API_HOST,
							      .port = s->sandbox_port,
							      .path = "/",
							      .authorization_only = true };
		servers[i] =
			(struct sandbox_server){ .port = s->sandbox_port, .address = s->address };
	}
	environment_set_all(env, o->env);
	return env->failed;
}

int agent_start(const struct agent_options *o, struct agent **ret, struct error *e)
{
	_cleanup_environment_ struct environment env = { 0 };
	struct sandbox_credential credentials[LIMIT_HARNESS_SERVERS];
	struct sandbox_server servers[LIMIT_HARNESS_SERVERS];
	char names[LIMIT_HARNESS_SERVERS][48];
	int r = make_grants(o, &env, credentials, names, servers);
	_cleanup_free_ struct agent *a = calloc(1, sizeof(*a));
	if (r < 0 || !a)
		return error_set(e, ENOMEM, "out of memory");
	int fds[3] = { STDIN_FILENO, o->out, STDERR_FILENO };
	a->terminal = TERMINAL_INIT;
	r = terminal_open(&a->terminal, fds);
	if (r < 0) {
		terminal_close(&a->terminal);
		return error_set(e, -r, "cannot make a terminal: %s", strerror(-r));
	}
	struct sandbox_options options = {
		.policy = o->policy,
		.name = o->name,
		.argv = o->command,
		.dir = o->workspace,
		.lend = true,
		.env = (const char *const *)env.list,
		.credentials = credentials,
		.n_credentials = o->n_servers,
		.servers = servers,
		.n_servers = o->n_servers,
		.in = fds[0],
		.out = fds[1],
		.err = fds[2],
		.log = o->log,
		.log_json = o->log_json,
		.explanation = -1,
		.terminal = terminal_controls(&a->terminal),
	};
	r = sandbox_start(&options, &a->sandbox, e);
	if (r < 0) {
		terminal_close(&a->terminal);
		return r;
	}
	*ret = TAKE_PTR(a);
	return 0;
}

void agent_relay(struct agent *a, struct watch *w)
{
	/* Ctrl-C ends the run, in order: it is not the agent's to take. */
	terminal_begin(&a->terminal, true);
	w->terminal = &a->terminal;
}

enum watch_event agent_wait(struct agent *a, struct watch *w, uint64_t deadline_ms,
			    void (*note)(void *arg, const char *text), void *arg)
{
	enum watch_event event;
	char said[600];
	do {
		w->control_fd = sandbox_control_fd(a->sandbox);
		event = watch_wait(w, sandbox_fd(a->sandbox), deadline_ms);
		if (event == WATCH_CONTROL)
			sandbox_control(a->sandbox, said, sizeof(said));
		if (event == WATCH_CONTROL && *said)
			note(arg, said);
	} while (event == WATCH_CONTROL);
	w->control_fd = -1;
	return event;
}

void agent_stop(struct agent *a, struct watch *w, unsigned grace_ms)
{
	sandbox_signal(a->sandbox, SIGTERM);
	if (watch_wait(w, sandbox_fd(a->sandbox), clock_monotonic_ms() + grace_ms) != WATCH_ENDED)
		sandbox_signal(a->sandbox, SIGKILL);
}

int agent_finish(struct agent *a, struct watch *w, bool *ret_failed, char *why, size_t size)
{
	struct sandbox_end end;
	sandbox_finish(a->sandbox, &end);
	w->terminal = NULL;
	terminal_close(&a->terminal);
	snprintf(why, size, "%s", end.message);
	*ret_failed = end.failed;
	int code = process_exit_code(end.status);
	free(a);
	return code;
}
