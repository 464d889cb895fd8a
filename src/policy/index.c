/* SPDX-License-Identifier: Apache-2.0 */
/* Orders a loaded policy so that neither the number of endpoints nor of rules matters. */
#include "policy/model.h"

#include "base/cleanup.h"

#include <errno.h>

static uint64_t hash_span(struct span s)
{
	uint64_t h = HASH_START;
	for (size_t i = 0; i < s.len; i++)
		h = hash_byte(h, s.data[i]);
	return h;
}

static size_t table_size(size_t n)
{
	size_t size = 8;
	while (size < n * 2)
		size *= 2;
	return size;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static struct rule_slot *find_rule_slot(const struct rule_set *set, uint64_t hash, uint32_t length)
{
	size_t i = hash & (set->n_slots - 1);
	while (set->slots[i].first &&
	       (set->slots[i].hash != hash || set->slots[i].length != length))
		i = (i + 1) & (set->n_slots - 1);
	return &set->slots[i];
}

uint32_t index_rule(const struct rule_set *set, uint64_t hash, uint32_t length)
{
	return find_rule_slot(set, hash, length)->first;
}

int index_rules(struct arena *arena, struct rule_set *set)
{
	if (!set->n)
		return 0;
	set->n_slots = table_size(set->n);
	set->slots = arena_take_array(arena, set->n_slots, sizeof(*set->slots));
	uint32_t *lengths = arena_take_array(arena, set->n, sizeof(*lengths));
	if (!set->slots || !lengths)
		return -ENOMEM;
	/* From the last, so that the chains are in the order of the file. */
	for (size_t i = set->n; i-- > 0;) {
		bool whole = false;
		struct span prefix = glob_prefix(set->rules[i].path, &whole);
		uint64_t hash = hash_span(prefix);
		struct rule_slot *slot = find_rule_slot(set, hash, (uint32_t)prefix.len);
		set->rules[i].next = slot->first;
		*slot = (struct rule_slot){
			.hash = hash,
			.length = (uint32_t)prefix.len,
			.first = (uint32_t)i + 1,
		};
		lengths[i] = (uint32_t)prefix.len;
	}
	qsort(lengths, set->n, sizeof(*lengths), by_number);
	set->n_lengths = 1;
	for (size_t i = 1; i < set->n; i++)
		if (lengths[i] != lengths[set->n_lengths - 1])
			lengths[set->n_lengths++] = lengths[i];
	set->lengths = lengths;
	return 0;
}

/* One port of one endpoint, while building. */
struct place {
	const char *host;
	uint16_t port;
	uint32_t endpoint;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int r = strcmp(x->host, y->host);
	if (r)
		return r;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
}

static bool same_place(const struct place *x, const struct place *y)
{
	return x->port == y->port && !strcmp(x->host, y->host);
}

static uint64_t hash_place(struct span host, uint16_t port)
{
	uint64_t h = hash_span(host);
	h = hash_byte(h, (char)(port & 0xff));
	return hash_byte(h, (char)(port >> 8));
}

static void add_slot(struct policy *p, const struct place *first, size_t at, size_t n)
{
	size_t i = hash_place(span_of(first->host), first->port) & (p->n_slots - 1);
	while (p->slots[i].host)
		i = (i + 1) & (p->n_slots - 1);
	p->slots[i] = (struct host_slot){
		.host = first->host,
		.port = first->port,
		.first = (uint32_t)at,
		.n = (uint32_t)n,
	};
}

static int order_exact(struct policy *p, struct place *places, size_t n)
{
	p->n_slots = table_size(n);
	p->slots = arena_take_array(&p->arena, p->n_slots, sizeof(*p->slots));
	p->exact = arena_take_array(&p->arena, n, sizeof(*p->exact));
	if (!p->slots || !p->exact)
		return -ENOMEM;
	qsort(places, n, sizeof(*places), by_place);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && same_place(&places[i], &places[end]); end++)
			p->exact[end] = places[end].endpoint;
		add_slot(p, &places[i], i, end - i);
	}
	return 0;
}

static int order_wild(struct policy *p, struct place *places, size_t n)
{
	p->wild = arena_take_array(&p->arena, n, sizeof(*p->wild));
	if (!p->wild)
		return -ENOMEM;
	qsort(places, n, sizeof(*places), by_place); /* their hosts are all "" here */
	for (size_t i = 0; i < n; i++)
		p->wild[i] = (struct port_endpoint){ places[i].port, places[i].endpoint };
	p->n_wild = n;
	return 0;
}

int index_build(struct policy *p)
{
	size_t total = 0, n_exact = 0, n_wild = 0;
	for (size_t i = 0; i < p->n_endpoints; i++)
		total += p->endpoints[i].n_ports;
	if (!total)
		return 0;
	_cleanup_free_ struct place *exact = calloc(total, sizeof(*exact));
	_cleanup_free_ struct place *wild = calloc(total, sizeof(*wild));
	if (!exact || !wild)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_endpoints; i++) {
		const struct endpoint *ep = &p->endpoints[i];
		for (size_t j = 0; j < ep->n_ports; j++) {
			struct place place = { ep->host, ep->ports[j], (uint32_t)i };
			if (ep->kind == HOST_EXACT) {
				exact[n_exact++] = place;
			} else {
				place.host = "";
				wild[n_wild++] = place;
			}
		}
	}
	int r = n_exact ? order_exact(p, exact, n_exact) : 0;
	return r < 0 || !n_wild ? r : order_wild(p, wild, n_wild);
}

size_t index_exact(const struct policy *p, struct span host, uint16_t port, const uint32_t **ret)
{
	if (!p->n_slots)
		return 0;
	size_t i = hash_place(host, port) & (p->n_slots - 1);
	for (; p->slots[i].host; i = (i + 1) & (p->n_slots - 1))
		if (p->slots[i].port == port && span_is(host, p->slots[i].host)) {
			*ret = p->exact + p->slots[i].first;
			return p->slots[i].n;
		}
	return 0;
}

size_t index_wild(const struct policy *p, uint16_t port, const struct port_endpoint **ret)
{
	size_t low = 0, high = p->n_wild;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (p->wild[middle].port < port)
			low = middle + 1;
		else
			high = middle;
	}
	size_t n = 0;
	while (low + n < p->n_wild && p->wild[low + n].port == port)
		n++;
	if (n)
		*ret = p->wild + low;
	return n;
}
