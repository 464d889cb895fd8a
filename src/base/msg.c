/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes, checks and decodes messages between processes. */
#include "base/msg.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct header {
	uint32_t type, size;
	uint64_t seq;
};
static_assert(sizeof(struct header) == 16, "the header's size is part of the protocol");

void msg_begin(struct msg *m, const struct msg_table *table, uint32_t type, uint64_t seq)
{
	assert(type < table->count && table->types[type].type == type);
	m->type = &table->types[type];
	m->seq = seq;
	m->n_fds = 0;
	m->n_fields = 0;
	m->used = sizeof(struct header);
}

static void expect_kind(struct msg *m, char kind)
{
	assert(m->type->fields[m->n_fields] == kind);
	m->n_fields++;
}

static void put(struct msg *m, const void *bytes, size_t n)
{
	assert(n <= sizeof(m->bytes) - m->used);
	if (n)
		memcpy(m->bytes + m->used, bytes, n);
	m->used += n;
}

void msg_put_u(struct msg *m, uint64_t value)
{
	expect_kind(m, 'u');
	put(m, &value, sizeof(value));
}

static void put_text(struct msg *m, const void *bytes, size_t n)
{
	assert(n < MSG_SIZE_MAX);
	uint32_t len = (uint32_t)n;
	put(m, &len, sizeof(len));
	put(m, bytes, n);
	put(m, "", 1); /* so that a received string is terminated where it lies */
}

void msg_put_s(struct msg *m, const char *text)
{
	expect_kind(m, 's');
	put_text(m, text, strlen(text));
}

void msg_put_b(struct msg *m, const void *bytes, size_t n)
{
	expect_kind(m, 'b');
	put_text(m, bytes, n);
}

void msg_put_fd(struct msg *m, int fd)
{
	assert(fd >= 0 && m->n_fds < m->type->fds_max);
	m->fds[m->n_fds++] = fd;
}

const char *msg_encode(struct msg *m)
{
	assert(m->type->fields[m->n_fields] == '\0' && m->n_fds >= m->type->fds_min);
	struct header h = { .type = m->type->type, .size = (uint32_t)m->used, .seq = m->seq };
	memcpy(m->bytes, &h, sizeof(h));
	return m->bytes;
}

int msg_send(int socket, struct msg *m)
{
	int r = msg_send_encoded(socket, msg_encode(m), m->used, m->fds, m->n_fds);
	m->n_fds = 0; /* they stay the caller's */
	return r;
}

int msg_send_encoded(int socket, const char *bytes, size_t size, const int *fds, unsigned n_fds)
{
	struct iovec iov = { .iov_base = (char *)bytes, .iov_len = size };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds) {
		size_t n = sizeof(int) * n_fds;
		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n);
		memcpy(CMSG_DATA(c), fds, n);
	}
	ssize_t r;
	do
		r = sendmsg(socket, &mh, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Fill m->field from the bytes; -EPROTO when they are not exactly what the row says. */
static int decode(struct msg *m, size_t size)
{
	size_t at = sizeof(struct header), texts = 0;
	unsigned i = 0;
	for (const char *kind = m->type->fields; *kind; kind++, i++) {
		struct msg_field *f = &m->field[i];
		*f = (struct msg_field){ 0 };
		if (*kind == 'u') {
			if (size - at < sizeof(f->number))
				return -EPROTO;
			memcpy(&f->number, m->bytes + at, sizeof(f->number));
			at += sizeof(f->number);
			continue;
		}
		uint32_t len;
		if (size - at < sizeof(len) + 1)
			return -EPROTO;
		memcpy(&len, m->bytes + at, sizeof(len));
		at += sizeof(len);
		if (len > size - at - 1 || m->bytes[at + len] != '\0')
			return -EPROTO;
		f->text = m->bytes + at;
		f->len = len;
		if (*kind == 's' && memchr(f->text, '\0', len))
			return -EPROTO;
		at += (size_t)len + 1;
		texts += len;
	}
	return at == size && texts <= m->type->max ? 0 : -EPROTO;
}

static void take_fds(struct msg *m, struct msghdr *mh)
{
	m->n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && m->n_fds < MSG_FDS_MAX; i++)
			memcpy(&m->fds[m->n_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

int msg_recv(int socket, const struct msg_table *table, uint32_t peer_role, struct msg *m)
{
	struct iovec iov = { .iov_base = m->bytes, .iov_len = sizeof(m->bytes) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
	} control;
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space) };
	ssize_t n;
	m->n_fds = 0;
	do
		n = recvmsg(socket, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fds(m, &mh);
	if (n == 0) {
		msg_done(m);
		return -ECONNRESET;
	}
	struct header h;
	int r = -EPROTO;
	if ((size_t)n < sizeof(h) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		goto out;
	memcpy(&h, m->bytes, sizeof(h));
	if (h.size != (size_t)n || h.type >= table->count)
		goto out;
	m->type = &table->types[h.type];
	m->seq = h.seq;
	if (!m->type->name || !(m->type->from & peer_role))
		goto out;
	if (m->n_fds < m->type->fds_min || m->n_fds > m->type->fds_max)
		goto out;
	r = decode(m, (size_t)n);
out:
	if (r < 0)
		msg_done(m);
	return r;
}

void msg_done(struct msg *m)
{
	for (unsigned i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->n_fds = 0;
}
