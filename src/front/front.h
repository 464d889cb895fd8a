/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What front's files share: the process, its connections, and who does what with one. conn.c reads requests, respond.c
 * writes responses, route.c decides what a request means, stream.c waits and follows, front.c is the process file. One
 * process, one thread. A connection is freed by conn.c only, and only from the loop: what route.c, respond.c and stream.c do
 * with one leaves it there. Included by src/front alone.
 */
#ifndef POSTERN_FRONT_H
#define POSTERN_FRONT_H
#include "api/arguments.h"
#include "api/jobtable.h"
#include "api/messages.h"
#include "api/operation.h"
#include "api/problem.h"
#include "http/body.h"
#include "http/head.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/queue.h>
#include <sys/uio.h>

#define LISTENERS_MAX 4
#define INPUT_BYTES                                                                                \
	(LIMIT_HTTP_HEAD_BYTES + 4096) /* that a connection may keep unread for itself */
#define READ_BYTES (256 * 1024)	       /* of an upload that are taken at once */

enum conn_state {
	CONN_HEAD,   /* reading a request's head */
	CONN_KEEPER, /* a question to keeper is open */
	CONN_UPLOAD, /* the body goes into `upload` */
	CONN_WAIT,   /* held until the job has ended or the time is over */
	CONN_FOLLOW, /* log or events of a job */
	CONN_WRITE,  /* the response is being written */
	CONN_LINGER, /* the response is out, the connection ends when the client closes it */
};

struct front;
struct conn;
typedef void conn_reply(struct conn *c, struct msg *m);

struct conn {
	TAILQ_ENTRY(conn) link;
	struct front *front;
	int fd;
	struct event *readable, *writable;
	struct evbuffer *out;
	enum conn_state state;
	bool health_only, keep_alive, head_method, chunked, http10;
	bool ended; /* the client sends no more; it may still read */
	/* the request */
	struct http_scan scan;
	struct http_body body;
	const struct operation *op;
	char host[128];
	char job[JOB_ID_SIZE];
	char name[LIMIT_ARTIFACT_NAME_BYTES + 1];
	char range[64], if_range[64]; /* Range (or Last-Event-ID), If-Range; "" when absent */
	char if_none_match[256];
	int64_t wait_seconds, tail_lines, list_limit;
	bool follow, prefer_applied;
	/* authentication: the digest of the token that keeper accepted on this connection */
	bool authenticated;
	unsigned char token_digest[32];
	uint64_t token_expires_ms;
	/* keeper */
	uint64_t seq;
	conn_reply *on_reply;
	int upload; /* open: the job's body is not whole yet, and the job is abandoned when it never gets so */
	uint64_t uploaded, upload_max; /* bytes */
	char *arguments, *key;
	/* waiting and following; a file that is sent goes behind what is in `out` */
	int log;
	uint64_t offset, file_left, changes_sent;
	uint64_t deadline_ms, comment_ms; /* monotonic; 0: none */
	uint64_t discarded;		  /* bytes read while lingering */
	/* What has been read and not been used: in front's `input` while it is looked at, between that in `kept`,
	 * which most connections never need. */
	char *in, *kept;
	size_t used;
};

TAILQ_HEAD(conn_list, conn);
STAILQ_HEAD(unsent_list, unsent);

struct front {
	struct event_base *base;
	int channel;		   /* to keeper */
	struct unsent_list unsent; /* messages that it has no room for */
	unsigned n_unsent;
	struct event *channel_writable;
	const struct job_table *table;
	char run[32], tag_prefix[64];
	char *index, *openapi, *tools;
	struct conn_list conns;
	unsigned n_conns, conns_max; /* without those of the health listener */
	unsigned second_ms;  /* what a second of the limits lasts, in ms: 1000, or less in tests */
	size_t unread_bytes; /* in the `out` of all connections */
	bool ending;
	uint64_t end_at_ms;
	uint64_t seq;
	double tokens; /* of the unauthenticated rate's bucket */
	uint64_t tokens_ms;
	char input[READ_BYTES];
	struct msg in, out;    /* large, and one at a time */
	struct http_head head; /* of the request that is being looked at */
	struct arguments args;
	bool listening[1 + LISTENERS_MAX]; /* whether there is one: health's, then the others */
	struct event *listener[1 + LISTENERS_MAX];
	bool paused; /* the others are not listened to: too many connections are being refused */
};

/* conn.c */
void conn_accept(struct front *f, int fd, bool health_only);
void conn_free(struct conn *c);
/* The response is out: go on with the next request, or end. May free c. */
void conn_written(struct conn *c);
/* Send f->out, whose seq was front_seq(), and wait for the answer. */
void conn_ask(struct conn *c, conn_reply *on_reply);
/* The upload, if there is one, will never be whole: keeper takes its job back. */
void conn_abandon(struct conn *c);
/* A body comes now: into c->upload, or into nothing; then route_upload_done(). */
void conn_receive(struct conn *c);
/* Once in a while. May free c. */
void conn_tick(struct conn *c, uint64_t now_ms);
/* The server ends: hold nothing any longer. May free c. */
void conn_end(struct conn *c);
void conn_deadline(struct conn *c, uint64_t seconds); /* 0: none */

/* respond.c */
/* When c->writable is: sends what there is. May free c. */
void respond_writable(evutil_socket_t fd, short what, void *arg);
/* All parts in one piece, as far as the client takes it now; flags: MSG_MORE, or 0. */
void conn_send(struct conn *c, const struct iovec *parts, unsigned n, int flags);
/* The response is complete; when it is out, conn_written() is called from the loop. */
void conn_done(struct conn *c);
/* A whole response; another one when too much is unread already. extra: header lines, or NULL. */
void conn_respond(struct conn *c, unsigned status, const char *type, const char *extra,
		  const char *body, size_t n);
/* The same with a part of the file c->log. */
void conn_respond_file(struct conn *c, unsigned status, const char *type, const char *extra,
		       uint64_t offset, uint64_t length);
/* An error (RFC 9457); detail, hint and extra may be NULL. Abandons an upload. */
void conn_problem(struct conn *c, enum problem p, const char *detail, const char *hint,
		  const char *extra);
/* The same for a parameter that is wrong. */
void conn_fault(struct conn *c, const struct argument_fault *fault);
/* The head of a response without a known length: chunked, or until the connection ends for an HTTP/1.0 client. */
void conn_begin_stream(struct conn *c, const char *type);
void conn_chunk(struct conn *c, const void *bytes, size_t n);

/* route.c: a head is complete in c->front->head; body bytes follow in c->in. */
void route_request(struct conn *c);
void route_upload_done(struct conn *c);

/* stream.c */
void stream_respond_job(struct conn *c, bool started);
void stream_wait(struct conn *c, int64_t seconds);
void stream_opened(struct conn *c, struct msg *m);
void stream_changed(struct front *f, unsigned slot);
/* Send a follower what is new, or answer who has waited long enough. */
void stream_tick(struct conn *c, uint64_t now_ms);
/* Answer now what is waited for or followed, as far as it is known. */
void stream_cut(struct conn *c);

uint64_t front_seq(struct front *f);
/* Send f->out to keeper, later when it has too much to read already. 0; -ENOMEM; for a question, -ENOBUFS when too many
 * wait already, those of clients that have gone counted. */
int front_send(struct front *f);
/* Listen, or not, by how many connections there are. */
void front_listen(struct front *f);
/* Take one from the bucket of unauthenticated requests; false when it is empty. */
bool front_take_unauthenticated(struct front *f);
#endif
