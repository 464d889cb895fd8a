/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native sandbox: a command in a jail whose root is assembled from an OpenShell policy, and whose
 * only way out is postern-proxy at 10.200.0.1:3128, decided by the same policy. Owns the jail, proxy,
 * dialer and witness. Called by `postern sandbox` and the runner; works as root and as an ordinary
 * user. Never reads what the command sends, never maps the host's root in, and leaves nothing.
 *
 * Inside: /sandbox is the working folder; /usr and the symlinks to it are the host's, read-only;
 * /etc is made for it (users, hosts, and the few of the host's files that programs read: certificates,
 * the linker's cache, …); /tmp, /proc and /dev are its own; other paths are those that the policy lists.
 * Or the root is a root file system of the caller's, in which these paths are.
 */
#ifndef POSTERN_SANDBOX_H
#define POSTERN_SANDBOX_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy; /* policy/policy.h */

#define SANDBOX_NAME_SIZE 48 /* NUL included */

/* What openshell:resolve:env:NAME stands for, and where it may go. */
struct sandbox_credential {
	const char *name, *value;
	const char *host; /* as the policy writes it */
	unsigned port;
	const char *path;	 /* prefix of whole segments; "/": all paths */
	bool authorization_only; /* into that header field, and nothing else */
	bool tls_only;		 /* to servers that were verified; at port 443 in any case */
};

/* What host.openshell.internal:PORT is: "unix:/path", "127.0.0.1:PORT" or "[::1]:PORT" of the host. */
struct sandbox_server {
	unsigned port;
	const char *address;
};

/* 0: what limit.h says. */
struct sandbox_limits {
	uint64_t
		memory; /* bytes, of all processes and of what they keep in file systems of memory; 0: no limit */
	uint64_t processes; /* threads included */
	uint64_t files;	    /* open, of one process; never more than the caller may have */
};

struct sandbox_options {
	const struct policy *policy; /* the caller's, until the sandbox is finished */
	const char *
		name; /* by which sandbox_set_policy() finds it; NULL: the number of this process */
	const char *const
		*argv;	 /* NULL-terminated; argv[0] is searched in PATH when it has no slash */
	const char *dir; /* the host's folder that is /sandbox inside; NULL: an empty one */
	/* The host's folder that is the root, read-only, in place of one that is assembled from the host's: then the policy's
	 * paths are its, and those that are to be written are copies in memory. NULL: none. */
	const char *rootfs;
	bool lend; /* nobody else uses dir: where its file system cannot map owners, all in it
			    may be given to the sandbox's ids meanwhile (sandbox/lend.h) */
	/* NULL-terminated NAME=VALUE, beside what every sandbox has (PATH, HOME, proxies, …); these win.
	 * Must hold no secret: give credentials below, and placeholders here. */
	const char *const *env;
	const struct sandbox_credential *credentials;
	unsigned n_credentials;
	const struct sandbox_server *servers;
	unsigned n_servers;
	/* What it is with other ports, as sandbox_may_be_host() has it; NULL: nothing. */
	const char *host_address;
	struct sandbox_limits limits;
	int in, out, err; /* become 0, 1, 2 of the command; no folders (-EISDIR) */
	/* The decision logs (proxy/decisions.h): as lines of OCSF, and as JSON; of a kind that never blocks: a file, or a
	 * pipe with O_NONBLOCK. -1: none. */
	int log, log_json;
	/* A file that, when the sandbox has been finished, says what was denied (proxy/explain.h). -1: nobody asks. What
	 * it holds was written by proxy, which reads what the command sends. */
	int explanation;
	bool terminal; /* in is a terminal that nobody else has: it controls the command's session */
};

/* Whether that is an IPv4 or IPv6 address, and neither a loopback nor a link-local one: no policy opens these. */
bool sandbox_may_be_host(const char *address);

/* Open such a log, to be appended to, made when it is not there; a pipe is not waited for. Follows no symlink as the last
 * part of path, but for /dev/fd/N, /dev/stdout and /dev/stderr. A descriptor or -errno. */
int sandbox_open_log(const char *path);

struct sandbox;

/* How it ended. */
struct sandbox_end {
	int status;	    /* a wait status of the command's */
	bool failed;	    /* not by itself: the sandbox, or one of its processes, failed */
	bool out_of_memory; /* it used more than its limit, and all of it was killed */
	char message[256];  /* why, when there is more to say than the status; else "" */
};

/* Would a sandbox of this policy start, as far as that can be known without making one? 0, or -errno
 * with *e as sandbox_start() would have it. */
int sandbox_check(const struct policy *policy, struct error *e);
/* Make it all and start the command. 0; or -errno with *e: with file, line and column when the policy
 * cannot be kept; -EOPNOTSUPP when this machine lacks something (and what). The caller must be
 * single-threaded. */
int sandbox_start(const struct sandbox_options *o, struct sandbox **ret, struct error *e);
/* Have requests decided by what the policy's file says now. 0; or -errno with *e, and all is as it was: the file is
 * malformed, wants another sandbox, or lies where the sandbox can write; where *ret_broken, the sandbox is ending. */
int sandbox_reload(struct sandbox *s, const char *policy, bool *ret_broken, struct error *e);
/* A descriptor to poll: readable when sandbox_control() has something to do. */
int sandbox_control_fd(const struct sandbox *s);
/* Do what sandbox_set_policy() of another process asks for, who is waited for LIMIT_CONTROL_MS at most; what came of it, when there is
 * something to say, is put into said, of size bytes, else "". */
void sandbox_control(struct sandbox *s, char *said, size_t size);
/* Have a running sandbox of this user's, by its name or, for NULL, the only one, decide by this policy from now on, all at once. 0, its
 * name, and the number of the policy (its first is 1); or -errno with *e, and all is as it was, as for sandbox_reload(). */
int sandbox_set_policy(const char *name, const struct policy *policy,
		       char ret_name[SANDBOX_NAME_SIZE], uint64_t *ret_number, struct error *e);
/* A descriptor to poll: readable when the command, or a process that it needs, has ended. */
int sandbox_fd(const struct sandbox *s);
/* Pass a signal on to the command. SIGKILL ends everything inside at once. */
void sandbox_signal(struct sandbox *s, int signal);
/* End and reap everything that is left, say how the command ended (a command still running is killed),
 * and free. */
void sandbox_finish(struct sandbox *s, struct sandbox_end *ret);
#endif
