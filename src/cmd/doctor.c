/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern doctor`: what works on this machine, and why the rest does not. Each engine is tried on a
 * two-line image in the jail that builds get.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/cmd.h"
#include "cmd/worker.h"
#include "jail/cgroup.h"
#include "jail/jail.h"
#include "jail/landlock.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <sched.h>
#include <sys/wait.h>

static const char help[] =
	"Usage: postern doctor [OPTION...]\n"
	"\n"
	"Tries each engine on a two-line image, buildah and podman in the jail that builds get, "
	"and\n"
	"looks at what the kernel offers. Exit code: 0 when builds work, 4 when they do not.\n"
	"\n"
	"  -d, --docker-socket PATH  of a dockerd to try (default: /var/run/docker.sock)\n"
	"  -j, --json                print one JSON object\n"
	"  -h, --help                print this\n";

enum { WORKS, DIFFERENT, MISSING }; /* DIFFERENT: it goes without, by other means */

struct finding {
	const char *name;
	int state;
	char detail[600];
};

/* ---- engines ---- */

/* Run `postern-worker --probe ENGINE [SOCKET]`: its output, and whether it ended well. */
static bool ask_worker(const char *engine, const char *socket, char *out, size_t size)
{
	const char *const argv[] = { "postern-worker", "--probe", engine, socket, NULL };
	int signal = 0, r = cmd_worker(argv, out, size, &signal);
	if (r == -EINTR) {
		fprintf(stderr, "postern doctor: interrupted (%s)\n", strsignal(signal));
		cgroup_leave();
		exit(EXIT_INTERRUPTED);
	}
	if (r < 0)
		snprintf(out, size, "postern-worker: %s", strerror(-r));
	out[strcspn(out, "\n")] = '\0';
	return r == 0;
}

/* Whether it works; `where` is said of one that does. */
static bool try_engine(const char *engine, const char *socket, const char *where, struct finding *f)
{
	char said[400];
	f->name = engine;
	if (ask_worker(engine, socket, said, sizeof(said))) {
		size_t version = strcspn(said, " ");
		f->state = WORKS;
		snprintf(f->detail, sizeof(f->detail), "%.*s built a two-line image in%.20s ms, %s",
			 (int)version, said, said + version, where);
		return true;
	}
	/* A line of the log begins with the time and the process. */
	const char *why = strstr(said, "error: ");
	f->state = MISSING;
	snprintf(f->detail, sizeof(f->detail), "%s", why ? why + 7 : said);
	return false;
}

/* A dockerd is never what makes builds work: it takes the operator's word that they may use it. */
static void try_docker(const char *socket, struct finding *f)
{
	static const char *const usual = "/var/run/docker.sock";
	if (access(socket ? socket : usual, F_OK) == 0) {
		(void)try_engine("docker", socket ? socket : usual,
				 "fetching and running outside any jail: used only with engine: "
				 "docker and trust_dockerfiles: true",
				 f);
		f->state = DIFFERENT;
		return;
	}
	f->name = "docker";
	f->state = DIFFERENT;
	snprintf(f->detail, sizeof(f->detail),
		 "no dockerd at %.200s (it would be used only with trust_dockerfiles: true)",
		 socket ? socket : usual);
}

/* ---- the kernel ---- */

static void look_at_user_namespaces(struct finding *f)
{
	f->name = "user namespaces";
	f->state = WORKS;
	snprintf(f->detail, sizeof(f->detail), "they can be made");
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0 ? errno : 0);
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status == 0)
		return;
	f->state = MISSING;
	snprintf(f->detail, sizeof(f->detail), "cannot be made: %s (user.max_user_namespaces?)",
		 strerror(WEXITSTATUS(status)));
}

static void look_at_id_range(struct finding *f)
{
	const struct jail_ids range = { .kind = JAIL_IDS_RANGE };
	struct error e = { 0 };
	uid_t uid;
	gid_t gid;
	f->name = "id range";
	f->state = jail_host_ids(&range, &uid, &gid, &e) == 0 ? WORKS : MISSING;
	snprintf(f->detail, sizeof(f->detail), "%s",
		 f->state != WORKS ? e.message
		 : geteuid() == 0  ? "root maps ids by itself"
				   : "65536 ids by newuidmap and newgidmap");
}

/* Whether it is there: a server's keeper holds itself in by it, and does not start without. */
static bool look_at_landlock(struct finding *f)
{
	int version = jail_landlock_version();
	f->name = "Landlock";
	f->state = version > 0 ? WORKS : MISSING;
	if (version > 0)
		snprintf(f->detail, sizeof(f->detail), "ABI %d", version);
	else
		snprintf(f->detail, sizeof(f->detail),
			 JAIL_LANDLOCK_MISSING "; `postern serve` does not start without it");
	return version > 0;
}

/* unsettled: why this process's cgroup has no place for those of builds; "" where it has. */
static void look_at_cgroup(const char *unsettled, struct finding *f)
{
	f->name = "cgroup";
	f->state = *unsettled ? DIFFERENT : WORKS;
	if (*unsettled)
		snprintf(f->detail, sizeof(f->detail),
			 "builds are limited by rlimits and a watchdog, which cannot see memory "
			 "that the kernel takes for them: %s",
			 unsettled);
	else
		snprintf(f->detail, sizeof(f->detail),
			 "memory and processes of builds are limited by cgroups v2");
}

/* ---- report ---- */

static int print_json(const struct finding *f, size_t n, bool ok)
{
	static const char *const states[] = { "works", "different", "missing" };
	json_t *o = json_pack("{s:b, s:[]}", "ok", ok, "findings");
	for (size_t i = 0; i < n; i++)
		json_array_append_new(json_object_get(o, "findings"),
				      json_pack("{s:s, s:s, s:s}", "name", f[i].name, "state",
						states[f[i].state], "detail", f[i].detail));
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
	return ok ? EXIT_OK : EXIT_UNAVAILABLE;
}

static int print_text(const struct finding *f, size_t n, bool engine, bool ok)
{
	static const char *const marks[] = { "ok", "--", "NO" };
	for (size_t i = 0; i < n; i++)
		printf("%s  %-16s %s\n", marks[f[i].state], f[i].name, f[i].detail);
	puts(ok	      ? "builds work here"
	     : engine ? "builds do not work here: mend what is marked NO"
		      : "no engine works here: mend what is marked NO, from below; an engine is "
			"installed by `apt-get install buildah`");
	return ok ? EXIT_OK : EXIT_UNAVAILABLE;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = { { "docker-socket", required_argument, NULL, 'd' },
						 { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	static const char jail[] = "in the jail (chroot isolation, overlay storage)";
	const char *socket = NULL;
	bool json = false;
	for (int c; (c = getopt_long(argc, argv, "d:jh", options, NULL)) != -1;) {
		if (c == 'd')
			socket = optarg;
		else if (c == 'j')
			json = true;
		else
			return c == 'h' ? cmd_usage(EXIT_OK, help)
					: cmd_usage(EXIT_USAGE,
						    "`postern doctor --help` says more\n");
	}
	if (optind != argc)
		return cmd_usage(EXIT_USAGE, "postern doctor: takes no arguments\n");
	static struct finding f[7];
	char unsettled[400] = "";
	(void)cgroup_settle(unsettled, sizeof(unsettled)); /* engines are tried as a server would */
	bool ok = try_engine("buildah", NULL, jail, &f[0]);
	ok = try_engine("podman", NULL, jail, &f[1]) || ok;
	bool engine = ok;
	try_docker(socket, &f[2]);
	look_at_user_namespaces(&f[3]);
	look_at_id_range(&f[4]);
	ok = look_at_landlock(&f[5]) && ok;
	look_at_cgroup(unsettled, &f[6]);
	cgroup_leave();
	return json ? print_json(f, ELEMENTS(f), ok) : print_text(f, ELEMENTS(f), engine, ok);
}
