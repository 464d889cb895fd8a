/* SPDX-License-Identifier: Apache-2.0 */
/* Writes results, shorter until they fit. */
#include "worker/result.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <errno.h>
#include <jansson.h>

/* How much is kept of what may be long. */
struct cut {
	unsigned stages;
	size_t text; /* bytes of a stage's name or of a line */
};

/* A string cut between characters. */
static json_t *text_of(const char *s, size_t max)
{
	size_t n = strlen(s);
	if (n > max)
		for (n = max; n && ((unsigned char)s[n] & 0xc0) == 0x80;)
			n--;
	return json_stringn(s, n);
}

static json_t *stages_of(const struct contained_result *r, const struct cut *cut)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < r->n_stages; i++) {
		if (r->n_stages > cut->stages && i >= cut->stages / 2 &&
		    i < r->n_stages - cut->stages / 2)
			continue;
		json_array_append_new(list, json_pack("{s:o, s:f}", "name",
						      text_of(r->stages[i].name, cut->text),
						      "seconds", (double)r->stages[i].ms / 1000));
	}
	return list;
}

static void set_text(json_t *o, const char *key, const char *value, size_t max)
{
	if (value && *value)
		json_object_set_new(o, key, text_of(value, max));
}

static json_t *object_of(const struct contained_result *r, const char *engine, const char *tag,
			 bool contained, const struct cut *cut)
{
	json_t *o = json_object();
	if (r->state == JOB_SUCCEEDED) {
		set_text(o, "image_id", r->image.id, DIGEST_SIZE);
		set_text(o, "digest", r->image.digest, DIGEST_SIZE);
		set_text(o, "tag", tag, 512);
		json_object_set_new(o, "size", json_integer((json_int_t)r->image.size));
		json_object_set_new(o, "layers", json_integer((json_int_t)r->image.layers));
		json_object_set_new(o, "contained", json_boolean(contained));
	} else {
		set_text(o, "error", r->error, CONTAINED_TEXT_SIZE);
		set_text(o, "hint", r->hint, CONTAINED_TEXT_SIZE);
		set_text(o, "step", r->step, cut->text * 2);
		if (r->line)
			json_object_set_new(o, "line", json_integer(r->line));
		if (r->exit_code >= 0)
			json_object_set_new(o, "exit_code", json_integer(r->exit_code));
		if (r->n_lines) {
			json_t *lines = json_array();
			for (unsigned i = 0; i < r->n_lines; i++)
				json_array_append_new(lines, text_of(r->lines[i], cut->text));
			json_object_set_new(o, "last_lines", lines);
		}
	}
	set_text(o, "engine", engine, 32);
	set_text(o, "engine_version", r->version, ENGINE_VERSION_SIZE);
	json_object_set_new(o, "stages", stages_of(r, cut));
	return o;
}

char *result_json(const struct contained_result *r, const char *engine, const char *tag,
		  bool contained)
{
	static const struct cut cuts[] = {
		{ CONTAINED_STAGES, 300 }, { 40, 200 }, { 20, 120 }, { 8, 60 }, { 0, 30 }
	};
	for (size_t i = 0; i < ELEMENTS(cuts); i++) {
		json_t *o = object_of(r, engine, tag, contained, &cuts[i]);
		char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6));
		json_decref(o);
		if (!text || strlen(text) <= LIMIT_RESULT_BYTES)
			return text;
		free(text);
	}
	return NULL;
}
