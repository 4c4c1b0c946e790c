/* What the files of the host key's judgement share. */
#ifndef HAWSER_DAEMON_TRUST_PRIV_H
#define HAWSER_DAEMON_TRUST_PRIV_H

#include "daemon/keyblob.h"
#include "daemon/trust.h"

/* The key that the server showed, and its names. */
struct shown_key {
	struct keyblob blob;
	char type[64];		/* "ssh-ed25519" */
	const char *short_type; /* "ED25519" */
	char *fingerprint;	/* "SHA256:..." */
	char *name;		/* as known_hosts has it: "h" or "[h]:2222" */
};

/* trust.c */
/* The name under which the host is known, lower case; its port goes to *port. On the heap. */
char *trust_known_name(const struct destination *d, uint16_t *port);
/* A yes/no question about the key; also its fingerprint is a yes when given. HW_OK: *yes is set.
 * Else the login is over. */
int trust_confirm(struct login *l, const char *intro, const char *question, const char *again,
		  const char *fingerprint, bool *yes) HW_NODISCARD;

/* trust_names.c: what ssh says about other names of the same key, lines with their ends; on the
 * heap. */
char *trust_other_names(const struct login *l, const struct shown_key *k);

/* trust_command.c: KnownHostsCommand, when there is one. reason: "ORDER", "HOSTNAME", "ADDRESS";
 * name is what is looked for (with its port), k NULL before the key is known. What it prints is
 * added to kh. HW_OK; HW_EPERM: it failed, and why is set. */
int trust_command_run(struct login *l, const char *reason, const char *name,
		      const struct shown_key *k, struct knownhosts *kh) HW_NODISCARD;

/* trust_revoked.c: RevokedHostKeys. HW_OK: not revoked. HW_EPERM: revoked, or the file cannot be
 * read, and why is set. */
int trust_revoked_check(struct login *l, const struct shown_key *k) HW_NODISCARD;

/* trust_address.c: CheckHostIP. */
/* Loopback? NULL or empty: no. */
bool trust_address_is_local(const char *address);
struct trust_address {
	bool on;
	char *name; /* "10.0.0.5" or "[10.0.0.5]:2222" */
	struct knownhosts known;
	enum knownhosts_state state;
	const struct knownhosts_entry *entry; /* or NULL */
};
int trust_address_load(struct login *l, const struct shown_key *k,
		       struct trust_address *t) HW_NODISCARD;
/* The host's name is known with this key (e): the address is written down, too. true: something
 * was said about it. */
bool trust_address_learn(struct login *l, const struct shown_key *k, const struct trust_address *t,
			 const struct knownhosts_entry *e);
/* After all else was well: the address may be known with another key. e: where the host's name was
 * found, or NULL. */
int trust_address_check(struct login *l, const struct shown_key *k, const struct trust_address *t,
			const struct knownhosts_entry *e) HW_NODISCARD;
void trust_address_finish(struct trust_address *t);

#endif
