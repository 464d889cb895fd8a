/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of unpacking: each archive is made here byte by byte, since no honest tool makes most of them. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/limit.h"
#include "worker/context.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#define BLOCK 512u

static const struct context_limits small = {
	.bytes = 1024 * 1024, .file = 512 * 1024, .entries = 100, .depth = 8
};

/* ---- archives ---- */

struct entry {
	const char *name;
	char type; /* as in the header; 0: '0' */
	const char *link;
	unsigned mode; /* 0: 0644 */
	const char *data;
	size_t size; /* 0: of data */
	bool announce_only;
};

static void octal(char *field, size_t size, unsigned long long value)
{
	char text[32];
	snprintf(text, sizeof(text), "%0*llo", (int)size - 1, value);
	memcpy(field, text, size - 1);
}

static void put_padded(struct buf *b, const void *data, size_t n)
{
	static const char zeros[BLOCK];
	assert_int_equal(buf_append(b, data, n), 0);
	assert_int_equal(buf_append(b, zeros, (BLOCK - n % BLOCK) % BLOCK), 0);
}

static void put_header(struct buf *b, const struct entry *x, size_t size)
{
	char h[BLOCK] = { 0 };
	size_t n = strlen(x->name);
	memcpy(h, x->name, n < 100 ? n : 100);
	octal(h + 100, 8, x->mode ? x->mode : 0644);
	octal(h + 108, 8, 0);
	octal(h + 116, 8, 0);
	octal(h + 124, 12, size);
	octal(h + 136, 12, 1700000000);
	h[156] = x->type ? x->type : '0';
	if (x->link)
		memcpy(h + 157, x->link, strnlen(x->link, 100));
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	memset(h + 148, ' ', 8);
	unsigned sum = 0;
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	assert_int_equal(buf_append(b, h, BLOCK), 0);
}

static void put(struct buf *b, const struct entry *x)
{
	size_t size = x->size ? x->size : x->data ? strlen(x->data) : 0;
	put_header(b, x, size);
	if (x->data && !x->announce_only)
		put_padded(b, x->data, size);
}

/* One record of a pax header, "LENGTH KEY=VALUE\n". */
static void put_pax(struct buf *b, const char *key, const char *value)
{
	size_t body = strlen(key) + strlen(value) + 3, n = body + 1;
	char digits[24];
	while ((size_t)snprintf(digits, sizeof(digits), "%zu", n) + body != n)
		n++;
	_cleanup_free_ char *record = malloc(n + 1);
	assert_non_null(record);
	snprintf(record, n + 1, "%zu %s=%s\n", n, key, value);
	put_header(b, &(struct entry){ .name = "pax", .type = 'x' }, n);
	put_padded(b, record, n);
}

static void put_end(struct buf *b)
{
	static const char zeros[2 * BLOCK];
	assert_int_equal(buf_append(b, zeros, sizeof(zeros)), 0);
}

static struct buf archive_of(const struct entry *x, size_t n)
{
	struct buf b = BUF_INIT(64 * 1024 * 1024);
	for (size_t i = 0; i < n; i++)
		put(&b, &x[i]);
	put_end(&b);
	return b;
}
#define ARCHIVE(...)                                                                               \
	archive_of((const struct entry[]){ __VA_ARGS__ },                                          \
		   ELEMENTS(((const struct entry[]){ __VA_ARGS__ })))

/* ---- unpacking ---- */

static char folder[PATH_MAX];
static int dirfd_ = -1;

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(folder, sizeof(folder), "%s/postern-context-test-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s/context", folder);
	if (mkdir(path, 0700) < 0)
		return -1;
	dirfd_ = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	close(TAKE_FD(dirfd_));
	return remove_tree_at(AT_FDCWD, folder);
}

static int unpack_with(struct buf *b, const struct context_limits *limits, struct error *e)
{
	_cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, b->data, b->len), 0);
	buf_done(b);
	*e = (struct error){ 0 };
	int r = context_unpack(fd, dirfd_, limits, e);
	assert_int_equal(e->code, -r);
	return r;
}

static void succeeds(struct buf b)
{
	struct error e;
	if (unpack_with(&b, &small, &e) < 0)
		fail_msg("%s", e.message);
}

