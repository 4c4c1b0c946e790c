/* Never worse than ssh (design, decision 4): what hawser cannot do, the real ssh does in our place,
 * as long as nothing has happened yet. Environment:
 *   HAWSER_SSH       the real ssh; else the first `ssh` on PATH that is not this program
 *   HAWSER_FALLBACK  "no": an error instead
 *   HAWSER_DISABLE   "1": be ssh at once
 *   HAWSER_EXEC      set by us: how many times ssh was started in our place, to end a loop */
#ifndef HAWSER_CLIENT_FALLBACK_H
#define HAWSER_CLIENT_FALLBACK_H

#include "protocol/base.h"

/* HAWSER_DISABLE is set to something other than "0" and "". */
bool fallback_disabled(void);
/* false: HAWSER_FALLBACK=no. */
bool fallback_allowed(void);
/* The real ssh's path into out. HW_ENOENT, HW_ETOOBIG. */
int fallback_find_ssh(char *out, size_t size) HW_NODISCARD;
/* Becomes the real ssh with our arguments; returns the exit status if that fails, after saying so.
 * why: a phrase for -v; NULL = say nothing (ssh will speak itself). */
int fallback_exec(char **argv, const char *why) HW_NODISCARD;
/* Has hawserctl lock been said? Then nothing that connects is handed over. */
bool fallback_locked(void);
/* The same, unless HAWSER_FALLBACK=no, or a lock, makes it an error. */
int fallback_or_fail(char **argv, const char *why) HW_NODISCARD;

#endif
