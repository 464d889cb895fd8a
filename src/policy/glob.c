/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a pattern into a small program and runs it as a set of states (Thompson), so that no
 * pattern makes a text slow. What every match begins with is kept apart and compared first.
 */
#include "policy/glob.h"

#include "base/cleanup.h"
#include "base/limit.h"

#include <errno.h>

/* At most: a pattern byte gives two operations, a `**` four, each brace two more. */
#define OPS_MAX	   (GLOB_PATTERN_MAX * 3)
#define RANGES_MAX GLOB_PATTERN_MAX
#define NO_OP	   UINT16_MAX

enum op_kind {
	OP_CHAR,  /* this character */
	OP_ANY,	  /* one character, not the delimiter */
	OP_CLASS, /* one character of ranges, never the delimiter */
	OP_STAR,  /* any number of characters, not the delimiter */
	OP_SUPER, /* any number of any characters */
	OP_SPLIT, /* go on at the next operation and at `to` */
	OP_JUMP,  /* go on at `to` */
	OP_END,
};

struct op {
	uint8_t kind;
	bool negated;	   /* OP_CLASS */
	uint16_t to;	   /* OP_SPLIT, OP_JUMP */
	uint16_t first, n; /* OP_CLASS: ranges */
	uint32_t c;	   /* OP_CHAR */
};

struct range {
	uint32_t low, high;
};

struct glob {
	const char *prefix;
	size_t prefix_len;
	char delimiter;
	const struct op *ops; /* what follows the prefix */
	size_t n_ops;
	const struct range *ranges;
};

/* One level of braces while parsing. */
struct brace {
	uint16_t split; /* of the current alternative */
	uint16_t jumps; /* chain of the finished alternatives' last operations, by `to` */
};

struct parser {
	const char *at, *end;
	char delimiter;
	struct error *e;
	struct op ops[OPS_MAX];
	size_t n_ops;
	struct range ranges[RANGES_MAX];
	size_t n_ranges;
	struct brace braces[LIMIT_GLOB_BRACES];
	size_t depth;
	bool fresh;	   /* nothing yet in this alternative (or in the pattern) */
	bool after_slash;  /* the last thing was the delimiter */
	bool literal;	   /* nothing but characters so far: they are the prefix */
	size_t prefix_len; /* bytes */
	char prefix[GLOB_PATTERN_MAX];
};

/* A character and its length. Bytes that are not UTF-8 become numbers above all characters, so that
 * nothing is ever skipped. */
static uint32_t character(const char *s, size_t n, size_t *ret_len)
{
	unsigned char c = (unsigned char)s[0];
	*ret_len = 1;
	if (c < 0x80)
		return c;
	size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || len > n)
		return 0x110000u + c;
	uint32_t v = c & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		unsigned char next = (unsigned char)s[i];
		if ((next & 0xc0) != 0x80)
			return 0x110000u + c;
		v = v << 6 | (next & 0x3fu);
	}
	if ((len == 3 && v < 0x800) || (len == 4 && (v < 0x10000 || v > 0x10ffff)))
		return 0x110000u + c;
	*ret_len = len;
	return v;
}

static struct op *emit(struct parser *p, enum op_kind kind)
{
	struct op *op = &p->ops[p->n_ops++];
	*op = (struct op){ .kind = (uint8_t)kind };
	if (kind != OP_CHAR)
		p->literal = false;
	return op;
}

static void emit_char(struct parser *p, const char *bytes, size_t len, uint32_t c)
{
	emit(p, OP_CHAR)->c = c;
	if (p->literal) {
		memcpy(p->prefix + p->prefix_len, bytes, len);
		p->prefix_len += len;
	}
	p->fresh = false;
	p->after_slash = p->delimiter && c == (unsigned char)p->delimiter;
}

/* Stars that follow each other are one. */
static void emit_star(struct parser *p)
{
	if (p->fresh || !p->n_ops || p->ops[p->n_ops - 1].kind != OP_STAR)
		emit(p, OP_STAR);
	p->fresh = false;
	p->after_slash = false;
}

