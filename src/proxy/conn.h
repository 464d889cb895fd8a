/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection from the sandbox, from its first byte to its last: a forward request, or a CONNECT
 * and what is in it. Owned by the proxy process (proxy.c), which accepts connections and carries
 * questions to witness and dialer. Nothing of a request is sent on that was not parsed, decided and
 * written anew; bodies are decoded and framed anew.
 */
#ifndef POSTERN_PROXY_CONN_H
#define POSTERN_PROXY_CONN_H
#include "base/limit.h"
#include "http/body.h"
#include "http/head.h"
#include "policy/match.h"
#include "proxy/collect.h"
#include "proxy/journal.h"
#include "proxy/messages.h"
#include "proxy/placeholder.h"
#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>

enum conn_state {
	CONN_HEAD,   /* a request's head is coming */
	CONN_WHO,    /* witness was asked who this is */
	CONN_BODY,   /* its body is coming, which has to be known before it is decided */
	CONN_DIAL,   /* dialer was asked for a connection */
	CONN_LEAF,   /* … for a certificate for the tunnel's host */
	CONN_RELAY,  /* request body up, response down */
	CONN_TUNNEL, /* raw bytes both ways */
	CONN_LINGER, /* answered: waits until the client has read it */
};

/* Of a direction half may be held as it came, and half as it goes out. */
#define CONN_HELD_BYTES (LIMIT_RELAY_BUFFER_BYTES / 2)

enum conn_question { CONN_ASKS_NOTHING, CONN_ASKS_WHO, CONN_ASKS_DIAL, CONN_ASKS_LEAF };

struct conn {
	uint64_t seq; /* of the last question; its low bits are the slot */
	enum conn_state state;
	enum conn_question pending; /* to be sent when its channel takes more */
	struct bufferevent *client, *upstream;
	struct sockaddr_in peer, here; /* the two ends, as the kernel knows them */
	struct http_scan scan;	       /* of the request's head */

	/* inside CONNECT */
	bool tunnel, inspected, peeking; /* peeking: what is spoken is not known yet */
	bool tls_skip;			 /* it passes as it is */
	uint64_t policy_number;		 /* by which this, or the request under way, was allowed */
	bool tls;			 /* what is read and written is inside TLS */
	bool raw;			 /* … and is no HTTP: bytes both ways */
	char tunnel_host[256];
	uint16_t tunnel_port;

	/* the request under way */
	bool host_wildcard;		/* only wildcards allow it to whoever asks */
	struct journal_kept kept;	/* of the decision that allowed it */
	char blocked[INET6_ADDRSTRLEN]; /* the address that dialer has something against, or "" … */
	bool blocked_by_wildcards;	/* … and whether by what the wildcards' entries say */
	size_t head_len; /* bytes of its head at the front of the client's input; 0: it was taken */
	enum http_method method;
	bool keep_alive, http10;
	struct http_body up;
	bool zero_chunk_sent;
	struct collected *collected; /* its body, when it was needed for the decision, or for … */
	bool fill_body;		     /* … dialer, which fills its placeholders in; else NULL */
	uint64_t dialer_writes; /* seq of the dial whose body dialer may be writing still, or 0 */
	bool watching;		/* none may be in what is sent on, which is text: */
	struct placeholder_watch watch;

	/* its server's connection, which the next request may have, too: where both are plain (no placeholder is in them, nor else
	 * a word of who sends them) and go to the same place by the same policy */
	bool plain, up_keeps; /* up_keeps: the response says that another one may follow */
	bool reused;	      /* it had one before, and may have been closed meanwhile */
	char up_host[256];
	uint16_t up_port;
	bool up_wildcard;
	uint64_t up_policy;

	/* its response */
	struct http_scan down_scan;
	bool down_begun; /* its final head was passed on */
	bool unchunk;	 /* the client knows no chunks: it gets the payload, then the end */
	struct http_body down;
	bool client_ended, upstream_ended; /* no more bytes come from there */
};

/* The process's side. */
struct proxy {
	struct event_base *base;
	const struct policy *policy;
	uint64_t policy_number; /* which one it is: SANDBOX_POLICY */
};
extern struct proxy proxy;

/* Send the conn's question (again, when a channel was full): proxy.c. */
void proxy_ask(struct conn *c, enum conn_question question);
/* The head that dialer is to write, "" for a raw connection, and where to. 0; -E2BIG or -ENAMETOOLONG
 * when it or its target, written anew, is longer than the codec takes; -EBADMSG. Then the request is
 * refused by conn_not_asked(). Called by proxy.c when it sends CONN_ASKS_DIAL. */
