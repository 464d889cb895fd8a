/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at what a harness names. */
#include "runner/check.h"
#include "base/cleanup.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <sys/stat.h>

static int check_program(const struct harness *h, const char *path, const struct harness_place *at,
			 struct error *e)
{
	struct stat st;
	const char *why = NULL;
	int code = 0;
	if (!path)
		return 0;
	if (stat(path, &st) < 0) {
		code = errno;
		why = strerror(errno);
	} else if (!S_ISREG(st.st_mode)) {
		code = EACCES;
		why = "not a file";
	} else if (access(path, X_OK) < 0) {
		code = errno;
		why = "it cannot be executed; make it executable (chmod +x)";
	}
	if (!why)
		return 0;
	error_at(e, code, at->line, at->column, "%s: %s", path, why);
	return error_in_file(e, h->name);
}

int check_harness(const struct harness *h, const struct policy *policy, struct error *e)
{
	int r = sandbox_check(policy, e);
	if (r == 0)
		r = check_program(h, h->pre_script, &h->pre_place, e);
	if (r == 0)
		r = check_program(h, h->post_script, &h->post_place, e);
	for (unsigned i = 0; r == 0 && i < h->n_servers; i++)
		r = check_program(h, h->servers[i].program, &h->servers[i].place, e);
	return r;
}