/* `**` and its slash at the beginning: nothing, a slash, or anything that ends in one. */
static void emit_leading(struct parser *p)
{
	size_t first = p->n_ops;
	emit(p, OP_SPLIT)->to = (uint16_t)(first + 3);
	emit(p, OP_CHAR)->c = (unsigned char)p->delimiter;
	emit(p, OP_JUMP)->to = (uint16_t)(first + 6);
	emit(p, OP_SPLIT)->to = (uint16_t)(first + 6);
	emit(p, OP_SUPER);
	emit(p, OP_CHAR)->c = (unsigned char)p->delimiter;
	p->fresh = false;
	p->after_slash = true;
}

/* `**` and a slash after a slash: nothing more, or anything that ends in a slash. */
static void emit_middle(struct parser *p)
{
	size_t first = p->n_ops;
	emit(p, OP_SPLIT)->to = (uint16_t)(first + 3);
	emit(p, OP_SUPER);
	emit(p, OP_CHAR)->c = (unsigned char)p->delimiter;
	p->after_slash = true;
}

/* At the second star of `**`. */
static void parse_double_star(struct parser *p)
{
	bool leading = p->fresh, whole = p->delimiter && (leading || p->after_slash);
	p->at++;
	bool at_end = p->at == p->end;
	bool at_slash = !at_end && *p->at == p->delimiter;
	bool closes = at_end || (p->depth && (*p->at == ',' || *p->at == '}'));
	if (whole && at_slash) {
		p->at++;
		if (leading)
			emit_leading(p);
		else
			emit_middle(p);
	} else if (whole && closes) {
		emit(p, OP_SUPER);
		p->fresh = false;
		p->after_slash = false;
	} else {
		emit_star(p);
	}
}

static int add_range(struct parser *p, uint32_t low, uint32_t high)
{
	p->ranges[p->n_ranges++] = (struct range){ low, high };
	return 0;
}

static int end_range(struct parser *p, uint32_t high)
{
	struct range *last = &p->ranges[p->n_ranges - 1];
	if (high < last->low)
		return error_set(p->e, EINVAL, "its range in [ ] runs backwards");
	last->high = high;
	return 0;
}

/* After the `[`. A `]` or `-` at the first place, and a `-` at the last, stand for themselves. */
static int parse_class(struct parser *p)
{
	struct op *op = emit(p, OP_CLASS);
	op->first = (uint16_t)p->n_ranges;
	if (p->at < p->end && (*p->at == '!' || *p->at == '^')) {
		op->negated = true;
		p->at++;
	}
	bool first = true, in_range = false;
	for (;; first = false) {
		if (p->at == p->end)
			return error_set(p->e, EINVAL, "its [ has no ]");
		size_t len = 0;
		uint32_t c = character(p->at, (size_t)(p->end - p->at), &len);
		p->at += len;
		if (c == ']' && !first)
			break;
		if (c == '-' && !first && !in_range) {
			in_range = true;
			continue;
		}
		int r = in_range ? end_range(p, c) : add_range(p, c, c);
		if (r < 0)
			return r;
		in_range = false;
	}
	if (in_range)
		add_range(p, '-', '-');
	op->n = (uint16_t)(p->n_ranges - op->first);
	p->fresh = false;
	p->after_slash = false;
	return 0;
}

static void begin_alternative(struct parser *p, struct brace *b)
{
	b->split = (uint16_t)p->n_ops;
	emit(p, OP_SPLIT);
	p->fresh = true;
	p->after_slash = false;
}

static int open_brace(struct parser *p)
{
	if (p->depth == LIMIT_GLOB_BRACES)
		return error_set(p->e, EINVAL, "its braces are nested too deeply (more than %d)",
				 LIMIT_GLOB_BRACES);
	struct brace *b = &p->braces[p->depth++];
	b->jumps = NO_OP;
	begin_alternative(p, b);
	return 0;
}

static int end_alternative(struct parser *p, struct brace *b)
{
	if (p->fresh)
		return error_set(p->e, EINVAL, "an alternative in { } is empty, so never matches");
	uint16_t here = (uint16_t)p->n_ops;
	emit(p, OP_JUMP)->to = b->jumps;
	b->jumps = here;
	return 0;
}

