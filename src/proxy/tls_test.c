/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit test: two relays that speak TLS with each other, as dialer does with a server and proxy with a client: what goes in at one
 * end comes out at the other, each direction ends by itself, a slow reader stops the writer, and a server that is another is refused.
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "proxy/ca.h"
#include "proxy/tls_relay.h"
#include "proxy/tls_upstream.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct event_base *base;
static struct ca *ca;
static SSL_CTX *server_context;

/* What a relay's handshake came to. */
struct outcome {
	unsigned calls;
	bool open;
	long verify_error;
};

static void on_opened(void *arg, bool open, long verify_error)
{
	struct outcome *o = arg;
	*o = (struct outcome){ o->calls + 1, open, verify_error };
}

static void turn(unsigned times)
{
	while (times--)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static SSL *server_for(const char *host)
{
	struct ca_leaf leaf;
	assert_int_equal(ca_leaf(ca, host, &leaf), 0);
	SSL *ssl = SSL_new(server_context);
	assert_int_equal(SSL_use_certificate_ASN1(ssl, (const unsigned char *)leaf.certificate.data,
						  (int)leaf.certificate.len),
			 1);
	assert_int_equal(SSL_use_PrivateKey_ASN1(EVP_PKEY_EC, ssl,
						 (const unsigned char *)leaf.key.data,
						 (long)leaf.key.len),
			 1);
	SSL_set_accept_state(ssl);
	return ssl;
}

static struct tls_upstream *believing(struct span pem)
{
	char *copy = strndup(pem.data ? pem.data : "", pem.len);
	struct tls_upstream *u = tls_upstream_new(copy, pem.len);
	assert_non_null(u);
	return u;
}

/* Two ends of what would be a TCP connection. */
static void make_wire(int wire[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, wire),
			 0);
}

struct link {
	int client, server; /* the plain ends */
	struct outcome outcome;
};

static struct link make_link(struct tls_upstream *u, const char *wanted, const char *is)
{
	struct link l = { .client = -1, .server = -1 };
	struct tls_relay *client, *server;
	int wire[2];
	make_wire(wire);
	assert_int_equal(tls_relay_new(base, wire[1], server_for(is), NULL, NULL, &server), 0);
	l.server = tls_relay_take(server);
	SSL *ssl = tls_upstream_connection(u, wanted, true);
	assert_non_null(ssl);
	/* The outcome is told once, and within these turns. */
	assert_int_equal(tls_relay_new(base, wire[0], ssl, on_opened, &l.outcome, &client), 0);
	for (unsigned i = 0; i < 50 && !l.outcome.calls; i++)
		turn(1);
	assert_int_equal(l.outcome.calls, 1);
	if (l.outcome.open)
		l.client = tls_relay_take(client);
	return l;
}

static void end_link(struct link *l)
{
	if (l->client >= 0)
		close(l->client);
	close(l->server);
	turn(20);
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn(10);
}

