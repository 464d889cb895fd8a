/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeper has to say to a peer that does not read at the moment: a few messages, kept in their order until it does, so
 * that keeper never waits for anybody. Used for front and the supervisor; what is done with a peer that goes on not reading
 * is their owner's to say. Owns copies of the messages' descriptors, not the socket.
 */
#ifndef POSTERN_BACKLOG_H
#define POSTERN_BACKLOG_H
#include "base/limit.h"
#include "base/msg.h"
#include <event2/event.h>

struct backlog_message;

struct backlog {
	int socket; /* non-blocking; -1: there is no peer, and messages to it go nowhere */
	struct event *writable;
	struct backlog_message *first, **last;
	unsigned count;
	/* The backlog is empty again (0), or the peer is gone (-errno). */
	void (*settled)(void *arg, int r);
	void *arg;
};

/* Begin with a peer. 0 or -ENOMEM. */
int backlog_init(struct backlog *b, struct event_base *base, int socket,
		 void (*settled)(void *arg, int r), void *arg);
/* Drop what is kept; the socket stays the caller's. */
void backlog_done(struct backlog *b);
/* Send the message or keep it. 0; -ENOBUFS when LIMIT_BACKLOG_MESSAGES are kept already; -errno when the peer is gone. */
int backlog_send(struct backlog *b, struct msg *m);
#endif
