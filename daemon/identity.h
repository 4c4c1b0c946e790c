/* Identity files: public parts, private keys, and what ssh says about the file around them.
 * Blocking file I/O and bcrypt (0.2 s): worker thread only. */
#ifndef HAWSER_DAEMON_IDENTITY_H
#define HAWSER_DAEMON_IDENTITY_H

#include <libssh/libssh.h>
#include "daemon/keyblob.h"

enum identity_state {
	IDENTITY_OK,
	IDENTITY_MISSING,
	IDENTITY_UNREADABLE, /* why: the system's words */
	IDENTITY_TOO_OPEN,   /* others may read it: ssh ignores such a key, and so do we */
	IDENTITY_ENCRYPTED,  /* needs a passphrase, or the one given is wrong */
	IDENTITY_UNUSABLE,   /* libssh cannot make a key of it */
};

/* The public key that belongs to path (from path itself where its format shows it, else from
 * path.pub), or NULL. ssh_key_free(). */
ssh_key identity_load_public(const char *path);
/* The private key. passphrase: NULL to try without. *key is set for IDENTITY_OK (ssh_key_free);
 * why gets a phrase otherwise. */
enum identity_state identity_load_private(const char *path, const char *passphrase, ssh_key *key,
					  char *why, size_t why_size);
/* The certificate at path, whosever key it is for, or NULL. ssh_key_free(). */
ssh_key identity_load_cert(const char *path);
/* The file's text, at most 256 KiB, or NULL; may be a secret: free_secret_str(). */
char *identity_read(const char *path);

#endif
