/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps messages until their peer reads. */
#include "keeper/backlog.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>

struct backlog_message {
	struct backlog_message *next;
	unsigned n_fds;
	int fds[MSG_FDS_MAX];
	size_t size;
	char bytes[];
};

static void drop_first(struct backlog *b)
{
	struct backlog_message *m = b->first;
	b->first = m->next;
	if (!b->first)
		b->last = &b->first;
	b->count--;
	for (unsigned i = 0; i < m->n_fds; i++)
		close(m->fds[i]);
	free(m);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct backlog *b = arg;
	int r = 0;
	while (r == 0 && b->first) {
		const struct backlog_message *m = b->first;
		r = msg_send_encoded(b->socket, m->bytes, m->size, m->fds, m->n_fds);
		if (r == 0)
			drop_first(b);
	}
	if (r == -EAGAIN)
		event_add(b->writable, NULL);
	else
		b->settled(b->arg, r);
}

int backlog_init(struct backlog *b, struct event_base *base, int socket,
		 void (*settled)(void *arg, int r), void *arg)
{
	*b = (struct backlog){ .socket = socket, .settled = settled, .arg = arg };
	b->last = &b->first;
	b->writable = event_new(base, socket, EV_WRITE, on_writable, b);
	return b->writable ? 0 : -ENOMEM;
}

void backlog_done(struct backlog *b)
{
	while (b->first)
		drop_first(b);
	if (b->writable)
		event_free(TAKE_PTR(b->writable));
	b->socket = -1;
}

static int keep(struct backlog *b, struct msg *m)
{
	if (b->count >= LIMIT_BACKLOG_MESSAGES)
		return -ENOBUFS;
	struct backlog_message *copy = malloc(sizeof(*copy) + m->used);
	if (!copy)
		return -ENOMEM;
	*copy = (struct backlog_message){ .size = m->used };
	memcpy(copy->bytes, msg_encode(m), m->used);
	*b->last = copy;
	b->last = &copy->next;
	b->count++;
	for (unsigned i = 0; i < m->n_fds; i++) {
		int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return -errno;
		copy->fds[copy->n_fds++] = fd;
	}
	return event_add(b->writable, NULL) < 0 ? -ENOMEM : 0;
}

int backlog_send(struct backlog *b, struct msg *m)
{
	if (b->socket < 0) {
		m->n_fds = 0;
		return 0;
	}
	int r = -EAGAIN;
	if (!b->first)
		r = msg_send_encoded(b->socket, msg_encode(m), m->used, m->fds, m->n_fds);
	if (r == -EAGAIN)
		r = keep(b, m);
	m->n_fds = 0; /* they stay the caller's */
	return r;
}
