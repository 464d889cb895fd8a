/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podman and buildah, where they are installed: an image of two instructions, from this very program, is built by each way of
 * isolating and of storing. Their storage lies below the scratch folder, and their mounts in a namespace of the attempt's own.
 */
#include "probe/probe.h"

#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define STEP "probe"

static bool write_file(const char *folder, const char *name, const char *text)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool copy_oneself(const char *folder)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/context/" STEP, folder);
	_cleanup_close_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	ssize_t n = -1;
	while (from >= 0 && to >= 0 && (n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	return from >= 0 && to >= 0 && n == 0;
}

/* Settings of its own, so that nothing is written elsewhere: no locks in /dev/shm, no events, no folder in /run. */
static bool configure(const char *folder)
{
	char text[1500];
	snprintf(text, sizeof(text),
		 "[engine]\nlock_type = \"file\"\nevents_logger = \"none\"\ntmp_dir = "
		 "\"%s/runtime\"\n"
		 "static_dir = \"%s/runtime\"\nvolume_path = \"%s/runtime\"\n",
		 folder, folder, folder);
	if (!write_file(folder, "containers.conf", text))
		return false;
	snprintf(text, sizeof(text),
		 "[storage]\ndriver = \"vfs\"\ngraphroot = \"%s/root\"\nrunroot = \"%s/run\"\n",
		 folder, folder);
	return write_file(folder, "storage.conf", text);
}

static bool prepare(const char *folder)
{
	static const char *const folders[] = { "context", "root", "run", "home", "runtime" };
	char path[300];
	for (size_t i = 0; i < ELEMENTS(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, folders[i]);
		if (mkdir(path, 0700) < 0)
			return false;
	}
	return copy_oneself(folder) && configure(folder) &&
	       write_file(folder, "context/Dockerfile",
			  "FROM scratch\nCOPY " STEP " /\nRUN [\"/" STEP "\", \"--help\"]\n") &&
	       write_file(folder, "policy.json",
			  "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n");
}

/* As root they leave mounts in the namespace that they find, and files in places that no setting moves. */
static void hide(void)
{
	static const char *const places[] = { "/run", "/var/lib/containers", "/dev/shm" };
	if (geteuid() != 0 || !own_mounts())
		return;
	for (size_t i = 0; i < ELEMENTS(places); i++)
		if (!scratch_is_below(places[i]))
			(void)mount("probe", places[i], "tmpfs", 0, NULL);
}

/* One word each: `text` is "PROGRAM ISOLATION STORAGE". */
static void try_engine(const struct attempt *a, struct outcome *o)
{
	char program[16], isolation[16], storage[16], path[256], root[256], run[256], home[256],
		runtime[256], policy[256], context[256], tmp[256], conf[256], storage_conf[256],
		search[512];
	const char *folder = scratch_folder();
	if (sscanf(a->text, "%15s %15s %15s", program, isolation, storage) != 3)
		return;
	if (!find_program(program, path, sizeof(path))) {
		outcome_absent(o, "not installed");
		return;
	}
	if (!folder || !prepare(folder)) {
		outcome_untried(o, folder ? "its image cannot be prepared"
					  : "no folder can be written here");
		return;
	}
	hide();
	snprintf(root, sizeof(root), "--root=%s/root", folder);
	snprintf(run, sizeof(run), "--runroot=%s/run", folder);
	snprintf(home, sizeof(home), "HOME=%s/home", folder);
	snprintf(runtime, sizeof(runtime), "XDG_RUNTIME_DIR=%s/runtime", folder);
	snprintf(policy, sizeof(policy), "--signature-policy=%s/policy.json", folder);
	snprintf(context, sizeof(context), "%s/context", folder);
	snprintf(tmp, sizeof(tmp), "TMPDIR=%s", folder);
	snprintf(conf, sizeof(conf), "CONTAINERS_CONF=%s/containers.conf", folder);
	snprintf(storage_conf, sizeof(storage_conf), "CONTAINERS_STORAGE_CONF=%s/storage.conf",
		 folder);
	snprintf(search, sizeof(search), "PATH=%s",
		 getenv("PATH") ? getenv("PATH") : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
	const char *const argv[] = { path,
				     root,
				     run,
				     "--storage-driver",
				     storage,
				     "build",
				     "--isolation",
				     isolation,
				     "--network",
				     "host",
				     policy,
				     "-t",
				     "localhost/postern-probe",
				     context,
				     NULL };
	const char *const envp[] = { search, home, runtime, tmp, conf, storage_conf, NULL };
	outcome_of_program(o, argv, envp);
}

#define WAY(program, isolation, storage)                                                           \
	{                                                                                          \
		program " build, " isolation " on " storage, try_engine, 0,                        \
			program " " isolation " " storage                                          \
	}
#define WAYS(program)                                                                              \
	WAY(program, "chroot", "vfs"), WAY(program, "chroot", "overlay"),                          \
		WAY(program, "rootless", "vfs"), WAY(program, "rootless", "overlay"),              \
		WAY(program, "oci", "vfs"), WAY(program, "oci", "overlay")

static const struct attempt attempts[] = { WAYS("podman"), WAYS("buildah") };

const struct attempt_group group_engines = { "engines", attempts, ELEMENTS(attempts),
					     LIMIT_PROBE_ENGINE_SECONDS };
