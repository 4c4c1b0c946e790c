#include "daemon/login_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

#define DISCONNECT_PREFIX "Received SSH_MSG_DISCONNECT: "

/* RFC 4253, section 11.1; MaxAuthTries is told as PROTOCOL_ERROR with this text by OpenSSH. */
static void set_disconnect_cause(struct login *l, const char *words)
{
	struct cause *why = &l->result.why;
	const char *text = strchr(words, ':');

	text = text != NULL ? text + 1 : words;
	if (strstr(text, "Too many authentication failures") != NULL) {
		cause_set(why, CAUSE_AUTH_TOO_MANY,
			  "%s: the server ended the login: too many authentication failures",
			  l->where);
		cause_hint(why, "too many keys were offered before the right one: set IdentityFile "
				"and IdentitiesOnly yes for this host, or take keys out of the "
				"agent (ssh-add -d)");
		return;
	}
	cause_set(why, CAUSE_PROTOCOL, "%s: the server ended the connection during %s: \"%s\"",
		  l->where, l->phase, text);
}

void login_session_died(struct login *l)
{
	struct cause *why = &l->result.why;
	/* The next libssh call overwrites its error. */
	char *error = xstrdup(ssh_get_error(l->session));

	if (strncmp(error, DISCONNECT_PREFIX, strlen(DISCONNECT_PREFIX)) == 0) {
		set_disconnect_cause(l, error + strlen(DISCONNECT_PREFIX));
	} else if (strstr(error, "reset by peer") != NULL) {
		cause_set(why, CAUSE_RESET, "%s: the connection was reset during %s", l->where,
			  l->phase);
		cause_hint(why, "a firewall, or the server's process died: see the server's log");
	} else if (strstr(error, "Socket error") != NULL) {
		cause_set(why, CAUSE_SERVER_CLOSED,
			  "%s: the server closed the connection during %s", l->where, l->phase);
		cause_hint(why, "its log knows why; likely causes are LoginGraceTime, MaxStartups, "
				"or an sshd that was stopped");
	} else {
		cause_set(why, strcmp(l->phase, "key exchange") == 0 ? CAUSE_KEX : CAUSE_PROTOCOL,
			  "%s: %s failed: %s", l->where, l->phase,
			  error[0] != '\0' ? error : "libssh gives no reason");
	}
	free(error);
}
