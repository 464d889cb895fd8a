/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick: a bare libmicrohttpd that checks the token, answers one job, sends one file and takes one upload.
 * mhd MODE PORT TOKEN FOLDER, where FOLDER holds `body` and `download` and takes uploads. MODE is one of the library's ways
 * to wait with one thread: epoll, turbo (epoll that tries each socket before it waits), poll, select; or bulk: epoll with a
 * larger buffer for each connection, which makes uploads faster and small requests slower.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char expected[600], body[65536];
static size_t body_len;

static int same(const char *a, const char *b, size_t n)
{
	unsigned char d = 0;
	for (size_t i = 0; i < n; i++)
		d |= (unsigned char)(a[i] ^ b[i]);
	return d == 0;
}

static enum MHD_Result send_response(struct MHD_Connection *c, unsigned status,
				     struct MHD_Response *r)
{
	enum MHD_Result ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result send_bytes(struct MHD_Connection *c, unsigned status, size_t n)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(n, body, MHD_RESPMEM_PERSISTENT);
	MHD_add_response_header(r, "Content-Type", "application/json");
	return send_response(c, status, r);
}

static enum MHD_Result send_file(struct MHD_Connection *c)
{
	struct stat st;
	int fd = open("download", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return MHD_NO;
	return send_response(c, 200, MHD_create_response_from_fd((size_t)st.st_size, fd));
}

static enum MHD_Result take_upload(struct MHD_Connection *c, const char *data, size_t *n, int fd)
{
	if (!*n) {
		close(fd);
		return send_bytes(c, 200, body_len);
	}
	ssize_t w = write(fd, data, *n);
	if (w < 0)
		return MHD_NO;
	*n -= (size_t)w;
	return MHD_YES;
}

/* Called with the head (state is NULL), then with each piece of a body, then with none. */
static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **state)
{
	static int got_head;
	if (!*state) {
		const char *token =
			MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
		size_t n = strlen(expected);
		if (!token || strlen(token) != n || !same(token, expected, n))
			return send_bytes(c, 401, 0);
		*state = &got_head;
		if (!strcmp(method, "POST")) {
			int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
			*state = (char *)&got_head + 1 + fd;
		}
		return MHD_YES;
	}
	if (!strcmp(method, "POST"))
		return take_upload(c, upload, upload_size,
				   (int)((char *)*state - (char *)&got_head - 1));
	if (!strcmp(method, "GET") && !strncmp(url, "/jobs/", 6))
		return send_bytes(c, 200, body_len);
	if (!strcmp(method, "GET") && !strcmp(url, "/file"))
		return send_file(c);
	return send_bytes(c, 404, 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned flags;
	} modes[] = {
		{ "epoll", MHD_USE_EPOLL_INTERNAL_THREAD },
		{ "turbo", MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO },
		{ "poll", MHD_USE_POLL_INTERNAL_THREAD },
		{ "select", MHD_USE_SELECT_INTERNALLY },
		{ "bulk", MHD_USE_EPOLL_INTERNAL_THREAD },
	};
	unsigned flags = 0;
	if (argc != 5)
		return 2;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			flags = modes[i].flags;
	snprintf(expected, sizeof(expected), "Bearer %s", argv[3]);
	FILE *f = chdir(argv[4]) == 0 ? fopen("body", "r") : NULL;
	if (!f || !flags)
		return 1;
	body_len = fread(body, 1, sizeof(body), f);
	fclose(f);
	size_t buffer =
		(size_t)(strcmp(argv[1], "bulk") ? 32 : 256) * 1024; /* 32 KiB is the default */
	struct MHD_Daemon *d =
		MHD_start_daemon(flags, (unsigned short)strtoul(argv[2], NULL, 10), NULL, NULL,
				 answer, NULL, MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT, buffer, MHD_OPTION_END);
	if (!d)
		return 1;
	pause();
	MHD_stop_daemon(d);
	return 0;
}
