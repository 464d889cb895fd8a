/* SPDX-License-Identifier: Apache-2.0 */
/* Reads index and manifest of an OCI archive. */
#include "worker/image.h"
#include "base/cleanup.h"
#include "base/limit.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <unistd.h>

static void free_archive(struct archive **a)
{
	if (*a)
		archive_read_free(*a);
}

static void cleanup_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/* The JSON document with that name in the archive. */
static int read_document(int fd, const char *name, json_t **ret, struct error *e)
{
	_cleanup_(free_archive) struct archive *a = archive_read_new();
	if (!a || lseek(fd, 0, SEEK_SET) < 0 || archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_fd(a, fd, 64 * 1024) != ARCHIVE_OK)
		return error_set(e, EIO, "the image archive cannot be read");
	struct archive_entry *entry;
	while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		const char *path = archive_entry_pathname(entry);
		if (!path || strcmp(path, name) != 0)
			continue;
		la_int64_t size = archive_entry_size(entry);
		if (size < 0 || size > LIMIT_IMAGE_DOCUMENT_BYTES)
			break;
		_cleanup_free_ char *text = malloc((size_t)size + 1);
		if (!text || archive_read_data(a, text, (size_t)size) != size)
			break;
		*ret = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
		return *ret ? 0 : error_set(e, EINVAL, "%s of the image is not JSON", name);
	}
	return error_set(e, ENOENT, "the image archive has no readable %s", name);
}

static int take_digest(const json_t *descriptor, char ret[DIGEST_SIZE], struct error *e)
{
	const char *s = json_string_value(json_object_get(descriptor, "digest"));
	if (!s || strncmp(s, "sha256:", 7) != 0 || strlen(s) != 71 ||
	    strspn(s + 7, "0123456789abcdef") != 64)
		return error_set(e, EINVAL, "a digest of the image is malformed");
	snprintf(ret, DIGEST_SIZE, "%s", s);
	return 0;
}

static uint64_t size_of(const json_t *descriptor)
{
	json_int_t n = json_integer_value(json_object_get(descriptor, "size"));
	return n > 0 ? (uint64_t)n : 0;
}

int image_describe(int fd, struct image_facts *ret, struct error *e)
{
	struct image_facts facts = { 0 };
	_cleanup_json_ json_t *index = NULL;
	_cleanup_json_ json_t *manifest = NULL;
	int r = read_document(fd, "index.json", &index, e);
	if (r < 0)
		return r;
	r = take_digest(json_array_get(json_object_get(index, "manifests"), 0), facts.digest, e);
	if (r < 0)
		return r;
	char name[DIGEST_SIZE + 32];
	snprintf(name, sizeof(name), "blobs/sha256/%s", facts.digest + 7);
	r = read_document(fd, name, &manifest, e);
	if (r < 0)
		return r;
	const json_t *config = json_object_get(manifest, "config");
	r = take_digest(config, facts.id, e);
	if (r < 0)
		return r;
	facts.size = size_of(config);
	const json_t *layers = json_object_get(manifest, "layers");
	facts.layers = json_array_size(layers);
	for (size_t i = 0; i < facts.layers; i++)
		facts.size += size_of(json_array_get(layers, i));
	*ret = facts;
	return 0;
}

int image_copied_file(int fd, int to, struct error *e)
{
	_cleanup_(free_archive) struct archive *a = archive_read_new();
	struct archive_entry *entry;
	if (!a || lseek(fd, 0, SEEK_SET) < 0 || archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_fd(a, fd, 64 * 1024) != ARCHIVE_OK ||
	    archive_read_next_header(a, &entry) != ARCHIVE_OK)
		return error_set(e, EIO, "what was copied out of the image cannot be read");
	if (archive_entry_filetype(entry) != AE_IFREG)
		return error_set(e, EISDIR, "not a file");
	return archive_read_data_into_fd(a, to) == ARCHIVE_OK
		       ? 0
		       : error_set(e, EIO, "the output cannot be kept: %s",
				   archive_error_string(a));
}
