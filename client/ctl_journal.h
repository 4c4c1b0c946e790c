/* hawserctl log and why: the daemon's journal in plain words. */
#ifndef HAWSER_CLIENT_CTL_JOURNAL_H
#define HAWSER_CLIENT_CTL_JOURNAL_H

#include <stdio.h>
#include "client/ctl.h"

/* Is c's verb one of these? */
bool ctl_is_journal(const struct ctl *c);
/* Asks and prints. HW_OK: *status is the exit status; else what went wrong with the daemon. */
int ctl_journal(const struct ctl *c, int sock, struct frame_reader *in, int *status) HW_NODISCARD;

/* Item i of a reply to log as one line. */
void ctl_print_entry(FILE *out, const struct ctl_reply *r, size_t i);
/* A reply to why, whole. now: Unix time. */
void ctl_print_why(FILE *out, const struct ctl_reply *r, double now);

#endif
