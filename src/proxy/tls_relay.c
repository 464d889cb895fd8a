/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves bytes between TLS and a Unix socket. OpenSSL reads and writes memory only; the sockets are ours. "Down" is from TLS to the
 * Unix socket, "up" the other way; each ends by itself, as a TCP connection's directions do.
 */
#include "proxy/tls_relay.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#define PIECE_BYTES (16 * 1024) /* a TLS record's most */
#define HELD_BYTES                                                                                 \
	(LIMIT_RELAY_BUFFER_BYTES / 2) /* a record may come on top, and what the BIOs hold */
#define TICK_SECONDS                                                                               \
	5 /* without progress, for a peer to take the rest when nobody is left behind us */

static const struct timeval patience = { .tv_sec = TICK_SECONDS };

struct tls_relay {
	SSL *ssl;
	BIO *received, *to_send; /* encrypted; ssl's own */
	int fd;			 /* TLS's socket */
	int plain, other;	 /* the Unix socket's ends, the second until it is taken */
	struct evbuffer *down;	 /* decrypted */
	struct evbuffer *up;	 /* encrypted */
	struct event *fd_in, *fd_out, *plain_in, *plain_out, *tick;
	bool fd_ended, plain_ended; /* nothing more comes from there */
	bool tls_ended;		    /* nothing more can be decrypted */
	bool down_done, up_done;    /* the end was passed on, or nobody is there to take it */
	size_t ticked;		    /* of up, when that was looked at last */
	bool failed;		    /* TLS is broken: what is left is an alert to be sent */
	tls_relay_opened *opened;
	void *arg;
};

static unsigned n_relays;
static char piece[PIECE_BYTES];

void tls_begin(void)
{
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_SSL_STRINGS |
				 OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
			 NULL); /* nobody reads error texts */
}

void tls_settings(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
}

void tls_relay_free(struct tls_relay *r)
{
	struct event *events[] = { r->fd_in, r->fd_out, r->plain_in, r->plain_out, r->tick };
	for (size_t i = 0; i < ELEMENTS(events); i++)
		if (events[i])
			event_free(events[i]);
	if (r->down)
		evbuffer_free(r->down);
	if (r->up)
		evbuffer_free(r->up);
	SSL_free(r->ssl);
	close(r->fd);
	if (r->plain >= 0)
		close(r->plain);
	if (r->other >= 0)
		close(r->other);
	free(r);
	n_relays--;
}

/* ---- steps ---- */

