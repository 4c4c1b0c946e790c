/* Lists of revoked keys: OpenSSH's binary ones (PROTOCOL.krl) and plain texts of public keys. Pure.
 */
#ifndef HAWSER_DAEMON_KNOWNHOSTS_KRL_H
#define HAWSER_DAEMON_KNOWNHOSTS_KRL_H

#include "daemon/keyblob.h"

enum krl_verdict {
	KRL_CLEAR,
	KRL_REVOKED,
	KRL_BROKEN, /* of a form or version that is not known here: nothing can be said */
};

/* data: the whole file, NUL-terminated behind its len bytes. key: plain, no certificate; sections
 * that speak of certificates do not concern it. */
enum krl_verdict knownhosts_krl_check(const char *data, size_t len, const struct keyblob *key);

#endif
