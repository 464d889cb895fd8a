/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only in builds with AddressSanitizer: its options, compiled in because our programs start each other with an environment
 * made from nothing. A finding ends the process, so that a test sees it. Leaks are looked for in the unit tests only: LeakSanitizer attaches
 * with ptrace, which processes that gave up their rights do not allow. Limits of core files are left as they are set.
 */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "abort_on_error=1:detect_leaks=0:disable_coredump=0";
}

const char *__ubsan_default_options(void)
{
	return "halt_on_error=1:print_stacktrace=1:abort_on_error=1";
}
