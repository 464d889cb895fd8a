/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a job as JSON. */
#include "api/job_json.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <jansson.h>

#define REAL_DIGITS 15 /* as many as a double gives back as they were written */

static json_t *when(uint64_t ms)
{
	char text[CLOCK_TEXT_SIZE];
	return ms ? json_string(clock_text(ms, text)) : json_null();
}

static json_t *artifacts(const struct job_view *v)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < v->n_artifacts && i < LIMIT_ARTIFACTS; i++) {
		const struct job_artifact *a = &v->artifact[i];
		char href[JOB_ID_SIZE + LIMIT_ARTIFACT_NAME_BYTES + 32];
		snprintf(href, sizeof(href), "/jobs/%s/artifacts/%s", v->id, a->name);
		json_t *item =
			json_pack("{ss, sI, ss, ss}", "name", a->name, "size", (json_int_t)a->size,
				  "media_type", a->media_type, "href", href);
		if (item)
			json_array_append_new(list, item);
	}
	return list;
}

/* The worker's JSON is parsed and written again: it must be one object on one line whatever the
 * worker says. */
static json_t *result(const struct job_view *v)
{
	json_t *r = v->result_len ? json_loadb(v->result, v->result_len, 0, NULL) : NULL;
	return r ? r : json_null();
}

int job_json(const struct job_view *v, struct buf *out)
{
	char log[JOB_ID_SIZE + 16], events[JOB_ID_SIZE + 16];
	snprintf(log, sizeof(log), "/jobs/%s/log", v->id);
	snprintf(events, sizeof(events), "/jobs/%s/events", v->id);
	json_t *stage = json_string(v->stage);
	json_t *job =
		json_pack("{ss, ss, ss, so, so, so, so, so, so, ss, ss}", "id", v->id, "operation",
			  v->operation, "state", job_state_name(v->state), "created",
			  when(v->created_ms), "started", when(v->started_ms), "ended",
			  when(v->ended_ms), "stage", stage ? stage : json_string(""), "result",
			  result(v), "artifacts", artifacts(v), "log", log, "events", events);
	_cleanup_free_ char *text =
		job ? json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS)) : NULL;
	json_decref(job);
	return text ? buf_append_str(out, text) : -ENOMEM;
}
