/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal of its own for a command in a sandbox, beside the user's: what is typed goes in, what is written
 * comes out, and nobody inside ever holds the user's. Where both input and output are the user's terminal, that
 * is raw meanwhile, so that the command's own does everything that a terminal does; else the user's does, and
 * the command's adds nothing. Called by `postern sandbox` and the runner.
 */
#ifndef POSTERN_SANDBOX_TERMINAL_H
#define POSTERN_SANDBOX_TERMINAL_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#define TERMINAL_PIECE 4096 /* bytes that are passed on at once */
#define TERMINAL_POLLS 2

struct terminal {
	int ours;	       /* our end; -1: none */
	int theirs;	       /* the command's; closed once the command has it */
	int in;		       /* the user's, for what is typed; -1: nothing is */
	int out;	       /* the user's, for what is written; -1: gone */
	bool raw;	       /* the user's is to be, or is */
	struct termios before; /* the user's settings */
	char held[TERMINAL_PIECE];
	size_t n_held; /* of it, still to come out */
};
#define TERMINAL_INIT ((struct terminal){ .ours = -1, .theirs = -1, .in = -1, .out = -1 })

/* fds are what the command is to have as 0, 1 and 2. Where any of these is a terminal, make one as large and with
 * the same settings, and put the command's end in the place of each; else change nothing. 0 or -errno. */
int terminal_open(struct terminal *t, int fds[3]);
/* Whether the command's input is its terminal, which then controls its session. */
bool terminal_controls(const struct terminal *t);
/* The command has its end: begin to pass on. With keep_signals, Ctrl-C and Ctrl-\ typed at the user's terminal
 * remain signals to us, and in the background nothing that is typed is ours. */
void terminal_begin(struct terminal *t, bool keep_signals);
/* What to poll for, and what to do then: pass on what can be without waiting. */
void terminal_poll(const struct terminal *t, struct pollfd p[TERMINAL_POLLS]);
void terminal_relay(struct terminal *t, const struct pollfd p[TERMINAL_POLLS]);
/* The user's terminal has another size now. */
void terminal_resize(struct terminal *t);
/* What is left comes out, the user's terminal is as before. */
void terminal_close(struct terminal *t);

/* Give a terminal these settings, unless it is somebody else's turn to (we are in its background). */
void terminal_restore(int fd, const struct termios *settings);
#endif
