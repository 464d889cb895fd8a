/* SPDX-License-Identifier: Apache-2.0 */
/* Runs pre- and post-scripts. */
#include "runner/script.h"
#include "base/cleanup.h"
#include "base/spawn.h"
#include "runner/process.h"

#include <errno.h>
#include <fcntl.h>

enum watch_event script_run(const struct script *s, struct watch *w, uint64_t deadline_ms,
			    int *ret_status, struct error *e)
{
	_cleanup_close_ int log =
		open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log < 0) {
		error_set(e, errno, "cannot make the log %s: %s", s->log, strerror(errno));
		return WATCH_FAILED;
	}
	const char *argv[] = { s->path, NULL };
	struct spawn spawn = {
		.program = s->path,
		.argv = argv,
		.envp = (const char *const *)s->env->list,
		.in = -1,
		.out = log,
		.err = log,
		.directory = s->directory,
		.new_session = true,
	};
	struct process p = PROCESS_INIT;
	int r = spawn_start(&spawn, &p.pid, &p.pidfd);
	if (r < 0) {
		error_set(e, -r, "cannot start %s: %s%s", s->path, strerror(-r),
			  r == -EACCES ? "; make it executable" : "");
		return WATCH_FAILED;
	}
	enum watch_event event = watch_wait(w, p.pidfd, deadline_ms);
	if (event == WATCH_ENDED) {
		/* What it left running stays for the run; the sweep at the run's end finds it. */
		process_reap(&p);
	} else {
		w->tolerated = w->signals;
		(void)process_stop(&p, w, LIMIT_SCRIPT_STOP_SECONDS * 1000);
	}
	*ret_status = p.status;
	return event;
}
