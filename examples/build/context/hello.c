/* SPDX-License-Identifier: Apache-2.0 */
/* What the demo's image is for. */
#include <stdio.h>

int main(void)
{
	puts("Hello from a program that was compiled on the other side of the gate.");
	return 0;
}