/* Whether the other end of the Unix socket is closed altogether, not only for sending. */
static bool is_alone(const struct tls_relay *r)
{
	return send(r->plain, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
}

static void break_off(struct tls_relay *r)
{
	evbuffer_drain(r->down, evbuffer_get_length(r->down));
	r->failed = r->tls_ended = r->plain_ended = r->down_done = true;
	shutdown(r->plain, SHUT_RDWR);
	event_add(r->tick, &patience);
}

/* What is received may have to be answered by TLS itself (KeyUpdate), on top of what plain bytes fill. */
static bool has_room(const struct tls_relay *r)
{
	return evbuffer_get_length(r->down) < HELD_BYTES &&
	       evbuffer_get_length(r->up) < LIMIT_RELAY_BUFFER_BYTES;
}

static void receive(struct tls_relay *r)
{
	if (r->fd_ended || !has_room(r))
		return;
	ssize_t n = recv(r->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		r->fd_ended = true;
	if (n < 0)
		r->up_done = true;
	if (n > 0 && !r->tls_ended && BIO_write(r->received, piece, (int)n) != n)
		break_off(r);
}

/* True when it stopped for want of room: OpenSSL may hold more, of which no event will tell. */
static bool decrypt(struct tls_relay *r)
{
	while (!r->tls_ended && evbuffer_get_length(r->down) < HELD_BYTES) {
		ERR_clear_error();
		int n = SSL_read(r->ssl, piece, sizeof(piece));
		if (n > 0) {
			evbuffer_add(r->down, piece, (size_t)n);
			continue;
		}
		int error = SSL_get_error(r->ssl, n);
		if (error == SSL_ERROR_ZERO_RETURN)
			r->tls_ended = true;
		else if (error != SSL_ERROR_WANT_READ)
			break_off(r);
		else if (r->fd_ended)
			r->tls_ended = true;
		else
			return false;
	}
	return !r->tls_ended;
}

static void deliver(struct tls_relay *r)
{
	if (!r->down_done && evbuffer_get_length(r->down) &&
	    evbuffer_write(r->down, r->plain) < 0 && errno != EAGAIN && errno != EINTR) {
		r->down_done = true; /* nobody is there any more */
		evbuffer_drain(r->down, evbuffer_get_length(r->down));
		event_add(r->tick, &patience);
	}
	if (r->tls_ended && !r->down_done && !evbuffer_get_length(r->down)) {
		shutdown(r->plain, SHUT_WR);
		r->down_done = true;
	}
}

static void encrypt(struct tls_relay *r)
{
	while (!r->plain_ended && SSL_is_init_finished(r->ssl) &&
	       evbuffer_get_length(r->up) + BIO_ctrl_pending(r->to_send) < HELD_BYTES) {
		ssize_t n = recv(r->plain, piece, sizeof(piece), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n > 0 && tls_relay_write(r, (struct span){ piece, (size_t)n }) < 0)
			break_off(r);
		if (n > 0)
			continue;
		r->plain_ended = true;
		SSL_shutdown(r->ssl);
		event_add(r->tick, &patience);
	}
}

static void transmit(struct tls_relay *r)
{
	for (int n; (n = BIO_read(r->to_send, piece, sizeof(piece))) > 0;)
		evbuffer_add(r->up, piece, (size_t)n);
	if (!r->up_done && evbuffer_get_length(r->up) && evbuffer_write(r->up, r->fd) < 0 &&
	    errno != EAGAIN && errno != EINTR) {
		r->up_done = true;
		shutdown(r->plain, SHUT_RD);
	}
	if (r->up_done)
		evbuffer_drain(r->up, evbuffer_get_length(r->up));
	if (r->plain_ended && !r->up_done && !evbuffer_get_length(r->up)) {
		shutdown(r->fd, SHUT_WR);
		r->up_done = true;
	}
}

/* ---- the loop ---- */

static void want(struct event *e, bool wanted)
{
	bool pending = event_pending(e, EV_READ | EV_WRITE, NULL);
	if (wanted && !pending)
		event_add(e, NULL);
	else if (!wanted && pending)
		event_del(e);
}

static void want_all(struct tls_relay *r)
{
	bool finished = SSL_is_init_finished(r->ssl);
	want(r->fd_in, !r->fd_ended && has_room(r));
	want(r->fd_out, !r->up_done && evbuffer_get_length(r->up));
	want(r->plain_in, finished && !r->plain_ended && evbuffer_get_length(r->up) < HELD_BYTES);
	want(r->plain_out, !r->down_done && evbuffer_get_length(r->down));
}

static void tell(struct tls_relay *r)
{
	tls_relay_opened *opened = r->opened;
	bool open = SSL_is_init_finished(r->ssl) && !r->failed;
	if (!open && !r->failed && !r->tls_ended)
		return;
	if (!open && !r->failed)
		break_off(r); /* it ended in the middle of the handshake */
	r->opened = NULL;
	if (opened)
		opened(r->arg, open, open ? X509_V_OK : SSL_get_verify_result(r->ssl));
}

static void move(struct tls_relay *r)
{
	bool more;
	receive(r);
	do {
		more = decrypt(r);
		tell(r);
		deliver(r);
	} while (more && evbuffer_get_length(r->down) < HELD_BYTES);
	encrypt(r);
	transmit(r);
	bool ended = r->down_done && r->up_done;
	if (r->failed ? ended && r->fd_ended
		      : ended || (r->plain_ended && r->up_done && is_alone(r)))
		tls_relay_free(r);
	else
		want_all(r);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	move(arg);
}

/* One direction has ended: is anybody still waiting for the other? */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct tls_relay *r = arg;
	size_t left = evbuffer_get_length(r->up);
	bool stalls = !left || left == r->ticked;
	r->ticked = left;
	if (is_alone(r) && stalls)
		tls_relay_free(r);
	else
		event_add(r->tick, &patience);
}

/* ---- beginning ---- */

static bool make_events(struct tls_relay *r, struct event_base *base)
{
	r->fd_in = event_new(base, r->fd, EV_READ | EV_PERSIST, on_event, r);
	r->fd_out = event_new(base, r->fd, EV_WRITE | EV_PERSIST, on_event, r);
	r->plain_in = event_new(base, r->plain, EV_READ | EV_PERSIST, on_event, r);
	r->plain_out = event_new(base, r->plain, EV_WRITE | EV_PERSIST, on_event, r);
	r->tick = evtimer_new(base, on_tick, r);
	return r->fd_in && r->fd_out && r->plain_in && r->plain_out && r->tick &&
	       event_add(r->tick, &patience) == 0;
}

int tls_relay_new(struct event_base *base, int fd, SSL *ssl, tls_relay_opened *opened, void *arg,
		  struct tls_relay **ret)
{
	int pair[2] = { -1, -1 }, error = 0;
	struct tls_relay *r = n_relays < LIMIT_TLS_RELAYS ? calloc(1, sizeof(*r)) : NULL;
	BIO *received = BIO_new(BIO_s_mem()), *to_send = BIO_new(BIO_s_mem());
	if (!r || !received || !to_send ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		error = n_relays == LIMIT_TLS_RELAYS ? ENOBUFS : errno ? errno : ENOMEM;
		BIO_free(received);
		BIO_free(to_send);
		SSL_free(ssl);
		close(fd);
		free(r);
		return -error;
	}
	SSL_set_bio(ssl, received, to_send);
	*r = (struct tls_relay){
		.ssl = ssl,
		.received = received,
		.to_send = to_send,
		.fd = fd,
		.plain = pair[0],
		.other = pair[1],
		.down = evbuffer_new(),
		.up = evbuffer_new(),
		.opened = opened,
		.arg = arg,
	};
	n_relays++;
	if (!r->down || !r->up || !make_events(r, base)) {
		tls_relay_free(r);
		return -ENOMEM;
	}
	event_active(r->fd_in, EV_READ, 0); /* a client begins */
	*ret = r;
	return 0;
}

int tls_relay_preload(struct tls_relay *r, struct evbuffer *received, struct evbuffer *unsent)
{
	int n;
	while ((n = evbuffer_remove(received, piece, sizeof(piece))) > 0)
		if (BIO_write(r->received, piece, n) != n)
			return -ENOMEM;
	return evbuffer_add_buffer(r->up, unsent) < 0 ? -ENOMEM : 0;
}

int tls_relay_write(struct tls_relay *r, struct span bytes)
{
	ERR_clear_error();
	/* Memory takes all of it. */
	return SSL_write(r->ssl, bytes.data, (int)bytes.len) == (int)bytes.len ? 0 : -EPIPE;
}

int tls_relay_take(struct tls_relay *r)
{
	r->opened = NULL;
	return TAKE_FD(r->other);
}
