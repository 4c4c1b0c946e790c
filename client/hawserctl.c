/* hawserctl: what hawserd holds, and what to do with it. */
#include <stdio.h>
#include <unistd.h>
#include "client/ctl.h"
#include "client/doctor.h"

int main(int argc, char **argv)
{
	struct ctl c;

	if (doctor_is_asked(argc, argv))
		return doctor_run(argc, argv);
	if (!ctl_parse(&c, argc, argv))
		return CTL_EXIT_USAGE;
	if (c.help) {
		ctl_usage(STDOUT_FILENO);
		return 0;
	}
	if (c.version) {
		puts("hawserctl " HAWSER_VERSION);
		return 0;
	}
	return ctl_run(&c);
}
