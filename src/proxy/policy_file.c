/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a policy out of a descriptor. */
#include "proxy/policy_file.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/yaml.h"

#include <errno.h>
#include <string.h>

int policy_file_take(int fd, struct policy **ret)
{
	_cleanup_free_ char *text = NULL;
	struct error e = { 0 };
	char line[640];
	size_t n;
	int r = fd_read_file(fd, YAML_FILE_MAX, &text, &n);
	if (r == 0)
		r = policy_load(text, n, "policy", ret, &e);
	if (r < 0)
		log_error("cannot use the policy: %s",
			  e.code ? error_format(&e, line, sizeof(line)) : strerror(-r));
	close(fd);
	return r;
}

int policy_file_change(int channel, struct msg *m, void (*use)(const struct policy *, uint64_t))
{
	static struct policy *before;
	struct policy *policy;
	int r = msg_recv(channel, &sandbox_messages, SANDBOX_ROLE_SUPERVISOR, m);
	if (r == 0 && m->type->type != SANDBOX_POLICY)
		r = -EPROTO;
	if (r == 0)
		r = policy_file_take(TAKE_FD(m->fds[0]), &policy);
	if (r < 0) {
		msg_done(m);
		return r;
	}
	use(policy, m->field[0].number);
	policy_free(before);
	before = policy;
	msg_begin(m, &sandbox_messages, SANDBOX_POLICY_TAKEN, m->seq);
	return msg_send(channel, m);
}
