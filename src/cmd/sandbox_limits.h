/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `postern sandbox` that limit it, as figures. Included by src/cmd/sandbox*.c alone. */
#ifndef POSTERN_CMD_SANDBOX_LIMITS_H
#define POSTERN_CMD_SANDBOX_LIMITS_H
#include <stdint.h>

#define SANDBOX_LIMIT_TEXT 160

/* What TEXT says for --memory (option 'm', bytes), --processes ('n'), --files ('f') or --time ('t', seconds). 0; or
 * -EINVAL and, in why, what it takes. */
int sandbox_limit_parse(int option, const char *text, uint64_t *ret, char why[SANDBOX_LIMIT_TEXT]);
#endif
