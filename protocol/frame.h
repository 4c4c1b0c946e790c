/* Framing with descriptors over a stream socket (unix(7), SCM_RIGHTS).
 *
 * A reader collects bytes, however they are split, and hands out whole payloads. The length is
 * checked against PROTO_FRAME_MAX before anything of that size is allocated. Descriptors that come
 * with a frame are kept with it; more than PROTO_FDS_MAX, or some on a frame in the middle of
 * another, are closed and the peer is at fault (HW_EPROTO). All received descriptors are CLOEXEC.
 */
#ifndef HAWSER_PROTOCOL_FRAME_H
#define HAWSER_PROTOCOL_FRAME_H

#include "protocol/base.h"
#include "protocol/bytebuf.h"
#include "protocol/proto.h"

struct frame_reader {
	struct bytebuf buf;
	int fds[PROTO_FDS_MAX]; /* received and not yet taken */
	size_t nfds;
	size_t fds_at; /* where in buf the frame begins that they came with */
	size_t handed; /* bytes of the frame at buf's front that the caller reads now */
};

void frame_reader_init(struct frame_reader *r);
/* Closes descriptors not taken, frees the buffer. */
void frame_reader_finish(struct frame_reader *r);

/* One recvmsg(2) with MSG_DONTWAIT. HW_OK: bytes came, or a whole frame is there that frame_next()
 * has not handed out yet (then nothing is read, so that a flood stays in the socket).
 * HW_EAGAIN, HW_EOF (also within a frame), HW_EPROTO (descriptors where none may be), HW_ESYS
 * (errno; EMFILE: descriptors came that this process has no room for). */
int frame_recv(struct frame_reader *r, int fd) HW_NODISCARD;

/* The next whole payload, if there is one: borrowed, until the next call on r. HW_EAGAIN: not yet.
 * HW_ETOOBIG: the announced length is over the limit. */
int frame_next(struct frame_reader *r, const uint8_t **payload, size_t *len) HW_NODISCARD;

/* Moves the descriptors that came with the frame last handed out to out (the caller owns them now);
 * returns how many. Those not taken are closed by the next frame_next() or frame_recv(). */
size_t frame_take_fds(struct frame_reader *r, int out[PROTO_FDS_MAX]);

/* Sends header + payload (from proto_encode_*: the header is already in front) with fds attached,
 * by one sendmsg(2) with MSG_NOSIGNAL | MSG_DONTWAIT. *sent says how many bytes went; what is left
 * is the caller's to send (without descriptors) when the socket is writable. HW_EAGAIN if none.
 * HW_ESYS: errno (EPIPE: the peer is gone). HW_EINVAL: more than PROTO_FDS_MAX. */
int frame_send(int fd, const uint8_t *frame, size_t len, const int *fds, size_t nfds,
	       size_t *sent) HW_NODISCARD;

#endif
