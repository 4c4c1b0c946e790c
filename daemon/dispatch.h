/* One client's messages: which are legal now, what they mean, and what is said back. Our own front
 * end: it turns REQUEST into sessions and their events into messages. Knows no socket. */
#ifndef HAWSER_DAEMON_DISPATCH_H
#define HAWSER_DAEMON_DISPATCH_H

#include "protocol/base.h"

struct app;
struct dispatch;

/* Takes a whole frame of len bytes, on the heap. Never calls back, also when the client is gone. */
typedef void (*dispatch_send)(void *ctx, uint8_t *frame, size_t len);

/* peer_pid: for the log. */
struct dispatch *dispatch_create(struct app *app, long peer_pid, dispatch_send send, void *ctx);
/* Aborts the sessions that are left. NULL ok. */
void dispatch_destroy(struct dispatch *d);

/* One payload with the descriptors that came with it, which are dispatch's now. HW_EPROTO: the
 * client does not keep to the protocol and was told so in an ERROR: flush, then close. A type that
 * is unknown or not for the daemon, and a message on a request that is not live, are answered with
 * an ERROR that carries the request's number, and HW_OK: a newer client may go on, and one whose
 * request has just ended ignores it. */
int dispatch_message(struct dispatch *d, const uint8_t *payload, size_t len, const int *fds,
		     size_t nfds) HW_NODISCARD;
/* Tells the client that something is wrong with what it sent, outside any message. */
void dispatch_refuse(struct dispatch *d, const char *text);
/* Requests that are not done. */
size_t dispatch_live(const struct dispatch *d);
/* The daemon ends: every live request is answered with an EXIT that says so, and aborted. */
void dispatch_shutdown(struct dispatch *d);

#endif