static void expect(int fd, const char *text)
{
	char got[256];
	ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void test_both_ways(void **state)
{
	struct tls_upstream *u = believing(ca_certificate(ca));
	struct link l = make_link(u, "a.test", "a.test");
	assert_true(l.outcome.open);
	put(l.client, "question");
	expect(l.server, "question");
	put(l.server, "answer");
	expect(l.client, "answer");
	/* One side has said all, and still hears. */
	shutdown(l.client, SHUT_WR);
	turn(10);
	expect(l.server, "");
	put(l.server, "late");
	expect(l.client, "late");
	shutdown(l.server, SHUT_WR);
	turn(10);
	expect(l.client, "");
	end_link(&l);
	tls_upstream_free(u);
}

/* The greeting was read by somebody else already, who still had a line to send. */
static void test_first_bytes(void **state)
{
	struct tls_upstream *u = believing(ca_certificate(ca));
	struct evbuffer *received = evbuffer_new(), *unsent = evbuffer_new();
	struct tls_relay *client, *server;
	struct outcome outcome = { 0 };
	char line[7];
	int wire[2], between[2];
	make_wire(wire);
	make_wire(between);
	assert_int_equal(tls_relay_new(base, wire[0], tls_upstream_connection(u, "a.test", true),
				       on_opened, &outcome, &client),
			 0);
	turn(5);
	while (evbuffer_read(received, wire[1], -1) > 0)
		;
	assert_true(evbuffer_get_length(received) > 100);
	evbuffer_add(unsent, "200 ok\n", 7);
	assert_int_equal(tls_relay_new(base, between[0], server_for("a.test"), NULL, NULL, &server),
			 0);
	assert_int_equal(tls_relay_preload(server, received, unsent), 0);
	_cleanup_close_ int plain = tls_relay_take(server);
	turn(5);
	assert_int_equal(recv(between[1], line, sizeof(line), MSG_DONTWAIT), 7);
	assert_memory_equal(line, "200 ok\n", 7);
	for (unsigned i = 0; i < 10; i++) { /* what the line's reader then does: carry the rest */
		evbuffer_read(received, between[1], -1);
		evbuffer_write(received, wire[1]);
		evbuffer_read(unsent, wire[1], -1);
		evbuffer_write(unsent, between[1]);
		turn(2);
	}
	assert_true(outcome.open);
	close(tls_relay_take(client));
	close(wire[1]);
	close(between[1]);
	turn(10);
	evbuffer_free(received);
	evbuffer_free(unsent);
	tls_upstream_free(u);
}

static void test_head_first(void **state)
{
	struct tls_upstream *u = believing(ca_certificate(ca));
	struct tls_relay *client, *server;
	struct outcome outcome = { 0 };
	int wire[2];
	make_wire(wire);
	assert_int_equal(tls_relay_new(base, wire[1], server_for("a.test"), NULL, NULL, &server),
			 0);
	_cleanup_close_ int at_server = tls_relay_take(server);
	assert_int_equal(tls_relay_new(base, wire[0], tls_upstream_connection(u, "a.test", true),
				       on_opened, &outcome, &client),
			 0);
	turn(20);
	assert_true(outcome.open);
	assert_int_equal(tls_relay_write(client, SPAN("head;")), 0);
	_cleanup_close_ int at_client = tls_relay_take(client);
	put(at_client, "body");
	char got[64] = "";
	assert_int_equal(recv(at_server, got, sizeof(got), MSG_DONTWAIT), 9);
	assert_string_equal(got, "head;body");
	close(TAKE_FD(at_client));
	close(TAKE_FD(at_server));
	turn(20);
	tls_upstream_free(u);
}

/* All that goes in comes out, and what waits for a slow reader is bounded. */
static void test_much(void **state)
{
	static char piece[64 * 1024], got[64 * 1024];
	struct tls_upstream *u = believing(ca_certificate(ca));
	struct link l = make_link(u, "a.test", "a.test");
	size_t sent = 0, received = 0, waiting;
	unsigned idle = 0;
	while (idle < 20) {
		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (char)((sent + i) % 251);
		ssize_t n = send(l.client, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn(5);
	}
	waiting = sent;
	/* Both relays' buffers, and those of three sockets, which the kernel bounds. */
	assert_true(waiting < 4 * LIMIT_RELAY_BUFFER_BYTES + 3 * 512 * 1024);
	for (idle = 0; idle < 20;) {
		ssize_t n = recv(l.server, got, sizeof(got), MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal((unsigned char)got[i], (received + (size_t)i) % 251);
		received += n > 0 ? (size_t)n : 0;
		turn(5);
	}
	assert_int_equal(received, sent);
	end_link(&l);
	tls_upstream_free(u);
}

static void test_who_the_server_is(void **state)
{
	static const struct {
		const char *wanted, *is;
		long verify_error;
	} cases[] = {
		{ "a.test", "a.test", X509_V_OK },
		{ "203.0.113.5", "203.0.113.5", X509_V_OK },
		{ "a.test", "b.test", X509_V_ERR_HOSTNAME_MISMATCH },
		{ "b.a.test", "a.test", X509_V_ERR_HOSTNAME_MISMATCH },
		{ "203.0.113.5", "203.0.113.6", X509_V_ERR_IP_ADDRESS_MISMATCH },
		{ "203.0.113.5", "a.test", X509_V_ERR_IP_ADDRESS_MISMATCH },
	};
	struct tls_upstream *u = believing(ca_certificate(ca));
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct link l = make_link(u, cases[i].wanted, cases[i].is);
		assert_int_equal(l.outcome.open, cases[i].verify_error == X509_V_OK);
		assert_int_equal(l.outcome.verify_error, cases[i].verify_error);
		end_link(&l);
	}
	tls_upstream_free(u);
}

static void test_whom_nobody_vouches_for(void **state)
{
	struct ca *other;
	assert_int_equal(ca_new(&other), 0);
	const struct span lists[] = { ca_certificate(other), SPAN(""), SPAN("no list\n") };
	for (size_t i = 0; i < ELEMENTS(lists); i++) {
		struct tls_upstream *u = believing(lists[i]);
		struct link l = make_link(u, "a.test", "a.test");
		assert_false(l.outcome.open);
		assert_int_not_equal(l.outcome.verify_error, X509_V_OK);
		end_link(&l);
		tls_upstream_free(u);
	}
	ca_free(other);
}

/* A list with something else in it is read past that. */
static void test_a_list_with_a_bad_entry(void **state)
{
	struct span good = ca_certificate(ca);
	char list[8192];
	int n = snprintf(
		list, sizeof(list),
		"# ours\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n%.*s",
		SPAN_FORMAT(good));
	struct tls_upstream *u = believing((struct span){ list, (size_t)n });
	struct link l = make_link(u, "a.test", "a.test");
	assert_true(l.outcome.open);
	end_link(&l);
	tls_upstream_free(u);
}

/* What is no TLS, or ends before there is any: told once, and everything is given back. */
static void test_no_tls(void **state)
{
	static const char *const said[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "",
					    "\x15\x03\x03" };
	struct tls_upstream *u = believing(ca_certificate(ca));
	for (size_t i = 0; i < ELEMENTS(said); i++) {
		struct tls_relay *client;
		struct outcome outcome = { 0 };
		int wire[2];
		make_wire(wire);
		assert_int_equal(tls_relay_new(base, wire[0],
					       tls_upstream_connection(u, "a.test", true),
					       on_opened, &outcome, &client),
				 0);
		turn(3);
		assert_int_equal(outcome.calls, 0);
		assert_int_equal(send(wire[1], said[i], strlen(said[i]), 0), strlen(said[i]));
		shutdown(wire[1], SHUT_WR);
		turn(10);
		assert_int_equal(outcome.calls, 1);
		assert_false(outcome.open);
		assert_int_equal(outcome.verify_error, X509_V_OK);
		close(wire[1]);
		turn(10);
	}
	tls_upstream_free(u);
}

/* ---- peers that mean ill ---- */

/* A client by hand, whose end of the wire is ours. */
struct hand {
	SSL_CTX *ctx;
	SSL *ssl;
	int wire, plain;
};

static struct hand make_hand(void)
{
	struct hand h = { .ctx = SSL_CTX_new(TLS_client_method()) };
	struct tls_relay *server;
	int wire[2], done = 0;
	make_wire(wire);
	assert_int_equal(tls_relay_new(base, wire[1], server_for("a.test"), NULL, NULL, &server),
			 0);
	h.plain = tls_relay_take(server);
	h.wire = wire[0];
	h.ssl = SSL_new(h.ctx);
	assert_int_equal(SSL_set_fd(h.ssl, h.wire), 1);
	for (unsigned i = 0; i < 20 && done != 1; i++) {
		done = SSL_connect(h.ssl);
		turn(5);
	}
	assert_int_equal(done, 1);
	return h;
}

static void end_hand(struct hand *h)
{
	SSL_free(h->ssl);
	SSL_CTX_free(h->ctx);
	close(h->wire);
	close(h->plain);
	turn(20);
}

static size_t allocated(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

/* What comes behind TLS's goodbye is dropped, and not kept. */
static void test_bytes_behind_the_end(void **state)
{
	static const char junk[64 * 1024];
	struct hand h = make_hand();
	size_t sent = 0;
	SSL_shutdown(h.ssl);
	turn(5);
	expect(h.plain, "");
	size_t before = allocated();
	for (unsigned i = 0; i < 1000 && sent < 16 * 1024 * 1024; i++) {
		ssize_t n = send(h.wire, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		turn(10);
	}
	assert_true(sent >= 16 * 1024 * 1024);
	assert_true(allocated() < before + LIMIT_RELAY_BUFFER_BYTES);
	end_hand(&h);
}

/* Each asks for an answer (RFC 8446 4.6.3), and none is read: at some time no more are taken. */
static void test_keys_are_changed_for_ever(void **state)
{
	struct hand h = make_hand();
	size_t before = allocated();
	unsigned i = 0;
	for (; i < 200000; i++) {
		SSL_key_update(h.ssl, SSL_KEY_UPDATE_REQUESTED);
		if (SSL_do_handshake(h.ssl) != 1)
			break;
		if (i % 100 == 0)
			turn(5);
	}
	assert_int_equal(SSL_get_error(h.ssl, -1), SSL_ERROR_WANT_WRITE);
	assert_true(i > 1000);
	assert_true(allocated() < before + 3 * LIMIT_RELAY_BUFFER_BYTES);
	end_hand(&h);
}

/* One for the name as of old, in the subject alone, signed by itself, and a list that believes it. */
static SSL *make_server_of_old(struct tls_upstream **ret)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"a.test", -1,
				   -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	BIO *pem = BIO_new(BIO_s_mem());
	char *text;
	PEM_write_bio_X509(pem, x);
	long n = BIO_get_mem_data(pem, &text);
	*ret = believing((struct span){ text, (size_t)n });
	BIO_free(pem);
	SSL *ssl = SSL_new(server_context);
	assert_int_equal(SSL_use_certificate(ssl, x), 1);
	assert_int_equal(SSL_use_PrivateKey(ssl, key), 1);
	SSL_set_accept_state(ssl);
	X509_free(x);
	EVP_PKEY_free(key);
	return ssl;
}

/* A subject is no name of a host (RFC 9110 4.3.4). */
static void test_a_name_in_the_subject(void **state)
{
	struct tls_upstream *u;
	struct link l = { .client = -1 };
	struct tls_relay *client, *server;
	int wire[2];
	make_wire(wire);
	assert_int_equal(tls_relay_new(base, wire[1], make_server_of_old(&u), NULL, NULL, &server),
			 0);
	l.server = tls_relay_take(server);
	assert_int_equal(tls_relay_new(base, wire[0], tls_upstream_connection(u, "a.test", true),
				       on_opened, &l.outcome, &client),
			 0);
	turn(50);
	assert_int_equal(l.outcome.calls, 1);
	assert_false(l.outcome.open);
	assert_int_equal(l.outcome.verify_error, X509_V_ERR_HOSTNAME_MISMATCH);
	end_link(&l);
	tls_upstream_free(u);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	for (int fd = 3; fd < 20000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Whoever closes first, both relays go. */
static void test_nothing_is_left(void **state)
{
	struct tls_upstream *u = believing(ca_certificate(ca));
	unsigned before = open_descriptors();
	for (unsigned i = 0; i < 4; i++) {
		struct link l = make_link(u, "a.test", i < 3 ? "a.test" : "b.test");
		int *first = i == 0 ? &l.client : &l.server;
		if (l.outcome.open)
			put(l.server, "unread");
		if (i < 2)
			close(TAKE_FD(*first));
		turn(10);
		if (l.client >= 0)
			close(l.client);
		if (l.server >= 0)
			close(l.server);
		turn(10);
	}
	assert_int_equal(open_descriptors(), before);
	tls_upstream_free(u);
}

/* A client that goes in the middle of the handshake, with and without somebody behind the relay. */
static void test_half_a_handshake(void **state)
{
	unsigned before = open_descriptors();
	for (unsigned i = 0; i < 2; i++) {
		struct tls_relay *server;
		int wire[2];
		make_wire(wire);
		assert_int_equal(
			tls_relay_new(base, wire[1], server_for("a.test"), NULL, NULL, &server), 0);
		_cleanup_close_ int plain = tls_relay_take(server);
		put(wire[0], "\x16\x03\x01");
		close(wire[0]);
		turn(10);
		expect(plain, "");
		if (i == 0)
			close(TAKE_FD(plain));
		turn(10);
	}
	assert_int_equal(open_descriptors(), before);
}

static void test_the_most_at_once(void **state)
{
	static struct tls_relay *relay[LIMIT_TLS_RELAYS];
	static int end[LIMIT_TLS_RELAYS];
	struct tls_relay *more;
	struct rlimit limit;
	int wire[2];
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_true(limit.rlim_max >= 4 * LIMIT_TLS_RELAYS + 64);
	for (unsigned i = 0; i < LIMIT_TLS_RELAYS; i++) {
		make_wire(wire);
		end[i] = wire[1];
		assert_int_equal(tls_relay_new(base, wire[0], SSL_new(server_context), NULL, NULL,
					       &relay[i]),
				 0);
	}
	make_wire(wire);
	assert_int_equal(tls_relay_new(base, wire[0], SSL_new(server_context), NULL, NULL, &more),
			 -ENOBUFS);
	assert_int_equal(fcntl(wire[0], F_GETFD), -1); /* it was taken all the same */
	close(wire[1]);
	for (unsigned i = 0; i < LIMIT_TLS_RELAYS; i++) {
		tls_relay_free(relay[i]);
		close(end[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_first_bytes),
		cmocka_unit_test(test_head_first),
		cmocka_unit_test(test_much),
		cmocka_unit_test(test_who_the_server_is),
		cmocka_unit_test(test_whom_nobody_vouches_for),
		cmocka_unit_test(test_a_list_with_a_bad_entry),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_bytes_behind_the_end),
		cmocka_unit_test(test_keys_are_changed_for_ever),
		cmocka_unit_test(test_a_name_in_the_subject),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_half_a_handshake),
		cmocka_unit_test(test_the_most_at_once),
	};
	signal(SIGPIPE, SIG_IGN);
	tls_begin();
	base = event_base_new();
	server_context = SSL_CTX_new(TLS_server_method());
	tls_settings(server_context);
	if (!base || !server_context || ca_new(&ca) < 0)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	ca_free(ca);
	SSL_CTX_free(server_context);
	event_base_free(base);
	return failed;
}
