/* The journal's entries as lines of a file, and back. */
#ifndef HAWSER_DAEMON_JOURNAL_DISK_H
#define HAWSER_DAEMON_JOURNAL_DISK_H

#include "daemon/journal.h"

/* On the heap. */
char *journal_line(const struct journal_entry *e);
/* Puts the entries of a file before those that are there, as far as there is room. Returns how many
 * lines made no sense; a last one without a newline (torn as it was written) does not count. */
size_t journal_take_lines(struct journal *j, const char *text, size_t len);
/* What journal_take_lines() makes sense of; from any thread. */
bool journal_line_good(const char *line, size_t len);
/* Hears of each entry that is added from now on, as a line; NULL: nobody does. Said before the
 * first entry, it leaves numbers for those that journal_take_lines() puts before. */
typedef void (*journal_sink)(void *ctx, const char *line);
void journal_set_sink(struct journal *j, journal_sink sink, void *ctx);

#endif
