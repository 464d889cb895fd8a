/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the page at /: all that an agent with curl needs, in as few words as will do. */
#include "api/generate.h"
#include "api/operation.h"
#include "base/buf.h"

static const char *form(const struct param *p)
{
	if (p->repeats)
		return "=… (repeats)";
	return p->type == PARAM_BOOLEAN ? "=1" : p->type == PARAM_INTEGER ? "=N" : "=…";
}

static void parameters(struct buf *b, const struct operation *op, enum param_in in,
		       const char *title)
{
	const char *before = title;
	for (const struct param *p = op->params; p->name; p++) {
		if (p->in != in)
			continue;
		if (in == PARAM_HEADER)
			buf_printf(b, "%s%s: %s", before, p->name, p->example);
		else
			buf_printf(b, "%s%s%s", before, p->name, form(p));
		before = ", ";
	}
	if (before != title)
		buf_append_str(b, "\n");
}

static void operation(struct buf *b, const struct operation *op)
{
	buf_printf(b, "%s %s: %s\n", op->method, op->path, op->summary);
	parameters(b, op, PARAM_QUERY, "    query: ");
	parameters(b, op, PARAM_HEADER, "    headers, such as: ");
	if (op->curl)
		buf_printf(b, "    %s\n", op->curl);
}

char *generate_index(const char *image_prefix)
{
	struct buf b = BUF_INIT(64 * 1024);
	buf_append_str(&b,
		       "postern does on the host what this sandbox cannot. Use it with curl:\n\n"
		       "A=\"Authorization: Bearer $API_TOKEN\"  # the token is in the "
		       "environment\n"
		       "U=http://" GENERATE_HOST_MARK
		       "  # through the proxy that http_proxy names: leave that variable as it "
		       "is\n\n");
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		if (!operation_row(i)->open)
			operation(&b, operation_row(i));
	buf_append_str(&b, "\nWithout a token:\n");
	for (unsigned i = 0; i < OPERATION_COUNT; i++)
		if (operation_row(i)->open)
			operation(&b, operation_row(i));
	buf_append_str(
		&b, "\nWhat takes long is a job: the answer is 200 when it has ended, else 202 "
		    "with its id; then wait with GET /jobs/{id}?wait=60 until its state is "
		    "succeeded, failed, cancelled, timed_out or lost. The answer to what starts "
		    "one is held for 20 seconds at most, or as many as Prefer: wait=N says; sent "
		    "again with the same Idempotency-Key, it finds the same job. A failed "
		    "build's result holds the failed step and its last lines.\n");
	buf_printf(&b, "Images of this run are named %sNAME. ", image_prefix);
	int r = buf_append_str(&b, "Errors are JSON; read their \"hint\". Retry what "
				   "says Retry-After, after that many seconds.\n");
	if (r < 0) {
		buf_done(&b);
		return NULL;
	}
	return buf_take(&b);
}
