/* What hawserctl asks for: CONTROL messages and their replies. */
#ifndef HAWSER_DAEMON_CONTROL_H
#define HAWSER_DAEMON_CONTROL_H

#include "protocol/proto.h"

struct app;

/* Does what m says and gives the REPLY as a frame on the heap, *len bytes. Never NULL.
 *   list                  every transport, one item each: the fields of struct pool_info
 *   status                the daemon: version, pid, uptime_s, clients, sessions, held, log_level,
 *                         stopping, locked
 *   status HOST           the transports of HOST, as list
 *   close HOST [force]    {closed}: how many; those in use go when their sessions have ended
 *   stop [now]            {sessions, drain_ms}: what is waited for; the stop begins afterwards
 *   loglevel [LEVEL]      {level}
 *   lock [drain]          {closed, saved}: how many transports; no request is taken until
 *   unlock                {was_locked}
 *   log [HOST [N [SEQ]]]  the newest N entries of the journal (of HOST; "" = of all), oldest first;
 *                         with SEQ the first of those behind it. At most a page: who wants more
 *                         asks again, behind the last seq
 *   why [HOST]            the last end (role "end", with setting and left_out), then its timeline
 *                         (role "timeline")
 */
uint8_t *control_run(struct app *app, const struct proto_control *m, uint32_t request, size_t *len);

#endif
