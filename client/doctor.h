/* hawserctl doctor: looks at all that stands between here and a shell on a host, and says first
 * what is wrong. It runs in hawserctl itself, so that what hangs hangs nobody else. */
#ifndef HAWSER_CLIENT_DOCTOR_H
#define HAWSER_CLIENT_DOCTOR_H

#include <stdbool.h>

/* Is this command line one of doctor's ("hawserctl [--json] doctor ...")? */
bool doctor_is_asked(int argc, char **argv);
/* Looks and prints; returns the exit status: 0 all is well, 1 something is not, 2 wrong usage. */
int doctor_run(int argc, char **argv);

#endif