static int next_alternative(struct parser *p)
{
	struct brace *b = &p->braces[p->depth - 1];
	int r = end_alternative(p, b);
	if (r < 0)
		return r;
	p->ops[b->split].to = (uint16_t)p->n_ops;
	begin_alternative(p, b);
	return 0;
}

static int close_brace(struct parser *p)
{
	if (!p->depth)
		return error_set(p->e, EINVAL, "its } has no {; write \\} for the character");
	struct brace *b = &p->braces[p->depth - 1];
	int r = end_alternative(p, b);
	if (r < 0)
		return r;
	p->depth--;
	/* The last alternative has no other beside it. */
	p->ops[b->split].to = (uint16_t)(b->split + 1);
	for (uint16_t jump = b->jumps; jump != NO_OP;) {
		uint16_t before = p->ops[jump].to;
		p->ops[jump].to = (uint16_t)p->n_ops;
		jump = before;
	}
	p->fresh = false;
	p->after_slash = false;
	return 0;
}

static int parse_one(struct parser *p)
{
	size_t len = 0;
	const char *bytes = p->at;
	uint32_t c = character(p->at, (size_t)(p->end - p->at), &len);
	p->at += len;
	switch (c) {
	case '*':
		if (p->at < p->end && *p->at == '*')
			parse_double_star(p);
		else
			emit_star(p);
		return 0;
	case '?':
		emit(p, OP_ANY);
		p->fresh = p->after_slash = false;
		return 0;
	case '[':
		return parse_class(p);
	case '{':
		return open_brace(p);
	case '}':
		return close_brace(p);
	case ',':
		if (p->depth)
			return next_alternative(p);
		break;
	case '\\':
		if (p->at == p->end)
			return error_set(p->e, EINVAL, "its last \\ has nothing to escape");
		bytes = p->at;
		c = character(p->at, (size_t)(p->end - p->at), &len);
		p->at += len;
		break;
	default:
		break;
	}
	emit_char(p, bytes, len, c);
	return 0;
}

static int parse(struct parser *p)
{
	while (p->at < p->end) {
		/* No single step emits more than six. */
		if (p->n_ops + 8 > OPS_MAX || p->n_ranges + 2 > RANGES_MAX)
			return error_set(p->e, EINVAL, "it is too complicated");
		int r = parse_one(p);
		if (r < 0)
			return r;
	}
	if (p->depth)
		return error_set(p->e, EINVAL, "its { has no }");
	emit(p, OP_END);
	return 0;
}

/* The prefix's characters are the first operations, one each, and no jump leads among them. */
static size_t ops_of_prefix(const struct parser *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->prefix_len; n++) {
		size_t len = 0;
		character(p->prefix + i, p->prefix_len - i, &len);
		i += len;
	}
	return n;
}

static const struct glob *pack(const struct parser *p, struct arena *arena)
{
	size_t skip = ops_of_prefix(p), n = p->n_ops - skip;
	struct glob *g = arena_take(arena, sizeof(*g));
	struct op *ops = arena_take_array(arena, n, sizeof(*ops));
	struct range *ranges = arena_take_array(arena, p->n_ranges, sizeof(*ranges));
	const char *prefix = arena_copy(arena, p->prefix, p->prefix_len);
	if (!g || !ops || !ranges || !prefix)
		return NULL;
	memcpy(ops, p->ops + skip, n * sizeof(*ops));
	for (size_t i = 0; i < n; i++)
		if (ops[i].kind == OP_SPLIT || ops[i].kind == OP_JUMP)
			ops[i].to = (uint16_t)(ops[i].to - skip);
	if (p->n_ranges)
		memcpy(ranges, p->ranges, p->n_ranges * sizeof(*ranges));
	*g = (struct glob){
		.prefix = prefix,
		.prefix_len = p->prefix_len,
		.delimiter = p->delimiter,
		.ops = ops,
		.n_ops = n,
		.ranges = ranges,
	};
	return g;
}

