/* What hawser.conf says of single hosts: [host PATTERN ...] sections, first value wins, then
 * [daemon], as in ssh_config(5). */
#ifndef HAWSER_DAEMON_CONFIG_HOST_H
#define HAWSER_DAEMON_CONFIG_HOST_H

#include "daemon/config.h"

struct config_host {
	bool sticky;	      /* sticky = yes: shells survive their connection */
	bool keep;	      /* keep = yes: opened again by itself after a loss */
	unsigned reconnect_s; /* reconnect = 30: so long a request waits for a lost connection to
				 come back; 0: it fails at once */
	unsigned max_age_s; /* max-age = 0: a connection takes no new sessions after it; 0: never */
};

/* typed: the host as the user typed it (a user name, a port or ssh:// around it do not count);
 * hostname: HostName. Sections whose patterns match either, and negate neither, are taken in the
 * file's order, whatever the case of letters. */
void config_for_host(const struct config *c, const char *typed, const char *hostname,
		     struct config_host *out);

#endif
