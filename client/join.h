/* What stands at a ControlPath: another hawser's control.h, which is joined, or a master of
 * OpenSSH's, which only ssh can use. */
#ifndef HAWSER_CLIENT_JOIN_H
#define HAWSER_CLIENT_JOIN_H

#include "protocol/base.h"

enum join_result {
	JOIN_NOBODY,  /* nobody listens there */
	JOIN_OURS,    /* a hawser; *fd is a connection to it */
	JOIN_FOREIGN, /* somebody else */
};

/* Waits for its first words, 2 s at most. session: we count as one of its sessions for as long as
 * *fd is open; its end of file says that the master was told to exit, or died. */
enum join_result join_master(const char *path, bool session, int *fd);
/* -O check, exit or stop, asked of a hawser (JOIN_OURS; fd is closed). Says what came of it in
 * ssh's words; returns the exit status. */
int join_operate(int fd, const char *operation);
#endif
