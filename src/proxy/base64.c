/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 both ways. */
#include "proxy/base64.h"

#include <errno.h>
#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

int base64_decode(const char *text, size_t n, char *out, size_t size, size_t *ret_len)
{
	size_t len = 0;
	if (n % 4 != 0)
		return -EILSEQ;
	for (size_t i = 0; i < n; i += 4) {
		size_t padding = 0;
		uint32_t bits = 0;
		if (i + 4 == n)
			padding = text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
		for (size_t k = 0; k < 4; k++) {
			int d = k >= 4 - padding ? 0 : digit(text[i + k]);
			if (d < 0)
				return -EILSEQ;
			bits = bits << 6 | (uint32_t)d;
		}
		if (bits & ((1u << 8 * padding) - 1))
			return -EILSEQ;
		if (size - len < 3 - padding)
			return -ENOBUFS;
		for (size_t k = 0; k < 3 - padding; k++)
			out[len++] = (char)(bits >> (16 - 8 * k));
	}
	*ret_len = len;
	return 0;
}

int base64_encode(const char *bytes, size_t n, char *out, size_t size, size_t *ret_len)
{
	size_t len = 0;
	if (size / 4 < (n + 2) / 3)
		return -ENOBUFS;
	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t bits = 0;
		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < have ? (uint8_t)bytes[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			out[len++] = k <= have ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
	}
	*ret_len = len;
	return 0;
}
