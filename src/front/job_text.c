/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of jobs, kept until they change: most requests ask again about a job that did not. */
#include "front/job_text.h"
#include "api/job_json.h"

#include <errno.h>

static struct kept {
	uint32_t version; /* of the slot when text was made */
	struct job_text text;
} kept[LIMIT_JOBS_PER_RUN];

static int make(const struct job_table *t, unsigned slot, struct kept *k)
{
	static struct job_view view; /* large, and one at a time */
	/* Taken before the view: if keeper writes in between, the text is newer than it claims, and made once more. */
	uint32_t version = jobtable_version(t, slot);
	struct buf json = BUF_INIT(JOB_JSON_MAX);
	if (!jobtable_read(t, slot, &view))
		return -ENOENT;
	int r = job_json(&view, &json);
	if (r == 0)
		r = buf_append_str(&json, "\n");
	if (r < 0) {
		buf_done(&json);
		return r;
	}
	free(k->text.data);
	k->version = version;
	k->text = (struct job_text){
		.len = json.len,
		.state = (enum job_state)view.state,
		.changes = view.changes,
		.position = view.position,
	};
	memcpy(k->text.id, view.id, sizeof(k->text.id));
	k->text.data = buf_take(&json);
	return 0;
}

const struct job_text *job_text_at(const struct job_table *t, unsigned slot)
{
	struct kept *k = &kept[slot];
	if (k->text.data && k->version == jobtable_version(t, slot))
		return &k->text;
	return make(t, slot, k) == 0 ? &k->text : NULL;
}

const struct job_text *job_text(const struct job_table *t, const char *id)
{
	int slot = jobtable_find(t, id);
	return slot < 0 ? NULL : job_text_at(t, (unsigned)slot);
}
