/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who can be reached: directly, by name, by the proxy of the environment, by the sockets of the host's daemons. Nothing is sent but
 * a question for a name that cannot exist, an echo, and a request for that name.
 */
#include "probe/probe.h"

#include <arpa/inet.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WAIT_MS	     3000
#define PROXY_USUAL  "10.200.0.1:3128" /* OpenShell's and postern's */
#define NO_SUCH_NAME "postern-probe.invalid"

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_un local;
};

static bool parse(const char *text, unsigned port, union address *ret, socklen_t *ret_len)
{
	*ret = (union address){ 0 };
	if (inet_pton(AF_INET, text, &ret->four.sin_addr) == 1) {
		ret->four.sin_family = AF_INET;
		ret->four.sin_port = htons((uint16_t)port);
		*ret_len = sizeof(ret->four);
		return true;
	}
	*ret = (union address){ .six = { .sin6_family = AF_INET6,
					 .sin6_port = htons((uint16_t)port) } };
	*ret_len = sizeof(ret->six);
	return inet_pton(AF_INET6, text, &ret->six.sin6_addr) == 1;
}

/* Wait for it; false with errno when it does not come. */
static bool wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	if (poll(&p, 1, WAIT_MS) > 0)
		return true;
	errno = ETIMEDOUT;
	return false;
}

/* A connected socket, or -1 with errno. */
static int connect_to(const union address *a, socklen_t len, int type, int protocol)
{
	int error = 0, s = socket(a->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	socklen_t size = sizeof(error);
	if (s < 0)
		return -1;
	if (connect(s, &a->any, len) == 0)
		return s;
	if (errno == EINPROGRESS && wait_for(s, POLLOUT) &&
	    getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size) == 0) {
		if (!error)
			return s;
		errno = error;
	}
	error = errno;
	close(s);
	errno = error;
	return -1;
}

static void try_tcp(const struct attempt *a, struct outcome *o)
{
	union address to;
	socklen_t len;
	if (parse(a->text, (unsigned)a->number, &to, &len))
		outcome_of(o, connect_to(&to, len, SOCK_STREAM, 0));
	outcome_detail(o, "%s port %ld", a->text, a->number);
}

/* Send, and hear something back; a refusal that comes back is errno's. */
static void exchange(struct outcome *o, int s, const void *what, size_t len)
{
	char answer[512];
	outcome_of(o, s < 0 || send(s, what, len, 0) < 0 || !wait_for(s, POLLIN)
			      ? -1
			      : recv(s, answer, sizeof(answer), 0));
}

/* A question for the address of a name that never exists (RFC 6761): any answer shows that there is somebody who answers. */
static void ask_name(struct outcome *o, const char *server, unsigned port)
{
	static const char question[] = "\x70\x6f\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0dpostern"
				       "-probe\x07invalid\x00\x00\x01\x00\x01";
	union address to;
	socklen_t len;
	if (!parse(server, port, &to, &len)) {
		outcome_untried(o, "no address");
		return;
	}
	exchange(o, connect_to(&to, len, SOCK_DGRAM, 0), question, sizeof(question) - 1);
	if (o->state != UNTRIED)
		outcome_detail(o, "%s port %u", server, port);
}

static void try_udp(const struct attempt *a, struct outcome *o)
{
	ask_name(o, a->text, (unsigned)a->number);
}

/* The first server that /etc/resolv.conf names. */
static void try_dns(const struct attempt *a, struct outcome *o)
{
	char line[256], server[64] = "";
	FILE *f = fopen("/etc/resolv.conf", "re");
	while (f && !*server && fgets(line, sizeof(line), f))
		(void)sscanf(line, "nameserver %63s", server);
	if (f)
		fclose(f);
	if (*server) {
		ask_name(o, server, 53);
		return;
	}
	outcome_absent(o, "/etc/resolv.conf names no server");
}

static void try_ping(const struct attempt *a, struct outcome *o)
{
	struct icmphdr echo = { .type = ICMP_ECHO, .un.echo.sequence = htons(1) };
	union address to;
	socklen_t len;
	if (!parse(a->text, 0, &to, &len))
		return;
	int s = connect_to(&to, len, SOCK_DGRAM, IPPROTO_ICMP);
	if (s < 0 && (errno == EACCES || errno == EPERM)) {
		s = connect_to(&to, len, SOCK_RAW,
			       IPPROTO_ICMP); /* where raw sockets are not refused */
		echo.checksum = (uint16_t) ~(uint16_t)(htons(ICMP_ECHO << 8) + htons(1));
	}
	exchange(o, s, &echo, sizeof(echo));
	outcome_detail(o, "%s", a->text);
}

/* ---- the proxy ---- */

static const char *proxy_of_environment(void)
{
	static const char *const names[] = { "http_proxy",  "HTTP_PROXY", "https_proxy",
					     "HTTPS_PROXY", "ALL_PROXY",  "all_proxy" };
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			return value;
	}
	return NULL;
}

