/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of messages between processes: round trips, and everything a receiver must refuse. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { T_NONE, T_MIX, T_FD, T_COUNT };
static const struct msg_type types[] = {
	{ T_NONE, NULL, 0, "", 0, 0, 0 },
	{ T_MIX, "mix", 1, "usb", 16, 0, 0 },
	{ T_FD, "fd", 2, "", 0, 1, 2 },
};
static const struct msg_table table = { types, T_COUNT };
static struct msg m, got;
static int pair[2];

static int setup(void **state)
{
	return fd_seqpacket_pair(pair);
}

static int teardown(void **state)
{
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static void send_mix(const char *text, const void *bytes, size_t n)
{
	msg_begin(&m, &table, T_MIX, 7);
	msg_put_u(&m, 42);
	msg_put_s(&m, text);
	msg_put_b(&m, bytes, n);
	assert_int_equal(msg_send(pair[0], &m), 0);
}

static void round_trip(void **state)
{
	send_mix("text", "a\0b", 3);
	assert_int_equal(msg_recv(pair[1], &table, 1, &got), 0);
	assert_int_equal(got.type->type, T_MIX);
	assert_int_equal(got.seq, 7);
	assert_int_equal(got.field[0].number, 42);
	assert_string_equal(got.field[1].text, "text");
	assert_int_equal(got.field[2].len, 3);
	assert_memory_equal(got.field[2].text, "a\0b", 3);
}

static void wrong_sender_is_refused(void **state)
{
	send_mix("text", "", 0);
	assert_int_equal(msg_recv(pair[1], &table, 2, &got), -EPROTO);
}

static void texts_over_the_limit_are_refused(void **state)
{
	send_mix("12345678", "12345678", 8);
	assert_int_equal(msg_recv(pair[1], &table, 1, &got), 0);
	send_mix("12345678", "123456789", 9);
	assert_int_equal(msg_recv(pair[1], &table, 1, &got), -EPROTO);
}

static void descriptors_arrive_and_excess_is_refused(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	msg_begin(&m, &table, T_FD, 0);
	msg_put_fd(&m, null);
	assert_int_equal(msg_send(pair[0], &m), 0);
	assert_int_equal(msg_recv(pair[1], &table, 2, &got), 0);
	assert_int_equal(got.n_fds, 1);
	assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
	int fd = got.fds[0];
	msg_done(&got);
	assert_int_equal(fcntl(fd, F_GETFD), -1);

	/* Three where two may come: by hand, since msg_put_fd() would assert. */
	struct msg_type loose_types[T_COUNT];
	memcpy(loose_types, types, sizeof(types));
	loose_types[T_FD].fds_max = 3;
	const struct msg_table loose = { loose_types, T_COUNT };
	msg_begin(&m, &loose, T_FD, 0);
	for (int i = 0; i < 3; i++)
		msg_put_fd(&m, null);
	assert_int_equal(msg_send(pair[0], &m), 0);
	assert_int_equal(msg_recv(pair[1], &table, 2, &got), -EPROTO);
	assert_int_equal(got.n_fds, 0);
}

/* Every byte of a good message, changed to every interesting value, gives a message or -EPROTO and
 * never more. */
static void mutations_never_read_past_the_message(void **state)
{
	send_mix("ab", "cd", 2);
	char wire[MSG_SIZE_MAX];
	ssize_t n = recv(pair[1], wire, sizeof(wire), 0);
	assert_true(n > 16);
	static const unsigned char values[] = { 0, 1, 2, 0x7f, 0x80, 0xff };
	unsigned refused = 0;
	for (ssize_t at = 0; at < n; at++) {
		for (size_t v = 0; v < ELEMENTS(values); v++) {
			char copy[256];
			memcpy(copy, wire, (size_t)n);
			copy[at] = (char)values[v];
			assert_int_equal(send(pair[0], copy, (size_t)n, 0), n);
			int r = msg_recv(pair[1], &table, 1, &got);
			assert_true(r == 0 || r == -EPROTO);
			refused += r != 0;
			if (r == 0) {
				assert_true(got.field[1].text + got.field[1].len < got.bytes + n);
				assert_true(got.field[2].text + got.field[2].len < got.bytes + n);
			}
		}
	}
	assert_true(refused > 50);
	for (ssize_t cut = 1; cut < n; cut++) {
		assert_int_equal(send(pair[0], wire, (size_t)cut, 0), cut);
		assert_int_equal(msg_recv(pair[1], &table, 1, &got), -EPROTO);
	}
}

static void end_of_stream_is_reset(void **state)
{
	close(pair[0]);
	pair[0] = -1;
	assert_int_equal(msg_recv(pair[1], &table, 1, &got), -ECONNRESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_sender_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(texts_over_the_limit_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(descriptors_arrive_and_excess_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(mutations_never_read_past_the_message, setup,
						teardown),
		cmocka_unit_test_setup_teardown(end_of_stream_is_reset, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
