/* A private key as the agent's protocol and OpenSSH's key files spell it: its type, then its
 * numbers. libssh keeps those to itself; its export and the file have them. Blocking file I/O:
 * worker thread only. */
#ifndef HAWSER_DAEMON_IDENTITY_WIRE_H
#define HAWSER_DAEMON_IDENTITY_WIRE_H

#include <libssh/libssh.h>
#include "daemon/keyblob.h"

struct identity_wire {
	struct keyblob key; /* secret */
	char *comment;	    /* the key's own, else the file's name */
};

/* key: what was made of the file at path. false: there is no way to its numbers (an RSA key in
 * OpenSSH's encrypted format, with libssh 0.10 over OpenSSL 3). */
bool identity_wire_get(const char *path, ssh_key key, struct identity_wire *out);
void identity_wire_finish(struct identity_wire *w); /* wipes */
/* Would identity_wire_get() fail once this file is decrypted? pub: its public half. */
bool identity_wire_hopeless(const char *path, ssh_key pub);

#endif
