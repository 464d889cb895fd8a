/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between our processes over SOCK_SEQPACKET sockets: a fixed 16-byte header {type u32,
 * size u32, seq u64}, then the fields that the type's row in a table says, and descriptors beside
 * them (SCM_RIGHTS).
 *
 * A receiver gives the table and the role of its peer; a message that is unknown, not that peer's
 * to send, of the wrong shape, too large, or with the wrong number of descriptors is -EPROTO, and
 * the caller must end the connection. Used by every process. Never blocks unless the socket does;
 * never allocates.
 */
#ifndef POSTERN_MSG_H
#define POSTERN_MSG_H
#include <stddef.h>
#include <stdint.h>

#define MSG_SIZE_MAX   (64u * 1024) /* bytes, header included */
#define MSG_FIELDS_MAX 12	    /* fields per message */
#define MSG_FDS_MAX    12	    /* descriptors per message */

/* One row per message type. */
struct msg_type {
	uint32_t type;	    /* its number; rows are indexed by it: table[n].type == n */
	const char *name;   /* "job_create" */
	uint32_t from;	    /* bit set of the roles that may send it */
	const char *fields; /* a letter per field: u = uint64, s = string without NUL, b = bytes */
	uint32_t max;	    /* bytes of all s and b fields together */
	uint8_t fds_min, fds_max;
};

struct msg_table {
	const struct msg_type *types;
	uint32_t count;
};

struct msg_field {
	uint64_t number;  /* u */
	const char *text; /* s (NUL-terminated) and b; points into the message's own memory */
	size_t len;	  /* bytes of s (without NUL) and b */
};

struct msg {
	const struct msg_type *type;
	uint64_t seq; /* 0 when no answer is awaited; an answer repeats the question's */
	struct msg_field field[MSG_FIELDS_MAX];
	int fds[MSG_FDS_MAX]; /* owned: msg_done() closes those that were not taken (TAKE_FD) */
	unsigned n_fds;
	size_t used;		  /* when building */
	unsigned n_fields;	  /* when building */
	char bytes[MSG_SIZE_MAX]; /* on the wire */
};

/* Build and send. Programmers' mistakes (wrong field kind or count, too large) are assertions;
 * check lengths of foreign strings first. Descriptors passed to msg_put_fd() stay the caller's and
 * are only duplicated by sending. */
void msg_begin(struct msg *m, const struct msg_table *table, uint32_t type, uint64_t seq);
void msg_put_u(struct msg *m, uint64_t value);
void msg_put_s(struct msg *m, const char *text);
void msg_put_b(struct msg *m, const void *bytes, size_t n);
void msg_put_fd(struct msg *m, int fd);
/* The m->used bytes that msg_send() sends, for a message that is kept for later. */
const char *msg_encode(struct msg *m);
int msg_send_encoded(int socket, const char *bytes, size_t size, const int *fds, unsigned n_fds);
/* 0, -EAGAIN on a full non-blocking socket, -EPIPE when the peer is gone, other -errno. Never
 * raises SIGPIPE. */
int msg_send(int socket, struct msg *m);

/* Receive one message. 0; -EAGAIN; -ECONNRESET at end of stream; -EPROTO for what the table
 * forbids. On 0 the caller owns m->fds. m is large: make it static or keep it in the process's
 * state. */
int msg_recv(int socket, const struct msg_table *table, uint32_t peer_role, struct msg *m);
/* Close descriptors that were not taken. */
void msg_done(struct msg *m);
#endif
