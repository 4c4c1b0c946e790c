/* SSH_ASKPASS: a program that asks in our place (ssh(1), ENVIRONMENT). */
#ifndef HAWSER_CLIENT_ASKPASS_H
#define HAWSER_CLIENT_ASKPASS_H

#include "client/prompt.h"

/* never: the program must not be used; fallback: when there is no terminal; first: before it. */
enum askpass_use { ASKPASS_NEVER, ASKPASS_FALLBACK, ASKPASS_FIRST };

/* By SSH_ASKPASS_REQUIRE, DISPLAY and WAYLAND_DISPLAY. */
enum askpass_use askpass_use(void);

/* The first line that the program prints for text into answer (NUL-terminated, at most size - 1
 * bytes, the caller's to wipe). false: it could not be run or said no; *reason then tells why
 * (static text). confirm: a yes/no question for a dialog with two buttons. *signo: see prompt_ask()
 */
bool askpass_ask(const char *text, bool confirm, const struct prompt_watch *watch, char *answer,
		 size_t size, const char **reason, int *signo);

#endif
