/* SPDX-License-Identifier: Apache-2.0 */
/* What proxy answers itself, byte for byte as OpenShell does. */
#include "http/write.h"
#include "policy/denial.h"
#include "proxy/conn.h"
#include "proxy/journal.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <sys/socket.h>

#define LINGER_SECONDS 2 /* that a client has to read an answer and stop sending */

static char body[DENIAL_SIZE];

/* The write side is shut when everything is written; reading goes on, since closing a socket with
 * unread bytes in it would take the answer back (RST). */
static void shut_when_flushed(struct conn *c)
{
	static const struct timeval patience = { .tv_sec = LINGER_SECONDS };
	if (evbuffer_get_length(bufferevent_get_output(c->client)))
		return;
	if (c->client_ended) {
		conn_free(c);
		return;
	}
	shutdown(bufferevent_getfd(c->client), SHUT_WR);
	bufferevent_set_timeouts(c->client, &patience, NULL);
}

void conn_linger(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->client);
	c->state = CONN_LINGER;
	bufferevent_setwatermark(c->client, EV_WRITE, 0, 0);
	evbuffer_drain(in, evbuffer_get_length(in));
	shut_when_flushed(c);
}

void refuse_body(struct conn *c, unsigned status, const char *policy, const char *text, size_t n)
{
	char head[1024];
	size_t len;
	struct http_writer w = HTTP_WRITER(head, sizeof(head));
	http_write_status(&w, status, NULL);
	http_write_text(&w, HTTP_FIELD_CONTENT_TYPE, "application/json");
	http_write_number(&w, HTTP_FIELD_CONTENT_LENGTH, n);
	if (policy)
		http_write_field(&w, SPAN("X-OpenShell-Policy"), span_of(policy));
	http_write_text(&w, HTTP_FIELD_CONNECTION, "close");
	if (http_write_end(&w, &len) < 0) {
		conn_free(c);
		return;
	}
	bufferevent_write(c->client, head, len);
	bufferevent_write(c->client, text, n);
	conn_linger(c);
}

void refuse_error(struct conn *c, unsigned status, const char *error, const char *detail_format,
		  ...)
{
	char detail[1024];
	size_t n;
	va_list arguments;
	va_start(arguments, detail_format);
	vsnprintf(detail, sizeof(detail), detail_format, arguments);
	va_end(arguments);
	if (denial_write_error(error, body, sizeof(body), &n, "%s", detail) < 0)
		conn_free(c);
	else
		refuse_body(c, status, NULL, body, n);
}

static void answer_decision(struct conn *c, const struct policy_request *r,
			    const struct policy_decision *d)
{
	size_t n;
	if (denial_write(r, d, body, sizeof(body), &n) < 0)
		conn_free(c);
	else
		refuse_body(c, denial_status(d), denial_names_policy(r, d) ? d->policy : NULL, body,
			    n);
}

void refuse_decision(struct conn *c, const struct policy_request *r,
		     const struct policy_decision *d)
{
	journal_decision(r, d);
	answer_decision(c, r, d);
}

/* OpenShell says nothing but the status, and inside tunnels not even that. */
void refuse_malformed(struct conn *c, enum http_refusal why)
{
	refuse_error(c, http_refusal_status(why), "malformed_request", "%s",
		     http_refusal_message(why));
}

void refuse_placeholder(struct conn *c)
{
	refuse_error(c, 500, "credential_injection_failed",
		     "a credential cannot be put there: an API server's token goes into "
		     "Authorization only, others into header fields, "
		     "paths, values of queries, and bodies (JSON, forms, text) where the endpoint "
		     "has request_body_credential_rewrite: true");
}

void refuse_dial(struct conn *c, struct policy_request *r, enum dial_problem problem,
		 uint64_t error)
{
	const char *blocked = dial_blocked_text(problem);
	const struct policy_decision none = { .verdict = POLICY_DENIED_ENDPOINT };
	journal_not_dialed(&c->kept, r, problem, c->blocked_by_wildcards, c->blocked);
	if (blocked)
		refuse_error(c, 403, "ssrf_denied", "%.*s %.*s:%u blocked: %s",
			     SPAN_FORMAT(r->method), SPAN_FORMAT(r->host), r->port, blocked);
	else if (problem == DIAL_UNREACHABLE)
		refuse_error(c, 502, "upstream_unreachable", "connection to %.*s:%u failed",
			     SPAN_FORMAT(r->host), r->port);
	else if (problem == DIAL_NO_TLS)
		refuse_error(c, 502, "upstream_unreachable", "%.*s:%u does not speak TLS",
			     SPAN_FORMAT(r->host), r->port);
	else if (problem == DIAL_NOT_TRUSTED)
		refuse_error(c, 502, "upstream_unreachable",
			     "the certificate of %.*s:%u is not accepted: %s", SPAN_FORMAT(r->host),
			     r->port, X509_verify_cert_error_string((long)error));
	else if (problem == DIAL_NOT_IN_POLICY)
		answer_decision(c, r, &none);
	else if (problem == DIAL_CREDENTIAL_MISMATCH)
		refuse_error(c, 403, "credential_endpoint_mismatch",
			     "credential is not authorized for this request endpoint");
	else if (problem == DIAL_CREDENTIAL_PLACE)
		refuse_placeholder(c);
	else if (problem == DIAL_BUSY)
		refuse_error(c, 503, "too_many_connections", "too many connections are being made");
	else
		refuse_error(c, 500, "credential_injection_failed",
			     "a credential could not be put into this request");
}