/* It is refused, and the sentence has these words. */
static void refused(struct buf b, int code, const char *words)
{
	struct error e;
	int r = unpack_with(&b, &small, &e);
	if (r != -code)
		fail_msg("%d: %s", r, e.message);
	if (!strstr(e.message, words))
		fail_msg("'%s' does not say '%s'", e.message, words);
	for (const char *p = e.message; *p; p++)
		assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
	/* Nothing got out, whatever was refused. */
	char path[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s/out", folder);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access("/tmp/postern-out", F_OK), -1);
}

static void content_is(const char *name, const char *text)
{
	_cleanup_free_ char *data = NULL;
	size_t n;
	_cleanup_close_ int fd = openat(dirfd_, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(fd, 1024 * 1024, &data, &n), 0);
	assert_string_equal(data, text);
}

static struct stat status(const char *name)
{
	struct stat st;
	assert_int_equal(fstatat(dirfd_, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* ---- what is taken ---- */

static void takes_files_folders_and_links(void **state)
{
	succeeds(ARCHIVE({ "./", '5', .mode = 0755 }, { "./a/b/c", .data = "deep" },
			 { "run", .data = "#!", .mode = 0755 }, { "a/link", '2', "../run" },
			 { "hard", '1', "./a//b/c" }, { "dir/", '5', .mode = 0500 },
			 { "dir/in", .data = "below a folder that its owner may not write" }));
	content_is("a/b/c", "deep");
	content_is("hard", "deep");
	assert_int_equal(status("hard").st_ino, status("a/b/c").st_ino);
	assert_int_equal(status("run").st_mode & 07777, 0755);
	assert_int_equal(status("run").st_mtime, 1700000000);
	char target[16] = { 0 };
	assert_int_equal(readlinkat(dirfd_, "a/link", target, sizeof(target)), 6);
	assert_string_equal(target, "../run");
}

static void links_may_point_anywhere_but_are_not_followed(void **state)
{
	succeeds(ARCHIVE({ "passwd", '2', "/etc/passwd" }, { "up", '2', "../../.." }));
	refused(ARCHIVE({ "l", '2', "/tmp" }, { "l/postern-out", .data = "x" }), EINVAL,
		"goes through a symbolic link");
	refused(ARCHIVE({ "m", '2', ".." }, { "m/out", .data = "x" }), EINVAL, "symbolic link");
	refused(ARCHIVE({ "n", '2', "." }, { "n/out", .data = "x" }), EINVAL, "symbolic link");
	refused(ARCHIVE({ "o", '2', "/tmp" }, { "o/d/", '5' }), EINVAL, "symbolic link");
}

static void a_folder_entry_does_not_follow_a_link(void **state)
{
	refused(ARCHIVE({ "l", '2', "/" }, { "l/", '5', .mode = 0777 }), EINVAL, "not a folder");
}

static void a_later_entry_replaces_an_earlier_one(void **state)
{
	succeeds(ARCHIVE({ "f", .data = "first" }, { "f", .data = "2" },
			 { "l", '2', "/etc/passwd" },
			 { "l", .data = "a file in the link's place" }));
	content_is("f", "2");
	content_is("l", "a file in the link's place");
	refused(ARCHIVE({ "d/", '5' }, { "d", .data = "x" }), EINVAL, "would replace a folder");
	refused(ARCHIVE({ "g", .data = "x" }, { "g/below", .data = "x" }), EINVAL, "not a folder");
}

static void names_may_hold_any_byte(void **state)
{
	succeeds(ARCHIVE({ "esc\033[31m", .data = "1" }, { "latin\351", .data = "2" },
			 { "new\nline", .data = "3" }, { "-rf", .data = "4" },
			 { "sp ace", .data = "5" }));
	content_is("esc\033[31m", "1");
	content_is("latin\351", "2");
	content_is("new\nline", "3");
	content_is("-rf", "4");
	struct buf b = BUF_INIT(1024 * 1024);
	put_pax(&b, "path", "caf\303\251/\346\227\245");
	put(&b, &(struct entry){ .name = "short", .data = "6" });
	put_end(&b);
	succeeds(b);
	content_is("caf\303\251/\346\227\245", "6");
}

static void bits_of_folders_are_dropped(void **state)
{
	succeeds(ARCHIVE({ "d/", '5', .mode = 07777 }, { "t", .data = "x", .mode = 01644 }));
	assert_int_equal(status("d").st_mode & 07777, 0777);
	assert_int_equal(status("t").st_mode & 07777, 0644);
}

/* ---- what is refused ---- */

static void refuses_what_leaves_the_folder(void **state)
{
	refused(ARCHIVE({ "/tmp/postern-out", .data = "x" }), EINVAL, "is absolute");
	refused(ARCHIVE({ "//tmp/postern-out", .data = "x" }), EINVAL, "is absolute");
	refused(ARCHIVE({ "../out", .data = "x" }), EINVAL, "leaves the context by '..'");
	refused(ARCHIVE({ "a/../../out", .data = "x" }), EINVAL, "'..'");
	refused(ARCHIVE({ "a/..", '5' }), EINVAL, "'..'");
	refused(ARCHIVE({ ".//../out", '2', "x" }), EINVAL, "'..'");
	struct buf b = BUF_INIT(1024 * 1024);
	put_pax(&b, "path", "../out");
	put(&b, &(struct entry){ .name = "innocent", .data = "x" });
	put_end(&b);
	refused(b, EINVAL, "'..'");
}

static void refuses_hard_links_out(void **state)
{
	refused(ARCHIVE({ "h", '1', "/etc/passwd" }), EINVAL, "absolute");
	refused(ARCHIVE({ "h", '1', "../../etc/passwd" }), EINVAL, "'..'");
	refused(ARCHIVE({ "h", '1', "nowhere" }), EINVAL, "not a file of the archive");
	refused(ARCHIVE({ "l", '2', "/etc" }, { "h", '1', "l/passwd" }), EINVAL, "not a file");
	refused(ARCHIVE({ "k", '2', "/etc/passwd" }, { "h", '1', "k" }), EINVAL, "not a file");
	refused(ARCHIVE({ "d/", '5' }, { "h", '1', "d" }), EINVAL, "not a file");
	refused(ARCHIVE({ "f", .data = "x" }, { "m", '2', "/tmp" }, { "m/postern-out", '1', "f" }),
		EINVAL, "symbolic link");
}

static void a_hard_link_to_itself_is_nothing(void **state)
{
	succeeds(ARCHIVE({ "f", .data = "x" }, { "f", '1', "f" }));
	content_is("f", "x");
}

static void refuses_what_is_no_file(void **state)
{
	refused(ARCHIVE({ "n", '3', .mode = 0666 }), EINVAL, "a device");
	refused(ARCHIVE({ "b", '4', .mode = 0666 }), EINVAL, "a device");
	refused(ARCHIVE({ "p", '6' }), EINVAL, "a named pipe");
}

static void refuses_set_id_programs(void **state)
{
	refused(ARCHIVE({ "su", .data = "x", .mode = 04755 }), EINVAL, "set-id");
	refused(ARCHIVE({ "sg", .data = "x", .mode = 02755 }), EINVAL, "set-id");
}

/* ---- limits ---- */

static void long_names_are_refused(void **state)
{
	char name[5000];
	struct buf b = BUF_INIT(1024 * 1024);
	memset(name, 'n', 300);
	name[300] = '\0';
	put_pax(&b, "path", name);
	put(&b, &(struct entry){ .name = "x" });
	put_end(&b);
	refused(b, ENAMETOOLONG, "too long a name");
	for (size_t i = 0; i < 4096; i++)
		name[i] = i % 600 == 599 ? '/' : 'n';
	name[4096] = '\0';
	b = BUF_INIT(1024 * 1024);
	put_pax(&b, "path", name);
	put(&b, &(struct entry){ .name = "x" });
	put_end(&b);
	refused(b, ENAMETOOLONG, "too long a name");
	b = BUF_INIT(1024 * 1024);
	put_pax(&b, "linkpath", name);
	put(&b, &(struct entry){ .name = "link", .type = '2', .link = "short" });
	put_end(&b);
	refused(b, ENAMETOOLONG, "link");
}

static void pax_headers(struct buf *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put_pax(b, "comment", "x");
	put(b, &(struct entry){ .name = "file", .data = "x" });
	put_end(b);
}

static void headers_before_an_entry_are_bounded(void **state)
{
	struct buf b = BUF_INIT(1024 * 1024);
	pax_headers(&b, 20);
	succeeds(b);
	b = BUF_INIT(1024 * 1024);
	pax_headers(&b, 100);
	refused(b, EINVAL, "too many headers");
}

static void depth_is_bounded(void **state)
{
	succeeds(ARCHIVE({ "1/2/3/4/5/6/7/8", .data = "x" }));
	refused(ARCHIVE({ "1/2/3/4/5/6/7/8/9", .data = "x" }), EFBIG, "deeper than 8");
}

static void entries_are_bounded(void **state)
{
	struct buf b = BUF_INIT(1024 * 1024);
	for (int i = 0; i < 101; i++)
		put(&b, &(struct entry){ .name = "the same name again", .data = "x" });
	put_end(&b);
	refused(b, EFBIG, "more than 100 entries");
}

/* No entry of the archive's, but files of the disk's all the same. */
static void folders_on_the_way_are_entries(void **state)
{
	struct buf b = BUF_INIT(1024 * 1024);
	char name[32];
	for (int i = 0; i < 14; i++) {
		snprintf(name, sizeof(name), "%d/2/3/4/5/6/7", i);
		put(&b, &(struct entry){ .name = name, .data = "x" });
	}
	put_end(&b);
	succeeds(b);
	b = BUF_INIT(1024 * 1024);
	for (int i = 0; i < 15; i++) {
		snprintf(name, sizeof(name), "more%d/2/3/4/5/6/7", i);
		put(&b, &(struct entry){ .name = name, .data = "x" });
	}
	put_end(&b);
	refused(b, EFBIG, "more than 100 entries");
}

static void bytes_are_bounded(void **state)
{
	static char data[400 * 1024];
	memset(data, 'd', sizeof(data) - 1);
	refused(ARCHIVE({ "a", .data = data }, { "b", .data = data }, { "c", .data = data }), EFBIG,
		"larger than 1048576 bytes unpacked");
}

static void one_file_is_bounded(void **state)
{
	static char data[513 * 1024];
	memset(data, 'd', sizeof(data) - 1);
	refused(ARCHIVE({ "big", .data = data }), EFBIG, "'big' is larger than 524288 bytes");
	/* By its word alone, before anything is written; by pax also beyond what ustar can say. */
	refused(ARCHIVE({ "f", .size = 07777777777ull, .data = "x", .announce_only = true }), EFBIG,
		"'f' is larger");
	struct buf b = BUF_INIT(1024 * 1024);
	put_pax(&b, "size", "1152921504606846976");
	put(&b, &(struct entry){ .name = "pax", .data = "x" });
	put_end(&b);
	refused(b, EFBIG, "'pax' is larger");
}

/* GNU sparse 1.0: the map stands before the data. */
static struct buf sparse(const char *real_size, const char *map)
{
	struct buf b = BUF_INIT(1024 * 1024);
	char records[256], block[2 * BLOCK] = { 0 };
	int n = snprintf(records, sizeof(records),
			 "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
			 "25 GNU.sparse.name=holes\n");
	int digits = 24 + (int)strlen(real_size);
	n += snprintf(records + n, sizeof(records) - (size_t)n, "%d GNU.sparse.realsize=%s\n",
		      digits, real_size);
	put_header(&b, &(struct entry){ .name = "pax", .type = 'x' }, (size_t)n);
	put_padded(&b, records, (size_t)n);
	snprintf(block, sizeof(block), "%s", map);
	memset(block + BLOCK, 'D', BLOCK);
	put_header(&b, &(struct entry){ .name = "GNUSparseFile.0/holes" }, sizeof(block));
	put_padded(&b, block, sizeof(block));
	put_end(&b);
	return b;
}

static void holes_count_as_bytes(void **state)
{
	succeeds(sparse("300000", "1\n1000\n512\n"));
	assert_int_equal(status("holes").st_size, 300000); /* the last hole is kept */
	_cleanup_close_ int fd = openat(dirfd_, "holes", O_RDONLY | O_CLOEXEC);
	char bytes[3];
	assert_int_equal(pread(fd, bytes, 3, 999), 3);
	assert_memory_equal(bytes, "\0DD", 3);
	refused(sparse("1099511627776", "1\n1000\n512\n"), EFBIG, "'holes' is larger");
	refused(sparse("300000", "1\n1099511627000\n512\n"), EFBIG, "'holes' is larger");
}

/* ---- what is no archive ---- */

static struct buf bytes_of(const void *bytes, size_t n)
{
	struct buf b = BUF_INIT(64 * 1024 * 1024);
	assert_int_equal(buf_append(&b, bytes, n), 0);
	return b;
}

static struct buf compressed(struct buf plain, int filter)
{
	struct buf b = BUF_INIT(64 * 1024 * 1024);
	size_t used = 0, room = plain.len + 4096;
	assert_non_null(buf_reserve(&b, room));
	struct archive *a = archive_write_new();
	assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(a, b.data, room, &used), ARCHIVE_OK);
	struct archive_entry *x = archive_entry_new();
	archive_entry_set_filetype(x, AE_IFREG);
	assert_int_equal(archive_write_header(a, x), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, plain.data, plain.len), (la_ssize_t)plain.len);
	archive_entry_free(x);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	buf_wrote(&b, used);
	buf_done(&plain);
	return b;
}

static void takes_gzip_and_zstd(void **state)
{
	static const int filters[] = { ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD };
	for (size_t i = 0; i < ELEMENTS(filters); i++) {
		succeeds(compressed(ARCHIVE({ "f", .data = "packed" }), filters[i]));
		content_is("f", "packed");
		unlinkat(dirfd_, "f", 0);
	}
	refused(compressed(ARCHIVE({ "f", .data = "x" }), ARCHIVE_FILTER_XZ), EINVAL,
		"not a tar archive, plain or compressed by gzip or zstd");
}

static void a_small_body_that_unpacks_large_is_bounded(void **state)
{
	static char zeros[400 * 1024];
	memset(zeros, '0', sizeof(zeros) - 1);
	struct buf b = compressed(
		ARCHIVE({ "a", .data = zeros }, { "b", .data = zeros }, { "c", .data = zeros }),
		ARCHIVE_FILTER_GZIP);
	assert_true(b.len < 8192);
	refused(b, EFBIG, "larger than 1048576 bytes unpacked");
}

static void refuses_what_is_no_archive(void **state)
{
	char zeros[2048] = { 0 };
	refused(bytes_of("", 0), EINVAL, "the body is empty");
	refused(bytes_of("not an archive", 14), EINVAL, "it begins with 6e 6f 74 20");
	refused(bytes_of("\x1f\x8b", 2), EINVAL, "damaged or ends early");
	refused(bytes_of("\x28\xb5\x2f\xfd", 4), EINVAL, "");
	refused(bytes_of("PK\3\4", 4), EINVAL, "50 4b 03 04");
	refused(bytes_of(zeros, sizeof(zeros)), EINVAL, "the archive is empty");
	refused(bytes_of(zeros, 100), EINVAL, "not a tar archive");
	struct buf b = ARCHIVE({ "f", .data = "x" });
	b.data[150] ^= 1; /* the checksum */
	refused(b, EINVAL, "not a tar archive");
	b = ARCHIVE({ "f", .data = "x" }, { "g", .data = "x" });
	b.data[2 * BLOCK + 150] ^= 1;
	refused(b, EINVAL, "damaged");
}

static void refuses_what_is_cut_off(void **state)
{
	static char data[2000];
	memset(data, 'd', sizeof(data) - 1);
	struct buf b = ARCHIVE({ "f", .data = data });
	b.len = 3 * BLOCK;
	refused(b, EINVAL, "ends early in 'f'");
	static const int filters[] = { ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD };
	for (size_t i = 0; i < ELEMENTS(filters); i++) {
		b = compressed(ARCHIVE({ "f", .data = data }, { "g", .data = data }), filters[i]);
		b.len /= 2;
		refused(b, EINVAL, "ends early");
	}
}

/* Header bombs: records and long names that only take memory. */
static void large_headers_are_bounded(void **state)
{
	size_t n = 8 * 1024 * 1024;
	_cleanup_free_ char *value = malloc(n + 1);
	assert_non_null(value);
	memset(value, 'v', n);
	value[n] = '\0';
	struct buf b = BUF_INIT(64 * 1024 * 1024);
	put_pax(&b, "comment", value);
	put(&b, &(struct entry){ .name = "f", .data = "x" });
	put_end(&b);
	refused(b, EINVAL, "damaged");
	b = BUF_INIT(64 * 1024 * 1024);
	put(&b, &(struct entry){ .name = "././@LongLink", .type = 'L', .data = value });
	put(&b, &(struct entry){ .name = "f", .data = "x" });
	put_end(&b);
	refused(b, EINVAL, "damaged");
}

/* ---- the Dockerfile ---- */

static void find(const char *given, int code, const char *says)
{
	struct error e = { 0 };
	const char *name = NULL;
	assert_int_equal(context_find_dockerfile(dirfd_, given, &name, &e), -code);
	assert_string_equal(code ? e.message : name, says);
}

static int truncate_in_context(const char *name, off_t size)
{
	_cleanup_close_ int fd = openat(dirfd_, name, O_WRONLY | O_CLOEXEC);
	return ftruncate(fd, size);
}

static void the_dockerfile_is_found(void **state)
{
	find(NULL, ENOENT,
	     "the context has neither Dockerfile nor Containerfile at its root; name it by "
	     "`dockerfile`");
	succeeds(ARCHIVE({ "Containerfile", .data = "x" }, { "docker/app", .data = "x" },
			 { "link", '2', "/docker/app" }, { "out", '2', "/etc/passwd" },
			 { "up", '2', "../../../../etc/passwd" }, { "dir/", '5' }));
	find(NULL, 0, "Containerfile");
	succeeds(ARCHIVE({ "Dockerfile", .data = "x" }));
	find(NULL, 0, "Dockerfile");
	find("docker/app", 0, "docker/app");
	find("link", 0, "link"); /* as if the context were the root */
	find("out", ENOENT,
	     "the context has no 'out'; `dockerfile` is relative to the context's root");
	find("up", ENOENT,
	     "the context has no 'up'; `dockerfile` is relative to the context's root");
	find("dir", EINVAL, "'dir' in the context is not a file");
	find("Dockerfile/x", ENOENT,
	     "the context has no 'Dockerfile/x'; `dockerfile` is relative to the context's root");
}

static void its_size_is_bounded(void **state)
{
	succeeds(ARCHIVE({ "Dockerfile", .data = "FROM scratch" }));
	assert_int_equal(truncate_in_context("Dockerfile", LIMIT_DOCKERFILE_BYTES), 0);
	find(NULL, 0, "Dockerfile");
	assert_int_equal(truncate_in_context("Dockerfile", LIMIT_DOCKERFILE_BYTES + 1), 0);
	find(NULL, EFBIG, "'Dockerfile' is larger than 1048576 bytes");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(takes_files_folders_and_links),
		T(links_may_point_anywhere_but_are_not_followed),
		T(a_folder_entry_does_not_follow_a_link),
		T(a_later_entry_replaces_an_earlier_one),
		T(names_may_hold_any_byte),
		T(bits_of_folders_are_dropped),
		T(refuses_what_leaves_the_folder),
		T(refuses_hard_links_out),
		T(a_hard_link_to_itself_is_nothing),
		T(refuses_what_is_no_file),
		T(refuses_set_id_programs),
		T(long_names_are_refused),
		T(headers_before_an_entry_are_bounded),
		T(depth_is_bounded),
		T(entries_are_bounded),
		T(folders_on_the_way_are_entries),
		T(bytes_are_bounded),
		T(one_file_is_bounded),
		T(holes_count_as_bytes),
		T(takes_gzip_and_zstd),
		T(a_small_body_that_unpacks_large_is_bounded),
		T(refuses_what_is_no_archive),
		T(refuses_what_is_cut_off),
		T(large_headers_are_bounded),
		T(the_dockerfile_is_found),
		T(its_size_is_bounded),
	};
	setlocale(LC_CTYPE, "C.UTF-8"); /* as postern-builder does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
