/* Public keys as the bytes that go over the wire (RFC 4253, section 6.6), which known_hosts, agents
 * and fingerprints speak, and libssh's key objects. */
#ifndef HAWSER_DAEMON_KEYBLOB_H
#define HAWSER_DAEMON_KEYBLOB_H

#include <libssh/libssh.h>
#include "protocol/base.h"

struct keyblob {
	uint8_t *data; /* on the heap; NULL = none */
	size_t len;
};

/* false: libssh cannot export the key. */
bool keyblob_from_key(ssh_key key, struct keyblob *out);
/* Can libssh make a key object of it? */
bool keyblob_known(const struct keyblob *b);
void keyblob_finish(struct keyblob *b);
bool keyblob_equal(const struct keyblob *a, const struct keyblob *b);
/* The same key, though one of the two may be a certificate for it (PROTOCOL.certkeys). */
bool keyblob_same_key(const struct keyblob *a, const struct keyblob *b);
/* Is it a certificate? */
bool keyblob_is_cert(const struct keyblob *b);
/* The plain key of a certificate into out (keyblob_finish()); false: not a certificate, or of a
 * type that is not known here. */
bool keyblob_plain(const struct keyblob *cert, struct keyblob *out);
/* A certificate's key id, cut to fit, as it stands there (a peer's bytes), and the moment from
 * which it counts no more: Unix time, UINT64_MAX for never. false: not a certificate, or not one
 * that is known here. */
bool keyblob_cert_end(const struct keyblob *cert, uint64_t *valid_before, char *id, size_t id_size);
/* The type's name, "ssh-ed25519", into out; "unknown" when the bytes make no sense. */
void keyblob_type(const struct keyblob *b, char *out, size_t size);
/* The key's size as ssh-keygen -l prints it; 0 = not known. */
unsigned keyblob_bits(const struct keyblob *b);
/* As OpenSSH's messages name it: "ED25519", "RSA", "ECDSA-SK". Static. */
const char *keyblob_short_type(const struct keyblob *b);
/* Base64 without line breaks, on the heap. */
char *keyblob_base64(const struct keyblob *b);

#endif
