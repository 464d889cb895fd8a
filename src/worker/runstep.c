/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-runstep: a static program that an engine is tried with: a RUN that needs no base image. It
 * prints a line and ends.
 */
#include <stdio.h>

int main(void)
{
	return puts("postern: a RUN step works") < 0;
}
