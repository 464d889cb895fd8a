/* SPDX-License-Identifier: Apache-2.0 */
/* The table of messages between worker and builder. */
#include "worker/report.h"
#include "base/limit.h"
#include "worker/steps.h"

#include <assert.h>

#define TEXT_MAX 4096

static const struct msg_type types[] = {
	[REPORT_NONE] = { REPORT_NONE, NULL, 0, "", 0, 0, 0 },
	[REPORT_START] = { REPORT_START, "report_start", REPORT_OUTSIDE, "uussuusu",
			   LIMIT_ARGUMENTS_BYTES + 4096, 1, 4 },
	[REPORT_ENGINE] = { REPORT_ENGINE, "report_engine", REPORT_INSIDE, "s", 64, 0, 0 },
	[REPORT_DOCKERFILE] = { REPORT_DOCKERFILE, "report_dockerfile", REPORT_INSIDE, "ss",
				TEXT_MAX, 0, 0 },
	[REPORT_STAGE] = { REPORT_STAGE, "report_stage", REPORT_INSIDE, "s", TEXT_MAX, 0, 0 },
	[REPORT_STAGE_DONE] = { REPORT_STAGE_DONE, "report_stage_done", REPORT_INSIDE, "su",
				TEXT_MAX, 0, 0 },
	[REPORT_IMAGE] = { REPORT_IMAGE, "report_image", REPORT_INSIDE, "ssuu", 512, 0, 0 },
	[REPORT_FAILED] = { REPORT_FAILED, "report_failed", REPORT_INSIDE, "sssuus",
			    TEXT_MAX + LIMIT_FAILURE_LINES *STEPS_LINE_MAX, 0, 0 },
	[REPORT_DONE] = { REPORT_DONE, "report_done", REPORT_INSIDE, "", 0, 0, 0 },
};
static_assert(sizeof(types) / sizeof(types[0]) == REPORT_COUNT, "a row per report");

const struct msg_table report_messages = { types, REPORT_COUNT };
