/* What journal*.c share. Nobody else includes this. */
#ifndef HAWSER_DAEMON_JOURNAL_PRIV_H
#define HAWSER_DAEMON_JOURNAL_PRIV_H

#include "daemon/journal.h"

/* Copies e before the oldest entry. false: there is no room. */
bool journal_put_before(struct journal *j, const struct journal_entry *e);

#endif
