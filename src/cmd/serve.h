/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `postern serve` share: the token's sources and the sockets. Included by src/cmd/serve*.c alone. */
#ifndef POSTERN_CMD_SERVE_H
#define POSTERN_CMD_SERVE_H

/* Where the token may come from, besides POSTERN_TOKEN in our environment. */
struct serve_token {
	char *argument;	  /* of --token, a copy of our own; NULL: not given */
	const char *file; /* of --token-file; NULL: not given */
	int fd;		  /* of --token-fd; -1: not given */
};

/* Read the token from the one source that is given, digest it (BLAKE2b-256), and wipe it wherever it lay, our environment
 * included. 0; or an exit code, after one line was logged. */
int serve_token_take(const struct serve_token *t, unsigned char ret_digest[32]);

/* Copy an option's value and wipe it from argv, where every user of the machine can read it. */
char *serve_token_argument(char *value);

/* A listening socket: 0 with the descriptor (and port), or an exit code, after one line was logged. */
int serve_listen_tcp(const char *address, unsigned port, int *ret_fd, unsigned *ret_port);
int serve_listen_unix(const char *path, int *ret_fd);
#endif
