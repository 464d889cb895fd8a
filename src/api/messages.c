/* SPDX-License-Identifier: Apache-2.0 */
/* The table of messages between the server's processes. */
#include "api/messages.h"
#include "base/limit.h"

#include <assert.h>

#define SETTINGS_MAX (48 * 1024)
#define TEXT_MAX     2048

static const struct msg_type types[] = {
	[MESSAGE_NONE] = { MESSAGE_NONE, NULL, 0, "", 0, 0, 0 },

	[MESSAGE_KEEPER_SETUP] = { MESSAGE_KEEPER_SETUP, "keeper_setup", ROLE_SUPERVISOR,
				   "bsusuuuu", SETTINGS_MAX, 1, 2 },
	[MESSAGE_FRONT_ATTACH] = { MESSAGE_FRONT_ATTACH, "front_attach", ROLE_SUPERVISOR, "u", 0, 1,
				   1 },
	[MESSAGE_WORKER_STARTED] = { MESSAGE_WORKER_STARTED, "worker_started", ROLE_SUPERVISOR,
				     "su", TEXT_MAX, 0, 0 },
	[MESSAGE_WORKER_EXITED] = { MESSAGE_WORKER_EXITED, "worker_exited", ROLE_SUPERVISOR, "uu",
				    0, 0, 0 },
	[MESSAGE_DRAIN] = { MESSAGE_DRAIN, "drain", ROLE_SUPERVISOR, "u", 0, 0, 0 },

	[MESSAGE_KEEPER_READY] = { MESSAGE_KEEPER_READY, "keeper_ready", ROLE_KEEPER, "s", 64, 0,
				   0 },
	[MESSAGE_KEEPER_FAILED] = { MESSAGE_KEEPER_FAILED, "keeper_failed", ROLE_KEEPER, "us",
				    TEXT_MAX, 0, 0 },
	[MESSAGE_FRONT_KILL] = { MESSAGE_FRONT_KILL, "front_kill", ROLE_KEEPER, "u", 0, 0, 0 },
	[MESSAGE_WORKER_SPAWN] = { MESSAGE_WORKER_SPAWN, "worker_spawn", ROLE_KEEPER, "s", TEXT_MAX,
				   1, 1 },
	[MESSAGE_WORKER_KILL] = { MESSAGE_WORKER_KILL, "worker_kill", ROLE_KEEPER, "u", 0, 0, 0 },
	[MESSAGE_DRAINED] = { MESSAGE_DRAINED, "drained", ROLE_KEEPER, "", 0, 0, 0 },

	[MESSAGE_FRONT_SETUP] = { MESSAGE_FRONT_SETUP, "front_setup", ROLE_KEEPER, "ss", TEXT_MAX,
				  1, 1 },
	[MESSAGE_AUTH_RESULT] = { MESSAGE_AUTH_RESULT, "auth_result", ROLE_KEEPER, "uu", 0, 0, 0 },
	[MESSAGE_JOB_CREATED] = { MESSAGE_JOB_CREATED, "job_created", ROLE_KEEPER, "ussuu",
				  TEXT_MAX, 0, 1 },
	[MESSAGE_JOB_REPLY] = { MESSAGE_JOB_REPLY, "job_reply", ROLE_KEEPER, "us", TEXT_MAX, 0, 0 },
	[MESSAGE_JOB_OPENED] = { MESSAGE_JOB_OPENED, "job_opened", ROLE_KEEPER, "usu", TEXT_MAX, 0,
				 1 },
	[MESSAGE_JOB_CHANGED] = { MESSAGE_JOB_CHANGED, "job_changed", ROLE_KEEPER, "u", 0, 0, 0 },

	[MESSAGE_AUTH_CHECK] = { MESSAGE_AUTH_CHECK, "auth_check", ROLE_FRONT, "b",
				 LIMIT_TOKEN_BYTES, 0, 0 },
	[MESSAGE_JOB_CREATE] = { MESSAGE_JOB_CREATE, "job_create", ROLE_FRONT, "sssu",
				 LIMIT_ARGUMENTS_BYTES + LIMIT_IDEMPOTENCY_KEY_BYTES + 64, 0, 0 },
	[MESSAGE_JOB_COMMIT] = { MESSAGE_JOB_COMMIT, "job_commit", ROLE_FRONT, "su", 64, 0, 0 },
	[MESSAGE_JOB_ABANDON] = { MESSAGE_JOB_ABANDON, "job_abandon", ROLE_FRONT, "s", 64, 0, 0 },
	[MESSAGE_JOB_CANCEL] = { MESSAGE_JOB_CANCEL, "job_cancel", ROLE_FRONT, "s", 64, 0, 0 },
	[MESSAGE_JOB_OPEN] = { MESSAGE_JOB_OPEN, "job_open", ROLE_FRONT, "ss", 256, 0, 0 },

	[MESSAGE_JOB_START] = { MESSAGE_JOB_START, "job_start", ROLE_KEEPER, "ssss", SETTINGS_MAX,
				4, 5 },
	[MESSAGE_JOB_STOP] = { MESSAGE_JOB_STOP, "job_stop", ROLE_KEEPER, "u", 0, 0, 0 },

	[MESSAGE_WORKER_CLEAN] = { MESSAGE_WORKER_CLEAN, "worker_clean", ROLE_KEEPER, "s", TEXT_MAX,
				   1, 1 },

	[MESSAGE_JOB_STAGE] = { MESSAGE_JOB_STAGE, "job_stage", ROLE_WORKER, "s", TEXT_MAX, 0, 0 },
	[MESSAGE_JOB_ARTIFACT] = { MESSAGE_JOB_ARTIFACT, "job_artifact", ROLE_WORKER, "ssu", 256, 0,
				   0 },
	[MESSAGE_JOB_RESULT] = { MESSAGE_JOB_RESULT, "job_result", ROLE_WORKER, "us",
				 LIMIT_RESULT_BYTES, 0, 0 },
	[MESSAGE_WORKER_CLEANED] = { MESSAGE_WORKER_CLEANED, "worker_cleaned", ROLE_WORKER, "s",
				     TEXT_MAX, 0, 0 },
};
static_assert(sizeof(types) / sizeof(types[0]) == MESSAGE_COUNT, "a row per message");
static_assert(SETTINGS_MAX + 1024 < MSG_SIZE_MAX, "the largest message fits");

const struct msg_table service_messages = { types, MESSAGE_COUNT };
