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
	cause_said(why, true, text);
}

/* libssh's names of what is agreed on, ssh's, and the setting. */
static const struct algorithm_kind {
	const char *libssh, *name, *setting;
} kinds[] = {
	{"kex algos", "key exchange method", "KexAlgorithms"},
	{"server host key algo", "host key type", "HostKeyAlgorithms"},
	{"encryption", "cipher", "Ciphers"},
	{"mac algo", "MAC", "MACs"},
	{"compression", "compression method", "Compression"},
};

/* The text between the first '[' and its ']' from *at on, on the heap; *at moves behind it. */
static char *take_list(const char **at)
{
	const char *begin = strchr(*at, '['), *end = begin != NULL ? strchr(begin, ']') : NULL;

	if (end == NULL)
		return xstrdup("?");
	*at = end;
	return xasprintf("%.*s", (int)(end - begin - 1), begin + 1);
}

/* "kex error : no match for method server host key algo: server [ssh-rsa], client [...]" */
void login_no_common_algorithm(struct login *l, const char *error)
{
	static const struct algorithm_kind any = {"", "algorithm", "KexAlgorithms, Ciphers, MACs"};
	struct cause *why = &l->result.why;
	const struct algorithm_kind *kind = &any;
	const char *at = error;
	char *theirs, *ours;

	for (size_t i = 0; i < HW_ARRAY_LEN(kinds); i++)
		if (strstr(error, kinds[i].libssh) != NULL)
			kind = &kinds[i];
	theirs = take_list(&at);
	ours = take_list(&at);
	/* ssh's words, which people look for. */
	cause_set(why, CAUSE_NO_COMMON_ALGORITHM,
		  "%s: Unable to negotiate: no matching %s found. Their offer: %s. Ours: %s",
		  l->where, kind->name, theirs, ours);
	cause_hint(
		why,
		"%s +NAME in ssh_config allows one of them for this host where libssh %s has it; "
		"else the real ssh may",
		kind->setting, ssh_version(0));
	l->result.handover = true;
	free(theirs);
	free(ours);
}

/* PAM's reason for closing an account comes as a banner just before the end. */
static void said_in_banner(struct login *l, const char *error)
{
	char *banner = ssh_get_issue_banner(l->session);

	cause_said(&l->result.why, banner != NULL, banner != NULL ? banner : error);
	if (banner != NULL)
		ssh_string_free_char(banner);
}

bool login_path_died(const char *error)
{
	return strstr(error, "timed out") != NULL || strstr(error, "No route to host") != NULL ||
	       strstr(error, "unreachable") != NULL;
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
		cause_said(why, false, error);
	} else if (login_path_died(error)) {
		cause_set(why, CAUSE_PATH_DEAD,
			  "%s: the path to the server died during %s: nothing that was sent was "
			  "answered",
			  l->where, l->phase);
		cause_hint(why,
			   "check the network between here and there, and that the host is up");
		cause_said(why, false, error);
	} else if (strstr(error, "Socket error") != NULL) {
		cause_set(why, CAUSE_SERVER_CLOSED,
			  "%s: the server closed the connection during %s", l->where, l->phase);
		cause_hint(why, "%s",
			   strcmp(l->phase, "authentication") == 0
				   ? "its log knows why; likely causes are an account "
				     "that may not log in (PAM, AllowUsers, nologin), "
				     "or an sshd that was stopped"
				   : "its log knows why; likely causes are MaxStartups, "
				     "or an sshd that was stopped");
		said_in_banner(l, error);
	} else {
		cause_set(why, strcmp(l->phase, "key exchange") == 0 ? CAUSE_KEX : CAUSE_PROTOCOL,
			  "%s: %s failed: %s", l->where, l->phase,
			  error[0] != '\0' ? error : "libssh gives no reason");
		cause_said(why, false, error);
	}
	free(error);
}
