/* The socket at the ControlPath of a `hawser -M`, while it lives. It speaks OpenSSH's multiplexing
 * protocol so far that `ssh -O check, exit, stop` do what they should, and refuses sessions in such
 * a way that ssh makes a connection of its own. hawsers with the same path keep a connection open
 * while they live (join.h): the master counts them, and what they do goes through hawserd. */
#ifndef HAWSER_CLIENT_CONTROL_H
#define HAWSER_CLIENT_CONTROL_H

#include <sys/types.h>
#include "protocol/base.h"

#define CONTROL_CONNECTIONS_MAX 256

struct control_conn;

struct control {
	int fd;	      /* an epoll set over all below: poll for POLLIN, call control_step(); -1: no
			 control socket */
	int listener; /* -1: not (any more) */
	int spare;    /* given up to turn somebody away when there is no descriptor left; -1 none */
	char *path, *temporary;
	dev_t device; /* of the socket file, so that only our own is removed */
	ino_t inode;
	struct control_conn *connections;
	size_t count, sessions; /* sessions: of hawsers that have joined */
	bool published;
	bool terminate; /* -O exit was asked for */
	bool stopped;	/* -O stop was asked for: nobody new is let in */
};

/* Listens under a name beside path that nobody looks for. False: why has the line for the user. */
bool control_open(struct control *c, const char *path, char *why, size_t why_size);
/* The request runs: path is there from now on. False: something else is there already; closed. */
bool control_publish(struct control *c);
/* Handles what came. */
void control_step(struct control *c);
/* Removes the socket and lets nobody new in; those who have joined stay. */
void control_stop(struct control *c);
/* Closes everything. Harmless on one that was never opened (fd -1), and twice. */
void control_close(struct control *c);

#endif
