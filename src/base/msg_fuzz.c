/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes messages between processes. Input: a digit, how many descriptors come along; a digit, the peer's role; the bytes of
 * the message. What is taken is what its row says and can be sent again; what is not leaves no descriptor open.
 */
#include "base/msg.h"
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct msg_type types[] = {
	{ 0, NULL, 0, "", 0, 0, 0 },	  { 1, "nothing", 1, "", 0, 0, 0 },
	{ 2, "number", 3, "u", 0, 0, 0 }, { 3, "string", 1, "s", 16, 0, 0 },
	{ 4, "bytes", 2, "b", 64, 0, 0 }, { 5, "all", 3, "usbsub", 256, 1, 2 },
};
static const struct msg_table table = { types, sizeof(types) / sizeof(types[0]) };
static int pair[2] = { -1, -1 };

static void send_raw(const void *bytes, size_t n, unsigned n_fds)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * 15)];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n_fds) {
		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
				       .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS };
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &pair[1], sizeof(int));
	}
	ssize_t r = sendmsg(pair[0], &mh, MSG_NOSIGNAL);
	assert(r == (ssize_t)n);
}

/* The lowest free descriptor: the same before and after when none was left open. */
static int lowest_free(void)
{
	int fd = dup(pair[0]);
	assert(fd >= 0);
	close(fd);
	return fd;
}

static void send_again(struct msg *m)
{
	static struct msg out, in;
	int fds[MSG_FDS_MAX];

	msg_begin(&out, &table, m->type->type, m->seq);
	for (unsigned i = 0; m->type->fields[i]; i++) {
		const struct msg_field *f = &m->field[i];
		if (m->type->fields[i] == 'u') {
			msg_put_u(&out, f->number);
			continue;
		}
		assert(f->text >= m->bytes && f->text + f->len < m->bytes + sizeof(m->bytes));
		assert(f->text[f->len] == '\0' && f->len <= m->type->max);
		if (m->type->fields[i] == 's')
			msg_put_s(&out, f->text);
		else
			msg_put_b(&out, f->text, f->len);
	}
	for (unsigned i = 0; i < m->n_fds; i++) {
		fds[i] = m->fds[i];
		msg_put_fd(&out, fds[i]);
	}
	int r = msg_send(pair[0], &out);
	assert(r == 0);
	r = msg_recv(pair[1], &table, m->type->from, &in);
	assert(r == 0 && in.type == m->type && in.seq == m->seq && in.n_fds == m->n_fds);
	assert(out.used == m->used && memcmp(in.bytes, m->bytes, m->used) == 0);
	msg_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct msg m;

	if (n < 3 || n - 2 > MSG_SIZE_MAX + 16)
		return 0;
	if (pair[0] < 0) {
		int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
		assert(r == 0);
	}
	int before = lowest_free();
	send_raw(data + 2, n - 2, data[0] % 16);
	int r = msg_recv(pair[1], &table, data[1] & 3, &m);
	assert(r == 0 || r == -EPROTO);
	if (r == 0) {
		assert(m.type->from & data[1] & 3);
		assert(m.n_fds >= m.type->fds_min && m.n_fds <= m.type->fds_max);
		m.used = n - 2;
		send_again(&m);
		msg_done(&m);
	}
	assert(lowest_free() == before);
	return 0;
}