/* Of http://HOST:PORT/, host and port. */
static unsigned split(const char *url, char *host, size_t size)
{
	const char *at = strstr(url, "://");
	at = at ? at + 3 : url;
	const char *user = strchr(at, '@');
	at = user ? user + 1 : at;
	size_t n = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/");
	snprintf(host, size, "%.*s", (int)(*at == '[' ? n - 2 : n), *at == '[' ? at + 1 : at);
	unsigned long port = at[n] == ':' ? strtoul(at + n + 1, NULL, 10) : 80;
	return port < 65536 ? (unsigned)port : 0;
}

static void try_proxy(const struct attempt *a, struct outcome *o)
{
	static const char request[] = "GET http://" NO_SUCH_NAME "/ HTTP/1.1\r\nHost: " NO_SUCH_NAME
				      "\r\nConnection: close\r\n\r\n";
	char host[64], answer[256];
	const char *named = proxy_of_environment();
	union address to;
	socklen_t len;
	unsigned port = split(named ? named : PROXY_USUAL, host, sizeof(host));
	if (!parse(host, port, &to, &len)) {
		outcome_untried(o, "the environment's proxy is not given by its address");
		return;
	}
	int s = connect_to(&to, len, SOCK_STREAM, 0);
	outcome_of(o, s);
	if (s < 0) {
		o->state = named ? o->state : ABSENT;
		outcome_detail(o, "%s port %u%s", host, port,
			       named ? "" : ", where the environment names none");
		return;
	}
	ssize_t n = send(s, request, sizeof(request) - 1, 0) < 0 || !wait_for(s, POLLIN)
			    ? -1
			    : recv(s, answer, sizeof(answer) - 1, 0);
	answer[n > 0 ? n : 0] = '\0';
	for (char *c = answer; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '\0'; /* its first line is what matters */
	outcome_detail(o, "%s port %u: %s", host, port, *answer ? answer : "no answer");
}

/* ---- sockets of daemons ---- */

static void connect_local(struct outcome *o, const char *path)
{
	union address to = { .local = { .sun_family = AF_UNIX } };
	if (strlen(path) >= sizeof(to.local.sun_path)) {
		outcome_untried(o, "its path is too long");
		return;
	}
	snprintf(to.local.sun_path, sizeof(to.local.sun_path), "%s", path);
	outcome_of(o, connect_to(&to, sizeof(to.local), SOCK_STREAM, 0));
	outcome_detail(o, "%s", path);
}

static void try_local(const struct attempt *a, struct outcome *o)
{
	connect_local(o, a->text);
}

/* A path that a variable names, or that lies in the folder that one names (when `text` has a slash after it). */
static void try_variable(const struct attempt *a, struct outcome *o)
{
	char name[64], path[256];
	size_t n = strcspn(a->text, "/");
	snprintf(name, sizeof(name), "%.*s", (int)n, a->text);
	const char *value = getenv(name);
	if (!value || !*value) {
		o->state = ABSENT;
		outcome_detail(o, "%s is not set", name);
		return;
	}
	const char *unix_path = strstr(value, "unix:path="); /* D-Bus's way to write it */
	snprintf(path, sizeof(path), "%s%s", unix_path ? unix_path + strlen("unix:path=") : value,
		 a->text + n);
	path[strcspn(path, ",;")] = '\0';
	connect_local(o, path);
}

static const struct attempt attempts[] = {
	{ "IPv4 by TCP", try_tcp, 443, "1.1.1.1" },
	{ "IPv6 by TCP", try_tcp, 443, "2606:4700:4700::1111" },
	{ "IPv4 by UDP", try_udp, 53, "1.1.1.1" },
	{ "IPv6 by UDP", try_udp, 53, "2606:4700:4700::1111" },
	{ "ICMP echo", try_ping, 0, "1.1.1.1" },
	{ "cloud metadata", try_tcp, 80, "169.254.169.254" },
	{ "DNS", try_dns, 0, NULL },
	{ "the proxy", try_proxy, 0, NULL },
	{ "docker's socket", try_local, 0, "/var/run/docker.sock" },
	{ "containerd's socket", try_local, 0, "/run/containerd/containerd.sock" },
	{ "podman's socket", try_local, 0, "/run/podman/podman.sock" },
	{ "podman's socket of the user", try_variable, 0, "XDG_RUNTIME_DIR/podman/podman.sock" },
	{ "D-Bus of the system", try_local, 0, "/run/dbus/system_bus_socket" },
	{ "D-Bus of the session", try_variable, 0, "DBUS_SESSION_BUS_ADDRESS" },
	{ "ssh-agent", try_variable, 0, "SSH_AUTH_SOCK" },
};

const struct attempt_group group_network = { "network", attempts, ELEMENTS(attempts),
					     LIMIT_PROBE_SECONDS };
