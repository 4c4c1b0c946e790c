/* Commands that ssh runs on this side: LocalCommand, and ! in the command line of ~C. */
#ifndef HAWSER_CLIENT_LOCAL_COMMAND_H
#define HAWSER_CLIENT_LOCAL_COMMAND_H

#include "client/prompt.h"

/* Runs the command by the user's shell, with our descriptors and environment, and waits for its
 * end; meanwhile the daemon is listened to. Returns the signal that ended the waiting (the command
 * got it too if a terminal sent it), else 0. */
int local_command_run(const char *command, const struct prompt_watch *watch);

#endif
