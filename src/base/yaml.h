/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file as a tree in which every node knows its line and column, so that every configuration,
 * harness and policy error can name its place. Built on libyaml's events. Refused: aliases and
 * anchors, tags other than the core ones, several documents, duplicate keys, nesting deeper than
 * YAML_DEPTH_MAX, more than YAML_NODES_MAX nodes, files above YAML_FILE_MAX. Called at start-up by
 * commands and by proxy and dialer (for the policy); never on an agent's bytes.
 */
#ifndef POSTERN_YAML_H
#define POSTERN_YAML_H
#include "base/error.h"
#include "base/nearest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define YAML_FILE_MAX  (1024u * 1024) /* bytes */
#define YAML_DEPTH_MAX 32	      /* levels */
#define YAML_NODES_MAX 20000	      /* nodes */

enum yaml_kind { YAML_KIND_NULL, YAML_KIND_SCALAR, YAML_KIND_SEQUENCE, YAML_KIND_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	unsigned line, column; /* 1-based, of the node's first character */
	const char *key;       /* in a mapping: this entry's key; else NULL */
	unsigned key_line, key_column;
	const char
		*text; /* scalar: its NUL-terminated text; a scalar with a NUL in it is refused */
	bool quoted;   /* scalar written in quotes or as a block: a string whatever it looks like */
	struct yaml_node *child; /* first child of a sequence or mapping */
	struct yaml_node *next;	 /* next sibling */
	unsigned count;		 /* children */
};

struct yaml_document;

/* Parse; file is the name for errors. 0 and a document to free, or -errno with *e filled (file,
 * line, column). */
int yaml_parse(const char *bytes, size_t n, const char *file, struct yaml_document **ret,
	       struct error *e);
int yaml_parse_file(const char *path, struct yaml_document **ret, struct error *e);
const struct yaml_node *yaml_root(const struct yaml_document *d);
const char *yaml_file(const struct yaml_document *d);
/* (Not yaml_free: libyaml exports one of its own.) */
void yaml_document_free(struct yaml_document *d);

/* Child of a mapping by key; NULL when absent or not a mapping. */
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);
/* Typed reads: 0, or -EINVAL with *e naming the place and what is expected ("expected an integer
 * from 1 to 65535"). */
int yaml_read_string(const struct yaml_node *n, const char **ret,
		     struct error *e); /* any scalar that is not null */
int yaml_read_integer(const struct yaml_node *n, int64_t least, int64_t most, int64_t *ret,
		      struct error *e);
int yaml_read_bool(const struct yaml_node *n, bool *ret, struct error *e);
/* Check that every key of a mapping is one of known (NULL-terminated); else an error at the key
 * that names the nearest known key. */
int yaml_check_keys(const struct yaml_node *mapping, const char *const *known, struct error *e);
#endif
