/* SPDX-License-Identifier: Apache-2.0 */
/* What one process can do to another: to a child of the attempt's own, and, without harm, to process 1. */
#include "probe/probe.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

static char here[8] = "here";

static void try_traceme(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static void try_seize(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, ptrace(PTRACE_SEIZE, a->number ? (pid_t)a->number : bystander(), NULL, NULL));
}

static void try_vm(const struct attempt *a, struct outcome *o)
{
	char there[8];
	struct iovec mine = { there, sizeof(there) }, theirs = { here, sizeof(here) };
	outcome_of(o, syscall(a->number, bystander(), &mine, 1, &theirs, 1, 0));
}

static void try_pidfd_open(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, syscall(SYS_pidfd_open, getpid(), 0));
}

/* Without pidfd_open it is called with what is no pidfd. */
static void try_pidfd_getfd(const struct attempt *a, struct outcome *o)
{
	long pidfd = syscall(SYS_pidfd_open, bystander(), 0);
	outcome_through(o, syscall(SYS_pidfd_getfd, pidfd, 0, 0), EBADF);
}

static void try_pidfd_signal(const struct attempt *a, struct outcome *o)
{
	long pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	outcome_through(o, syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), EBADF);
}

static void try_signal(const struct attempt *a, struct outcome *o)
{
	outcome_of(o, kill((pid_t)a->number, 0));
}

/* A file of a process below /proc, which is opened and left as it is. */
static void try_proc(const struct attempt *a, struct outcome *o)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", a->number ? (int)a->number : (int)bystander(),
		 a->text);
	outcome_of(o, open(path, (strcmp(a->text, "mem") == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC));
}

static const struct attempt attempts[] = {
	{ "ptrace TRACEME", try_traceme, 0, NULL },
	{ "ptrace of a child", try_seize, 0, NULL },
	{ "ptrace of process 1", try_seize, 1, NULL },
	{ "process_vm_readv of a child", try_vm, SYS_process_vm_readv, NULL },
	{ "process_vm_writev of a child", try_vm, SYS_process_vm_writev, NULL },
	{ "pidfd_open", try_pidfd_open, 0, NULL },
	{ "pidfd_getfd of a child", try_pidfd_getfd, 0, NULL },
	{ "pidfd_send_signal", try_pidfd_signal, 0, NULL },
	{ "signal to process 1", try_signal, 1, NULL },
	{ "memory of a child by /proc", try_proc, 0, "mem" },
	{ "memory of process 1 by /proc", try_proc, 1, "mem" },
	{ "root of process 1 by /proc", try_proc, 1, "root/" },
	{ "descriptors of process 1 by /proc", try_proc, 1, "fd" },
	{ "environment of process 1 by /proc", try_proc, 1, "environ" },
};

const struct attempt_group group_processes = { "processes", attempts, ELEMENTS(attempts),
					       LIMIT_PROBE_SECONDS };
