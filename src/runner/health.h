/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to a server: does it answer `GET /healthz` with 200? Called by the runner between a
 * server's start and the sandbox's. Sends no credential and reads no more than a status line.
 */
#ifndef POSTERN_HEALTH_H
#define POSTERN_HEALTH_H

/* Ask at "unix:/path" or "127.0.0.1:PORT", waiting ms milliseconds at most for each of connection
 * and answer. 0 when healthy; -ECONNREFUSED or -ENOENT when nothing listens (yet); -EAGAIN when it
 * did not answer in time; -EPROTO with *ret_status when it answers something else (0: not HTTP). */
int health_ask(const char *address, int ms, unsigned *ret_status);
#endif
