/* Why something ended: the class, what the user reads, and the next step. A value, copied freely.
 * Made at the one place where the end is seen; nothing prints a bare "connection closed". */
#ifndef HAWSER_DAEMON_CAUSE_H
#define HAWSER_DAEMON_CAUSE_H

#include "protocol/base.h"

#define CAUSE_CLASSES(X)                                                                           \
	X(CAUSE_NONE, "none")                                                                      \
	X(CAUSE_CONFIG, "config") /* the configuration could not be read */                        \
	X(CAUSE_RESOLVE, "name-resolution")                                                        \
	X(CAUSE_REFUSED, "refused")                                                                \
	X(CAUSE_UNREACHABLE, "unreachable")                                                        \
	X(CAUSE_CONNECT_TIMEOUT, "connect-timeout")                                                \
	X(CAUSE_PROXY, "proxy-command")                                                            \
	X(CAUSE_JUMP, "jump-host") /* it does not forward to the host */                           \
	X(CAUSE_CLOSED_BEFORE_BANNER, "closed-before-banner")                                      \
	X(CAUSE_NOT_SSH, "not-ssh")                                                                \
	X(CAUSE_NO_COMMON_ALGORITHM, "no-common-algorithm")                                        \
	X(CAUSE_KEX, "key-exchange")                                                               \
	X(CAUSE_HOSTKEY_UNKNOWN, "host-key-unknown")                                               \
	X(CAUSE_HOSTKEY_CHANGED, "host-key-changed")                                               \
	X(CAUSE_HOSTKEY_REVOKED, "host-key-revoked")                                               \
	X(CAUSE_AUTH, "authentication")                                                            \
	X(CAUSE_AUTH_TOO_MANY, "too-many-authentication-failures")                                 \
	X(CAUSE_LOGIN_TIMEOUT, "login-timeout")                                                    \
	X(CAUSE_PROMPT, "prompt") /* a question that nobody could answer */                        \
	X(CAUSE_SESSION_LIMIT, "session-limit")                                                    \
	X(CAUSE_CHANNEL, "channel") /* the server refused a channel or request */                  \
	X(CAUSE_SERVER_CLOSED, "server-closed")                                                    \
	X(CAUSE_RESET, "reset")                                                                    \
	X(CAUSE_KEEPALIVE, "keepalive-timeout")                                                    \
	X(CAUSE_PROTOCOL, "protocol") /* MAC error, bad packet, server DISCONNECT */               \
	X(CAUSE_LIMIT, "limit")	      /* one of the daemon's own limits */                         \
	X(CAUSE_REFUSES_SOURCE, "refuses-this-source") /* MaxStartups, penalties, fail2ban */      \
	X(CAUSE_LOGIN_GRACE, "login-grace-time")                                                   \
	X(CAUSE_IDLE_DROP, "idle-drop")		  /* a NAT or firewall forgot a quiet flow */      \
	X(CAUSE_TIMED_CLOSE, "timed-close")	  /* a proxy or load balancer closes after T */    \
	X(CAUSE_MTU, "path-mtu")		  /* small packets pass, large ones do not */      \
	X(CAUSE_CORRUPT, "corruption")		  /* a packet's MAC was wrong */                   \
	X(CAUSE_SERVER_GAVE_UP, "server-gave-up") /* ClientAlive: it had no answer from us */      \
	X(CAUSE_CHANNEL_TIMEOUT, "channel-timeout")                                                \
	X(CAUSE_SERVER_SHUTDOWN, "server-shutdown")                                                \
	X(CAUSE_SLEEP, "sleep") /* this machine slept */                                           \
	X(CAUSE_ADDRESS_CHANGED, "address-changed")                                                \
	X(CAUSE_ROUTE_CHANGED, "route-changed")                                                    \
	X(CAUSE_PATH_DEAD, "path-dead")		/* it did not answer a probe */                    \
	X(CAUSE_EXITS_AT_ONCE, "exits-at-once") /* forced command or shell */                      \
	X(CAUSE_LOCKED, "locked")		/* hawserctl lock */                               \
	X(CAUSE_EXPIRED, "expired")		/* maximum age, or the certificate's end */        \
	X(CAUSE_IDLE, "idle")			/* nobody used it for as long as it is held */     \
	X(CAUSE_CLOSED_BY_USER, "closed-by-user")                                                  \
	X(CAUSE_DAEMON_STOPPED, "daemon-stopped")                                                  \
	X(CAUSE_CLIENT_GONE, "client-gone")                                                        \
	X(CAUSE_INTERNAL, "internal")

enum cause_class {
#define X(name, text) name,
	CAUSE_CLASSES(X)
#undef X
};

struct cause {
	enum cause_class cls;
	char text[768];	    /* one sentence: what failed, for which host, the likely cause */
	char hint[512];	    /* the next step; may be empty */
	char evidence[768]; /* what was seen, one fact per line; may be empty */
	char said[256];	    /* the other side's, libssh's or the kernel's words; may be empty */
	bool spoken;	    /* they are the other side's */
	bool diagnosed;	    /* diagnose() has had its say: not again */
};

const char *cause_name(enum cause_class cls);
/* Fills c; peer's bytes in the arguments are escaped. All else in it is emptied. */
void cause_set(struct cause *c, enum cause_class cls, const char *fmt, ...) HW_PRINTF(3, 4);
void cause_hint(struct cause *c, const char *fmt, ...) HW_PRINTF(2, 3);
/* The words that the end came with. */
void cause_said(struct cause *c, bool spoken, const char *words);
/* c speaks of the same end as from does, in other words: takes all else over. */
void cause_take_over(struct cause *c, const struct cause *from);
/* Adds a line of evidence; what does not fit is left out whole. */
void cause_evidence(struct cause *c, const char *fmt, ...) HW_PRINTF(2, 3);

#endif
