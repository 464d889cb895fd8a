/* SPDX-License-Identifier: Apache-2.0 */
/* What a child must not inherit is closed by close_range(), gaps and all. */
#include "kernel.h"

int main(void)
{
	HOLDS(dup2(1, 10) == 10 && dup2(1, 12) == 12 && dup2(1, 900) == 900);
	HOLDS(close_range(11, 800, 0) == 0);
	HOLDS(fcntl(10, F_GETFD) >= 0 && fcntl(900, F_GETFD) >= 0);
	REFUSED(fcntl(12, F_GETFD), EBADF);
	HOLDS(close_range(3, ~0u, 0) == 0);
	REFUSED(fcntl(10, F_GETFD), EBADF);
	REFUSED(fcntl(900, F_GETFD), EBADF);
	HOLDS(fcntl(1, F_GETFD) >= 0);
	return holds("close_range closes its range and nothing else");
}
