/* What keyblob*.c share. Nobody else includes this. */
#ifndef HAWSER_DAEMON_KEYBLOB_PRIV_H
#define HAWSER_DAEMON_KEYBLOB_PRIV_H

/* How many strings a key's numbers are, by short type; 0: not known. */
unsigned keyblob_count_numbers(const char *short_type);

#endif