int glob_compile(const char *pattern, char delimiter, struct arena *arena, const struct glob **ret,
		 struct error *e)
{
	size_t n = strlen(pattern);
	if (n > GLOB_PATTERN_MAX)
		return error_set(e, EINVAL, "it is longer than %d bytes", GLOB_PATTERN_MAX);
	_cleanup_free_ struct parser *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, ENOMEM, "out of memory");
	p->at = pattern;
	p->end = pattern + n;
	p->delimiter = delimiter;
	p->e = e;
	p->fresh = p->literal = true;
	int r = parse(p);
	if (r < 0)
		return r;
	const struct glob *g = pack(p, arena);
	if (!g)
		return error_set(e, ENOMEM, "out of memory");
	*ret = g;
	return 0;
}

struct states {
	uint16_t list[OPS_MAX];
	size_t n;
	uint64_t in[(OPS_MAX + 63) / 64];
};

static void clear_states(struct states *s, size_t n_ops)
{
	s->n = 0;
	memset(s->in, 0, (n_ops + 63) / 64 * sizeof(s->in[0]));
}

/* Add a state and those that follow it without a character. */
static void add_state(const struct glob *g, struct states *s, size_t at)
{
	for (;;) {
		uint64_t bit = 1ull << (at % 64);
		if (s->in[at / 64] & bit)
			return;
		s->in[at / 64] |= bit;
		const struct op *op = &g->ops[at];
		if (op->kind == OP_JUMP) {
			at = op->to;
			continue;
		}
		if (op->kind == OP_SPLIT) {
			add_state(g, s, op->to);
			at++;
			continue;
		}
		s->list[s->n++] = (uint16_t)at;
		if (op->kind != OP_STAR && op->kind != OP_SUPER)
			return;
		at++;
	}
}

static bool in_class(const struct glob *g, const struct op *op, uint32_t c)
{
	for (size_t i = op->first; i < (size_t)op->first + op->n; i++)
		if (c >= g->ranges[i].low && c <= g->ranges[i].high)
			return !op->negated;
	return op->negated;
}

static void step(const struct glob *g, const struct states *from, struct states *to, uint32_t c)
{
	bool special = g->delimiter && c == (unsigned char)g->delimiter;
	for (size_t i = 0; i < from->n; i++) {
		size_t at = from->list[i];
		const struct op *op = &g->ops[at];
		switch (op->kind) {
		case OP_CHAR:
			if (op->c == c)
				add_state(g, to, at + 1);
			break;
		case OP_ANY:
			if (!special)
				add_state(g, to, at + 1);
			break;
		case OP_CLASS:
			if (!special && in_class(g, op, c))
				add_state(g, to, at + 1);
			break;
		case OP_STAR:
			if (!special)
				add_state(g, to, at);
			break;
		case OP_SUPER:
			add_state(g, to, at);
			break;
		default:
			break;
		}
	}
}

static bool run(const struct glob *g, const char *s, size_t n)
{
	struct states a, b, *now = &a, *next = &b;
	clear_states(now, g->n_ops);
	add_state(g, now, 0);
	while (n && now->n) {
		size_t len = 0;
		uint32_t c = character(s, n, &len);
		clear_states(next, g->n_ops);
		step(g, now, next, c);
		s += len;
		n -= len;
		struct states *spare = now;
		now = next;
		next = spare;
	}
	size_t end = g->n_ops - 1;
	return !n && (now->in[end / 64] & 1ull << (end % 64));
}

bool glob_match(const struct glob *g, struct span text)
{
	size_t n = g->prefix_len;
	if (text.len < n || (n && memcmp(text.data, g->prefix, n) != 0))
		return false;
	const char *rest = text.data + n;
	size_t left = text.len - n;
	/* The usual ends, nothing, one star, two stars, without the machine. */
	if (g->n_ops == 1)
		return !left;
	if (g->n_ops == 2 && g->ops[0].kind == OP_SUPER)
		return true;
	if (g->n_ops == 2 && g->ops[0].kind == OP_STAR)
		return !left || !g->delimiter || !memchr(rest, g->delimiter, left);
	return run(g, rest, left);
}

struct span glob_prefix(const struct glob *g, bool *ret_whole)
{
	*ret_whole = g->n_ops == 1;
	return (struct span){ g->prefix, g->prefix_len };
}
