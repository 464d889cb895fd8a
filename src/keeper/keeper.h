/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeper's files share: the run, its jobs, the channels. Included by src/keeper alone. One process, one thread, one
 * struct keeper. keeper.c is the process file (messages of the supervisor), answer.c answers front, queue.c starts, watches
 * and ends jobs, clean.c removes what lost ones left.
 */
#ifndef POSTERN_KEEPER_H
#define POSTERN_KEEPER_H
#include "api/jobtable.h"
#include "api/messages.h"
#include "api/problem.h"
#include "keeper/backlog.h"
#include "keeper/settings.h"
#include "keeper/store.h"

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/types.h>

struct keeper;

/* A job that is remembered; jobs[n] is slot n of the job table. */
struct job {
	struct keeper *keeper;
	bool used;
	struct store_job record;
	bool has_upload;
	uint64_t upload_max; /* bytes */
	/* while running */
	int channel;	     /* to the worker; -1 when there is none */
	struct event *event; /* on the channel */
	struct event *deadline;
	pid_t worker;	      /* 0 until the supervisor has said it */
	bool result_received; /* the worker's last word was recorded */
	enum job_state
		stopping; /* cancelled, timed_out or lost (drained) was asked for; else JOB_FREE */
	unsigned unclean; /* folders of it that clean.c has still to remove */
};

/* A folder to be removed: part of a job's folder, or (part NULL) the whole folder of a job that is not remembered. */
struct clean_item {
	TAILQ_ENTRY(clean_item) link;
	struct job *job; /* NULL: not remembered */
	char id[JOB_ID_SIZE];
	const char *part;
};

struct cleaner {
	TAILQ_HEAD(clean_list, clean_item) items; /* the first one is with the worker */
	bool running;				  /* from asking for the worker until its end */
	pid_t worker;
	int channel; /* -1 when there is none */
	struct event *event;
};

struct keeper {
	struct event_base *base;
	struct store *store;
	struct job_table *table;
	int table_fd, state_fd, jobs_fd, storage_fd, bases_fd;
	int front;		      /* channel; -1 when there is none */
	struct event *front_event;    /* front asks; not heard while it leaves answers unread */
	struct event *front_deadline; /* for reading them */
	struct event *drain_event, *quota_event;
	struct serve_limits limits;
	struct backlog to_front, to_supervisor;
	pid_t front_pid;
	struct cleaner cleaner;
	char run[RUN_ID_SIZE];
	char *settings; /* what workers get, JSON */
	unsigned char digest[32];
	uint64_t token_expires_ms; /* 0: never */
	uint64_t position, spawn_seq;
	bool draining;
	bool reserved;	    /* the file `reserve` is there */
	struct msg in, out; /* large, and one at a time */
	struct job jobs[LIMIT_JOBS_PER_RUN];
};

/* keeper.c: record a job's state and publish it: store, table, front. Returns 0 or -errno of the store. */
int keeper_publish(struct keeper *k, struct job *j);
struct job *keeper_find(struct keeper *k, const char *id);
void keeper_send_supervisor(struct keeper *k);
unsigned keeper_count(const struct keeper *k, enum job_state least, enum job_state most);
/* keeper.c: remove the job's folder and forget it. */
void keeper_forget(struct keeper *k, struct job *j);
/* keeper.c: whether the job may be forgotten to make room, and the one of those that ended longest ago, or NULL. */
bool keeper_may_forget(const struct job *j);
struct job *keeper_oldest_ended(struct keeper *k);
/* keeper.c: have the reserve, which is given up when the disk is full; 0 or -errno. */
int keeper_reserve(struct keeper *k);
void keeper_send_front(struct keeper *k); /* k->out */
void keeper_drop_front(struct keeper *k);
void keeper_end_front(struct keeper *k); /* has it killed; the supervisor starts another */
/* first, n random characters, NUL */
void keeper_random_id(char first, unsigned n, char *out);

/* answer.c: front's channel is readable. */
void answer_front(evutil_socket_t fd, short what, void *arg);

/* The result of a job that ended with the server. */
#define SERVER_ENDED                                                                               \
	"{\"error\":\"the server ended while the job ran\",\"hint\":\"send it "                    \
	"again\",\"stages\":[]}"

/* queue.c */
void queue_drain(struct keeper *k); /* the grace is over: end what runs */
void queue_run(struct keeper *k);   /* start what may start; say drained when that is so */
void queue_stop(struct job *j, enum job_state state); /* cancel or time out a running job */
void queue_end(struct job *j, enum job_state state, const char *result); /* record an end */
void queue_worker_started(struct keeper *k, const char *id, pid_t pid);
void queue_worker_exited(struct keeper *k, pid_t pid, int status);

/* quota.c: bytes that an upload may have; forget the jobs that ended longest ago until the run holds no more than it may
 * (false: what has not ended holds more); look at uploads from now on (0 or -1). */
uint64_t quota_left(const struct keeper *k);
bool quota_make_room(struct keeper *k);
int quota_watch(struct keeper *k);

/* clean.c: put what the job left for the jail's ids on the list; and the folders in jobs/ of no remembered job. */
void clean_job(struct job *j);
void clean_forgotten(struct keeper *k);
void clean_run(struct keeper *k); /* begin with the list, unless that has been done */
void clean_started(struct keeper *k, pid_t pid);
bool clean_exited(struct keeper *k, pid_t pid); /* whether it was the cleaning worker */
#endif
