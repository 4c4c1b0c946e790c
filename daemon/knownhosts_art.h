/* A key's picture ("The drunken bishop: An analysis of the OpenSSH fingerprint visualization
 * algorithm"), as VisualHostKey shows it. Pure. */
#ifndef HAWSER_DAEMON_KNOWNHOSTS_ART_H
#define HAWSER_DAEMON_KNOWNHOSTS_ART_H

#include "daemon/keyblob.h"

/* Eleven lines without the last one's end, of the fingerprint by hash ("SHA256" or "MD5"); on the
 * heap. */
char *knownhosts_art(const char *hash, const struct keyblob *key);

#endif
