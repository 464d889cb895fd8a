/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the token of `postern serve`: one source, strong enough, and nothing of it left in memory that others can read. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#define VARIABLE "POSTERN_TOKEN"

char *serve_token_argument(char *value)
{
	char *copy = strdup(value);
	sodium_memzero(value, strlen(value));
	return copy;
}

static int fail(int code, const char *message)
{
	log_error("%s", message);
	return code;
}

/* Whoever may write the file chooses the token; whoever may read it has it. */
static int check_mode(const char *path, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0; /* a pipe has no mode of its own; what cannot be read is said later */
	if (st.st_mode & 022) {
		log_error("others can write the token file %s (mode %04o): `chmod 600` it", path,
			  (unsigned)st.st_mode & 07777);
		return EXIT_CONFIG;
	}
	if (st.st_mode & 044)
		log_warning("others can read the token file %s (mode %04o): `chmod 600` it", path,
			    (unsigned)st.st_mode & 07777);
	return 0;
}

static int read_source(const char *path, int fd, char **ret, size_t *ret_n)
{
	_cleanup_close_ int opened = path ? open(path, O_RDONLY | O_CLOEXEC) : fd;
	if (opened < 0) {
		log_error("the token cannot be read from %s: %s", path, strerror(errno));
		return EXIT_CONFIG;
	}
	int code = path ? check_mode(path, opened) : 0;
	if (code)
		return code;
	int r = fd_read_file(opened, LIMIT_TOKEN_BYTES + 2, ret, ret_n);
	if (r < 0) {
		log_error("the token cannot be read from %s: %s", path ? path : "its descriptor",
			  r == -EFBIG ? "it is longer than 512 bytes" : strerror(-r));
		return EXIT_CONFIG;
	}
	return 0;
}

/* Cut off the one line end that files have, and say what is wrong with the rest; NULL when nothing is. */
static const char *check(char *token, size_t n)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
	unsigned different = 0;
	if (n && token[n - 1] == '\n')
		token[--n] = '\0';
	if (n && token[n - 1] == '\r')
		token[--n] = '\0';
	if (n > LIMIT_TOKEN_BYTES)
		return "the token is longer than 512 bytes";
	/* RFC 6750: what "Authorization: Bearer" can carry. */
	if (strspn(token, allowed) != n)
		return "the token has characters that no Authorization header can carry (letters, "
		       "digits and -._~+/= can; one line)";
	for (const char *p = allowed; *p; p++)
		different += strchr(token, *p) != NULL;
	if (n < LIMIT_TOKEN_LEAST_BYTES || different < LIMIT_TOKEN_LEAST_DIFFERENT)
		return "the token is too weak: it takes 32 bytes or more, and random ones "
		       "(`openssl "
		       "rand -hex 32` makes 256 bits)";
	return NULL;
}

static int take(const struct serve_token *t, char *variable, unsigned char digest[32])
{
	char *data = NULL;
	size_t n = 0;
	unsigned sources =
		(t->argument != NULL) + (t->file != NULL) + (t->fd >= 0) + (variable != NULL);
	if (sources == 0)
		return fail(EXIT_USAGE,
			    "no token: give one by --token-file, --token-fd or " VARIABLE
			    " (256 random bits, such as `openssl rand -hex 32`)");
	if (sources > 1)
		return fail(EXIT_USAGE,
			    "more than one token: give one of --token-file, --token-fd, "
			    "--token and " VARIABLE);
	if (t->argument)
		log_warning("--token shows the token to every user of this machine for a moment; "
			    "use --token-file, --token-fd or " VARIABLE);
	if (t->file || t->fd >= 0) {
		int code = read_source(t->file, t->fd, &data, &n);
		if (code)
			return code;
	}
	char *token = data ? data : t->argument ? t->argument : variable;
	const char *fault = check(token, data ? n : strlen(token));
	if (!fault)
		crypto_generichash(digest, 32, (unsigned char *)token, strlen(token), NULL, 0);
	if (data)
		sodium_memzero(data, n);
	free(data);
	return fault ? fail(EXIT_CONFIG, fault) : 0;
}

int serve_token_take(const struct serve_token *t, unsigned char ret_digest[32])
{
	char *variable = getenv(VARIABLE);
	int code = take(t, variable, ret_digest);
	if (t->argument)
		sodium_memzero(t->argument, strlen(t->argument));
	if (variable) {
		sodium_memzero(variable, strlen(variable));
		unsetenv(VARIABLE);
	}
	return code;
}
