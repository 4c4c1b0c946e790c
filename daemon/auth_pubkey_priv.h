/* The keys of one login, shared by auth_pubkey.c (the order), auth_agent.c and auth_file.c. */
#ifndef HAWSER_DAEMON_AUTH_PUBKEY_PRIV_H
#define HAWSER_DAEMON_AUTH_PUBKEY_PRIV_H

#include "daemon/agent.h"
#include "daemon/auth.h"

/* Something to offer that is signed for with a private key file: the key itself, the certificate
 * beside it, or one of CertificateFile's. */
struct id_file {
	const char *path; /* the private key's; the destination's. NULL: no file has it */
	char *cert_path;  /* NULL: the plain key */
	ssh_key pub;	  /* the key or certificate; NULL: not known without the passphrase */
	struct keyblob blob;
	bool tried;
};

struct auth_keys {
	struct id_file *certs; /* CertificateFile, in order */
	size_t ncerts;
	struct id_file *files; /* identity files and the certificates beside them, in order */
	size_t nfiles;
	struct agent *agent; /* NULL: none, or not asked yet */
	bool agent_asked;
	bool *agent_tried; /* by agent_key_at() */
};

/* auth_pubkey.c */
char *auth_keys_sha256(const struct keyblob *b);
/* What made it, for the next login. */
void auth_keys_remember(struct auth *a, const struct keyblob *blob);
/* Does an identity file, or the certificate beside it, stand for this very key? */
bool auth_keys_names(const struct auth_keys *k, const struct keyblob *blob);
/* "ED25519 SHA256:... (what)" of a key or certificate, on the heap. */
char *auth_keys_describe(const struct keyblob *blob, const char *what);

/* auth_agent.c */
void auth_agent_open(struct auth *a, struct auth_keys *k);
/* Offers keys of the agent until one is taken or none is left. */
enum auth_outcome auth_agent_offer(struct auth *a, struct auth_keys *k,
				   const struct agent_offer *offers, size_t n);
/* The n first ones, then all that the configuration lets us offer, in OpenSSH's order. */
enum auth_outcome auth_agent_run(struct auth *a, struct auth_keys *k,
				 const struct agent_offer *first, size_t n);
/* The agent's key that signs for this certificate and may be used: its index, else HW_ENOENT. */
int auth_agent_signer(const struct auth *a, const struct auth_keys *k, const struct keyblob *cert,
		      size_t *key);

/* Before a key from a file signs: completes l->binding, where an agent is going to be forwarded, at
 * the cost of a probe. SSH_AUTH_DENIED: the server does not take the key at all; AUTH_CALL_ENDED;
 * else go on. */
int auth_agent_learn_session(struct auth *a, const struct keyblob *key);

/* auth_file.c */
enum auth_outcome auth_file_try(struct auth *a, struct id_file *f);
/* Without a question or a probe: the private key at hand signs at once. HW_ENOENT: it is not at
 * hand, and nothing was sent. */
int auth_file_try_blind(struct auth *a, struct id_file *f, enum auth_outcome *out);

#endif
