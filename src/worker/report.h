/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What postern-worker (outside) and postern-builder (in the jail, beside hostile processes) say to
 * each other: the table for base/msg.h. Every word from inside may be a lie; the worker makes plain
 * text of it and bounds it, and believes nothing that matters outside the job.
 */
#ifndef POSTERN_WORKER_REPORT_H
#define POSTERN_WORKER_REPORT_H
#include "base/msg.h"

#define REPORT_LINES_SIZE 2048 /* bytes, NUL included, of a list of lines */

enum report_role { REPORT_OUTSIDE = 1, REPORT_INSIDE = 2 };

/* What REPORT_START's input is. */
enum report_input {
	INPUT_CONTEXT, /* a build context, from anyone */
	INPUT_ROOTFS,  /* a tar of a root file system, from the operator */
	INPUT_PROBE,   /* a static program that prints a line: does this engine work here? */
	INPUT_SAVED,   /* what `docker save` wrote, to be made an OCI archive */
	INPUT_COUNT
};

enum report {
	REPORT_NONE,
	/* outside -> inside */
	REPORT_START, /* u enum report_input, u enum engine_choice, s tag, s arguments (JSON),
			 u context bytes, u context entries, s names of granted bases ("a, b"),
			 u 1 when the engine's version is wanted; fds: input, then the file for the
			 image archive, then the file for `output` (absent when not asked for).
			 With docker as engine a context is only checked and packed again, into the
			 image's file; with INPUT_SAVED a fourth descriptor may hold what `docker cp`
			 wrote, the file for `output` in it */
	/* inside -> outside */
	REPORT_ENGINE,	   /* s the engine's version */
	REPORT_DOCKERFILE, /* s its name in the context that was packed, s its instructions' lines */
	REPORT_STAGE,	   /* s what is being done now */
	REPORT_STAGE_DONE, /* s what was done, u ms it took */
	REPORT_IMAGE,	   /* s id, s digest ("sha256:…" both), u size in bytes, u layers */
	REPORT_FAILED, /* s error, s hint or "", s step or "", u line of the Dockerfile (0: none),
			  u exit code + 1 (0: none), s last lines, one per line */
	REPORT_DONE,   /* all went well */
	REPORT_COUNT
};

extern const struct msg_table report_messages;
#endif
