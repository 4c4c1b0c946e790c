/* Host keys against known_hosts files, with sshd(8)'s rules ("SSH_KNOWN_HOSTS FILE FORMAT"): plain,
 * hashed and wildcard names, negation, [host]:port, @revoked, @cert-authority. libssh's own check
 * ignores revocation and negation, so it is not used. Blocking file I/O: call on a worker thread.
 * Thread-safe: no state. */
#ifndef HAWSER_DAEMON_KNOWNHOSTS_H
#define HAWSER_DAEMON_KNOWNHOSTS_H

#include "protocol/base.h"

enum knownhosts_state {
	KNOWNHOSTS_OK,	    /* listed with this key */
	KNOWNHOSTS_UNKNOWN, /* no line for this host and key type (or none at all) */
	KNOWNHOSTS_CHANGED, /* listed, with another key */
	KNOWNHOSTS_REVOKED, /* the key is marked @revoked for this host */
	KNOWNHOSTS_CA_ONLY, /* only @cert-authority lines match: libssh cannot verify those */
};

/* One line that matched the host. */
struct knownhosts_entry {
	char *file;
	unsigned line;
	char *key_type; /* "ssh-ed25519" */
	uint8_t *blob;	/* the public key, decoded */
	size_t blob_len;
	enum { KNOWNHOSTS_PLAIN, KNOWNHOSTS_MARK_CA, KNOWNHOSTS_MARK_REVOKED } marker;
	bool global;  /* from a GlobalKnownHostsFile */
	bool command; /* from KnownHostsCommand: no file to write to */
	bool no_port; /* a line for the plain name, where the port is not 22: it can say yes (or
			 revoked), but not that the key has changed */
};

struct knownhosts {
	struct knownhosts_entry *entries;
	size_t count;
	char *unreadable; /* NULL, or a sentence on a file that is there but can't be read */
};

/* Reads all lines that match name:port. name: lower-cased host name, or HostKeyAlias; with a port
 * other than 22 the name is [name]:port, and as in OpenSSH a plain line for name serves too when no
 * [name]:port line matches (an alias is used without port: pass 22). Missing files are no error;
 * lines that make no sense are skipped. Paths are borrowed NULL-terminated vectors. Files over 16
 * MiB: refused (unreadable). */
void knownhosts_load(struct knownhosts *kh, char *const *user_files, char *const *global_files,
		     const char *name, uint16_t port);
/* The same for a name that has its port already ("[h]:2222"), and that name only. */
void knownhosts_load_exact(struct knownhosts *kh, char *const *user_files,
			   char *const *global_files, const char *name);
/* Adds the lines of text (borrowed) that match such a name; label stands for the file's name. */
void knownhosts_load_text(struct knownhosts *kh, const char *text, const char *label,
			  const char *name);
/* Takes the @cert-authority lines out. */
void knownhosts_drop_authorities(struct knownhosts *kh);
void knownhosts_finish(struct knownhosts *kh);

/* The verdict on a key. *match (may be NULL) is set to the entry that decided: the matching line
 * for OK, the revoking one, or the first line with another key for CHANGED; borrowed. A key of a
 * type that is not listed while other types are listed is CHANGED, as for OpenSSH; the match is
 * then a line with the same type if there is one. Where a @cert-authority line matches, a key that
 * is not listed is CA_ONLY: ssh might have been shown a certificate. */
enum knownhosts_state knownhosts_check(const struct knownhosts *kh, const char *key_type,
				       const uint8_t *blob, size_t blob_len,
				       const struct knownhosts_entry **match);

/* The host key algorithms (libssh names, comma separated, on the heap) in `offered` order but with
 * those whose key type is listed in kh first, as OpenSSH orders them. ssh-rsa keys stand for
 * rsa-sha2-512 and rsa-sha2-256. */
char *knownhosts_order_algorithms(const struct knownhosts *kh, const char *offered);

/* false: it would be read back as something else than it is. */
bool knownhosts_writable_name(const char *name);
/* Appends a line to file (made 0600 in a directory made 0700 if missing) in one write; hashed as
 * HashKnownHosts does (|1|salt|hash) when asked. also: NULL, or an address as known_hosts spells
 * it ("[10.0.0.5]:2222") that stands beside the name; hashed, on a line of its own. why gets a
 * sentence on failure: HW_ESYS, or HW_EINVAL for a name that would be read back as something else.
 */
int knownhosts_append(const char *file, const char *name, const char *also, uint16_t port,
		      bool hashed, const char *key_type, const uint8_t *blob, size_t blob_len,
		      char *why, size_t why_size) HW_NODISCARD;

/* "SHA256:base64" as ssh-keygen -l prints it; hash "MD5" gives "MD5:aa:bb:..". On the heap. */
char *knownhosts_fingerprint(const char *hash, const uint8_t *blob, size_t blob_len);

#endif