int conn_dial_request(struct conn *c, char *host, size_t host_size, uint16_t *ret_port, char *head,
		      size_t head_size, size_t *ret_len);

/* Take over an accepted socket; NULL when out of memory (the socket is closed). */
struct conn *conn_new(int fd, const struct sockaddr_in *peer);
/* Answers; the conn may be gone afterwards. holders are SANDBOX_ASKER's, empty: nobody is known. */
void conn_known(struct conn *c, struct span holders);
/* Takes fd; credentials: the sandbox has some, so that placeholders mean something. */
void conn_dialed(struct conn *c, int fd, bool credentials);
void conn_leaf(struct conn *c, struct span certificate, struct span key); /* tls_client.c */
void conn_not_asked(struct conn *c, int error);
void conn_not_dialed(struct conn *c, enum dial_problem problem, uint64_t error);
/* End it at once; tells proxy.c by proxy_forget(). */
void conn_free(struct conn *c);
void proxy_forget(struct conn *c);
/* Dialer need not go on with the dial of that seq, even where it handed the socket over and writes a body still: proxy.c. */
void proxy_cancel(uint64_t seq);

/* ---- bodies that have to be known whole (conn_body.c) ---- */

/* Take the body of this head, of `most` bytes at most, and ask again who holds the connection; fills: for placeholders, not for the
 * decision. The conn may be gone afterwards, as after: more of it came, or the client ended. */
void conn_body_collect(struct conn *c, const struct http_head *h, uint32_t most, bool fills);
void conn_body_more(struct conn *c);
/* Whether placeholders may be in it, and it is not here yet, or longer than it may be then; whether what is here is UTF-8. */
bool conn_body_wanted(const struct conn *c, const struct http_head *h);
bool conn_body_is_utf8(const struct conn *c);
/* Before dialing: whether dialer fills it, or it is to be watched. */
void conn_body_look(struct conn *c, const struct http_head *h, const struct policy_decision *d);
/* What dialer is to write behind the head; empty when it is not. */
struct span conn_dial_body(struct conn *c);

/* ---- refusals (refuse.c) ---- */

/* Answer with a JSON body and linger. policy: for X-OpenShell-Policy, or NULL. */
void refuse_body(struct conn *c, unsigned status, const char *policy, const char *body, size_t n);
void refuse_error(struct conn *c, unsigned status, const char *error, const char *detail_format,
		  ...) __attribute__((format(printf, 4, 5)));
void refuse_decision(struct conn *c, const struct policy_request *r,
		     const struct policy_decision *d);
void refuse_malformed(struct conn *c, enum http_refusal why);
/* A placeholder stands where none is filled in. */
void refuse_placeholder(struct conn *c);
/* Dialer's reasons; error as in SANDBOX_DIAL_FAILED. */
void refuse_dial(struct conn *c, struct policy_request *r, enum dial_problem problem,
		 uint64_t error);
/* All is said: wait until the client has read it, then close. */
void conn_linger(struct conn *c);

/* ---- bytes (relay.c) ---- */

/* Relay the request whose head dialer has sent over the connected upstream, and its response. */
void relay_begin(struct conn *c, int fd);
/* The same over the connection that the request before has left: with this head, which stays at the front of the client's input,
 * since it may have to be dialed for after all. False when something came over it meanwhile, be it its end. */
bool relay_again(struct conn *c, struct span head);
/* Be done with the server's connection, if there is one. */
void relay_drop(struct conn *c);
/* Relay bytes both ways; but HTTP or TLS, when that is what the client begins with and the conn is peeking, goes to
 * conn_next(). */
void tunnel_begin(struct conn *c, int fd);
/* Move what can be moved; the conn may be gone afterwards. */
void relay_move(struct conn *c);
/* One side sends no more. */
void relay_ended(struct conn *c, bool client);
/* The next request may come (conn.c). */
void conn_next(struct conn *c);

enum conn_speech {
	CONN_SPEAKS_LITTLE, /* too few bytes to tell */
	CONN_SPEAKS_HTTP,   /* a method known by its name, and a space */
	CONN_SPEAKS_TLS,    /* a handshake's first record */
	CONN_SPEAKS_OTHER,
};
enum conn_speech conn_speech(struct span first_bytes);
#endif
