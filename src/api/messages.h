/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages between the server's processes: one table of type, sender, shape and limit (see
 * base/msg.h for the mechanism and docs/processes.md for who talks to whom). An answer repeats the
 * question's seq; problem fields hold an enum problem. Times are milliseconds since the epoch.
 */
#ifndef POSTERN_MESSAGES_H
#define POSTERN_MESSAGES_H
#include "base/msg.h"

enum message_role {
	ROLE_SUPERVISOR = 1, /* `postern serve` itself: starts the others, opens sockets, holds no
				secret after setup */
	ROLE_KEEPER = 2,
	ROLE_FRONT = 4,
	ROLE_WORKER = 8,
};

enum message {
	MESSAGE_NONE,

	/* supervisor -> keeper */
	MESSAGE_KEEPER_SETUP, /* b token digest (32), s run id or "", u token expiry, s settings
				 (a JSON object as in worker/settings.h, without "run" and
				 "tag_prefix"), u seconds of a job, u jobs running, u jobs
				 queued, u bytes of the run's storage; fds: state directory, base store (when there is one) */
	MESSAGE_FRONT_ATTACH, /* u pid; fd: keeper's end of a new front's channel (the older front is gone)
			       */
	MESSAGE_WORKER_STARTED, /* s job, u pid; seq of MESSAGE_WORKER_SPAWN; pid 0: could not be
				   started */
	MESSAGE_WORKER_EXITED,	/* u pid, u wait status */
	MESSAGE_DRAIN, /* u grace in ms: take no more jobs, say MESSAGE_DRAINED when none runs */

	/* keeper -> supervisor */
	MESSAGE_KEEPER_READY,  /* s run id; store open, old jobs settled */
	MESSAGE_KEEPER_FAILED, /* u 1 when what lies in the state directory is to blame, s why: it
				  could not start, and ends */
	MESSAGE_FRONT_KILL,    /* u pid: SIGKILL it; another is started */
	MESSAGE_WORKER_SPAWN, /* s job, or "" for one that cleans; fd: the worker's end of its channel
			       */
	MESSAGE_WORKER_KILL, /* u pid: SIGKILL it */
	MESSAGE_DRAINED,

	/* keeper -> front */
	MESSAGE_FRONT_SETUP, /* s run id, s tag prefix; fd: job table */
	MESSAGE_AUTH_RESULT, /* u problem (0: authenticated), u token expiry */
	MESSAGE_JOB_CREATED, /* u problem, s detail, s job, u 1 when an Idempotency-Key found it, u bytes
				that the upload may have; fd: the upload (with a fresh upload only) */
	MESSAGE_JOB_REPLY,   /* u problem, s detail: answers COMMIT and CANCEL */
	MESSAGE_JOB_OPENED,  /* u problem, s detail, u size in bytes; fd: the file, read-only
				(without a problem) */
	MESSAGE_JOB_CHANGED, /* u slot */

	/* front -> keeper */
	MESSAGE_AUTH_CHECK,  /* b presented token */
	MESSAGE_JOB_CREATE,  /* s operation, s arguments (JSON object), s idempotency key or "", u 1
				when a body will be uploaded */
	MESSAGE_JOB_COMMIT,  /* s job, u bytes uploaded: queue it */
	MESSAGE_JOB_ABANDON, /* s job: the client went away before its body was whole; no answer */
	MESSAGE_JOB_CANCEL,  /* s job */
	MESSAGE_JOB_OPEN,    /* s job, s an artifact's name or "" for the log */

	/* keeper -> worker */
	MESSAGE_JOB_START, /* s job, s operation, s arguments (JSON), s settings (JSON: engine, tag
			      prefix, limits); fds, in this order: log (append), job directory,
			      run's storage directory, base store directory (or the job directory
			      again when there are no bases), upload (absent when the operation
			      takes none) */
	MESSAGE_JOB_STOP,  /* u enum job_state to end in: cancelled or timed_out */

	MESSAGE_WORKER_CLEAN, /* s name; fd: the folder it lies in. Remove that folder, whose files
				 belong to the jail's ids; instead of JOB_START, any number of times
			       */

	/* worker -> keeper */
	MESSAGE_JOB_STAGE,    /* s stage, for people */
	MESSAGE_JOB_ARTIFACT, /* s name, s media type, u size in bytes: a file of that name is in
				 the job directory's "artifacts" */
	MESSAGE_JOB_RESULT, /* u enum job_state (succeeded, failed, cancelled, timed_out), s result
			       (JSON object) */

	MESSAGE_WORKER_CLEANED, /* s why it could not be removed, "" when it is gone */

	MESSAGE_COUNT
};

extern const struct msg_table service_messages;
#endif
