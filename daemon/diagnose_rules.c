/* The rules: from the class that was seen where the end showed to the one that the evidence tells.
 */
#include "daemon/diagnose.h"

#include <string.h>
#include <strings.h>

#define IN(cls) (UINT64_C(1) << (cls))
_Static_assert(CAUSE_INTERNAL < 64, "a set of classes is 64 bits");

/* Nothing answers any more. */
#define SILENT (IN(CAUSE_KEEPALIVE) | IN(CAUSE_PATH_DEAD))
#define CLOSED (IN(CAUSE_SERVER_CLOSED) | IN(CAUSE_RESET))
#define LOGIN  (IN(CAUSE_LOGIN_TIMEOUT) | IN(CAUSE_KEX))
#define SPOKEN                                                                                     \
	(CLOSED | LOGIN | IN(CAUSE_PROTOCOL) | IN(CAUSE_CLOSED_BEFORE_BANNER) | IN(CAUSE_NOT_SSH))

/* No NAT forgets a flow so soon. */
#define IDLE_MIN_S 10.0
/* A packet that was sent so often, 1.4 s at the least, while others arrive: not lost by chance. */
#define STUCK_RETRANSMITS 3
/* Behind so many bytes that arrived there must have been large segments. */
#define FIRST_BULK 65536
/* Less than any KEXINIT, more than any banner that is no lecture. */
#define BANNER_ONLY 600
#define STUCK_MIN_S 2.0
/* In a login: nobody types so slowly but for LoginGraceTime to care. */
#define GRACE_MIN_S 15.0
#define MACHINE_S   120.0
#define GAVE_UP_S   30.0

static bool said(const struct evidence *e, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcasestr(e->said, words[i]) != NULL)
			return true;
	return false;
}

static bool in_stage(const struct evidence *e, const char *stage)
{
	return strcmp(e->stage, stage) == 0;
}

static bool says_too_many(const struct evidence *e)
{
	static const char *const words[] = {"Too many authentication failures"};

	return said(e, words, HW_ARRAY_LEN(words));
}

/* libssh's own words, then sshd's, then those of other servers. libssh 0.10 says "HMAC error" of a
 * short MAC and of an AEAD's tag "Decryption error"; of a damaged length "Packet len too high". */
static bool says_corrupt(const struct evidence *e)
{
	static const char *const words[] = {"HMAC error",
					    "Decryption error",
					    "Packet len too high",
					    "Packet corrupt",
					    "Bad packet length",
					    "Corrupted MAC",
					    "message authentication code incorrect",
					    "Connection corrupted",
					    "Bad MAC",
					    "MAC error",
					    "Integrity error"};

	return said(e, words, HW_ARRAY_LEN(words));
}

static bool says_no_answer(const struct evidence *e)
{
	static const char *const words[] = {"client not responding", "no response from client",
					    "Keepalive timeout", "keep-alive timeout"};

	return said(e, words, HW_ARRAY_LEN(words));
}

static bool says_shutdown(const struct evidence *e)
{
	static const char *const words[] = {"shutting down", "going down", "shutdown",
					    "booting up",    "reboot",	   "restarting"};

	return said(e, words, HW_ARRAY_LEN(words));
}

static bool says_refused(const struct evidence *e)
{
	static const char *const words[] = {"Exceeded MaxStartups", "Not allowed at this time",
					    "Too many connections", "temporarily blocked"};

	return said(e, words, HW_ARRAY_LEN(words));
}

static bool says_idle(const struct evidence *e)
{
	static const char *const words[] = {"idle timeout", "inactivity", "idle for too long"};

	return said(e, words, HW_ARRAY_LEN(words));
}

static bool refused_again(const struct evidence *e)
{
	return e->refusals >= 2;
}

/* Its end looks like one by the other side, but it was our TCP that gave up (TCP_USER_TIMEOUT): in
 * a login, libssh does not get to see the error. */
static bool tcp_gave_up(const struct evidence *e)
{
	return e->has_tcp && e->retransmits >= STUCK_RETRANSMITS && e->ack_ago_s >= GAVE_UP_S;
}

static bool in_grace(const struct evidence *e)
{
	return in_stage(e, "authentication") && e->age_s >= GRACE_MIN_S && !tcp_gave_up(e);
}

/* --- path MTU --- */

/* Others behind it arrived: that one is too large. */
static bool one_stuck(const struct evidence *e)
{
	return e->has_tcp && e->sacked > 0 && e->retransmits >= STUCK_RETRANSMITS;
}

/* The banners, which are small, went both ways; a KEXINIT, 1 KB and more, did not. */
static bool kexinit_stuck(const struct evidence *e)
{
	if (!e->has_tcp || !in_stage(e, "key exchange") || e->received < 4)
		return false;
	/* What ends at once was not waited for. */
	if (e->age_s >= 0 && e->age_s < STUCK_MIN_S)
		return false;
	/* Once TCP itself has given up, nothing counts as unacknowledged any more. */
	return e->received < BANNER_ONLY || e->out_of_order > 0 ||
	       e->retransmits >= STUCK_RETRANSMITS;
}

static bool stuck_till_given_up(const struct evidence *e)
{
	return tcp_gave_up(e) && (one_stuck(e) || kexinit_stuck(e));
}

/* Ours is stuck in the first large output of this connection. */
static bool upload_stuck(const struct evidence *e)
{
	return e->has_tcp && e->gap_s < IDLE_MIN_S && e->retransmits >= STUCK_RETRANSMITS &&
	       e->mss > 0 && e->inflight + e->notsent >= e->mss && e->acked > 0 &&
	       e->acked < FIRST_BULK;
}

/* The other side's TCP acknowledges what we send: the path is alive in both directions. */
static bool acknowledges(const struct evidence *e)
{
	return e->has_tcp && e->unacked == 0 && e->ack_ago_s >= 0 && e->quiet_s >= 1 &&
	       e->ack_ago_s < e->quiet_s - 0.5 && e->silent_s >= 0 && e->silent_s < e->quiet_s;
}

/* The server's is: what it sent later came, and no full segment ever did. */
static bool download_stuck(const struct evidence *e)
{
	return acknowledges(e) && e->out_of_order > 0 && e->largest_in + 50 < e->mss;
}

/* --- this machine --- */

/* Since the last byte came, and lately. */
static bool since_last_byte(const struct evidence *e, double ago_s)
{
	if (ago_s < 0)
		return false;
	return e->quiet_s >= 0 ? ago_s <= e->quiet_s + 2 : ago_s <= MACHINE_S;
}

static bool address_went(const struct evidence *e)
{
	return since_last_byte(e, e->address_ago_s);
}

static bool slept(const struct evidence *e)
{
	return since_last_byte(e, e->slept_ago_s);
}

static bool route_changed(const struct evidence *e)
{
	return since_last_byte(e, e->route_ago_s);
}

/* --- time limits --- */

static bool close_to(double t, double known)
{
	double slack = known * 0.03 > 1 ? known * 0.03 : 1;

	return t >= 0 && known >= 0 && t >= known - slack && t <= known + slack;
}

static bool closed_at_age(const struct evidence *e)
{
	return in_stage(e, "ready") && e->age_deaths >= 1 && e->age_died_s >= IDLE_MIN_S &&
	       close_to(e->age_s, e->age_died_s);
}

/* Closed, not forgotten: the other side keeps count of the quiet itself. */
static bool closed_when_quiet(const struct evidence *e)
{
	return in_stage(e, "ready") && e->gap_deaths >= 1 && close_to(e->quiet_s, e->gap_died_s) &&
	       e->silent_s >= e->quiet_s - 1;
}

/* Quiet for longer than was ever survived here, and not by a hair: keepalives have a rhythm. */
static bool outlives(const struct evidence *e)
{
	return e->gap_lived_s < 0 || e->gap_s > e->gap_lived_s * 1.05 + 0.5;
}

/* It died of a quiet time that has killed before. */
static bool dropped_again(const struct evidence *e)
{
	return in_stage(e, "ready") && e->gap_deaths >= 1 && e->gap_died_s > 0 &&
	       e->gap_s >= 0.8 * e->gap_died_s && outlives(e);
}

static bool dropped_first(const struct evidence *e)
{
	return in_stage(e, "ready") && e->gap_s >= IDLE_MIN_S && outlives(e) && !acknowledges(e);
}

static bool reset_when_used(const struct evidence *e)
{
	return in_stage(e, "ready") && e->gap_s >= IDLE_MIN_S && outlives(e);
}

/* It hung up on us in its own time, while what we had sent was unanswered. */
static bool server_waited(const struct evidence *e)
{
	return in_stage(e, "ready") &&
	       (e->missed > 0 || (e->has_tcp && e->retransmits >= STUCK_RETRANSMITS));
}

/* Full segments came before: it is not their size. */
static bool only_tcp_answers(const struct evidence *e)
{
	return in_stage(e, "ready") && acknowledges(e) && e->largest_in + 50 >= e->mss;
}

static bool only_small_answers(const struct evidence *e)
{
	return in_stage(e, "ready") && acknowledges(e);
}

/* It repeats what we have not acknowledged, for it does not hear us. */
static bool one_way(const struct evidence *e)
{
	return in_stage(e, "ready") && e->has_tcp && e->unacked > 0 &&
	       e->retransmits >= STUCK_RETRANSMITS && e->ack_ago_s >= 0 && e->quiet_s >= 2 &&
	       e->ack_ago_s < e->quiet_s - 1;
}

static bool just_logged_in(const struct evidence *e)
{
	return in_stage(e, "ready") && e->age_s >= 0 && e->age_s < 2 && e->bytes_in == 0;
}

static bool spoke(const struct evidence *e)
{
	return e->spoken && e->said[0] != '\0';
}

const struct diagnose_rule diagnose_rules[] = {
	{CAUSE_AUTH_TOO_MANY, SPOKEN, says_too_many, NULL, NULL,
	 "the server's DISCONNECT says so (MaxAuthTries)"},
	{CAUSE_CORRUPT, SPOKEN, says_corrupt, NULL, NULL,
	 "a MAC or a length is wrong, here or by the server's DISCONNECT"},
	{CAUSE_SERVER_GAVE_UP, SPOKEN, says_no_answer, NULL, NULL, "the server's words"},
	{CAUSE_SERVER_SHUTDOWN, SPOKEN, says_shutdown, NULL, NULL, "the server's words"},
	{CAUSE_TIMED_CLOSE, SPOKEN, says_idle,
	 "{host} closed the connection after {quiet} of quiet: {said}",
	 "set ServerAliveInterval for this host, or raise the server's idle time-out",
	 "the server's words"},
	{CAUSE_REFUSES_SOURCE, SPOKEN, says_refused,
	 "{host} takes no more logins from this address at the moment: {said}",
	 "wait some minutes before the next try, or raise MaxStartups (PerSourcePenalties, "
	 "PerSourceMaxStartups) in the server's sshd_config",
	 "the server's words in the place of a banner"},
	{CAUSE_REFUSES_SOURCE, IN(CAUSE_CLOSED_BEFORE_BANNER) | IN(CAUSE_RESET), refused_again,
	 NULL, NULL, "closed before the banner, three times in a row"},
	{CAUSE_LOGIN_GRACE, CLOSED, in_grace, NULL, NULL,
	 "closed in authentication, 15 s or more after it was dialled"},

	{CAUSE_MTU, SILENT | LOGIN, one_stuck, NULL, NULL,
	 "one segment is sent again and again, those behind it arrived"},
	{CAUSE_ADDRESS_CHANGED, SILENT | CLOSED | LOGIN, address_went, NULL, NULL,
	 "our address went away since the last byte came"},
	{CAUSE_SLEEP, SILENT | CLOSED | LOGIN, slept, NULL, NULL,
	 "the machine slept since the last byte came"},
	{CAUSE_ROUTE_CHANGED, SILENT | LOGIN, route_changed, NULL, NULL,
	 "routes changed since the last byte came"},
	{CAUSE_MTU, CLOSED, stuck_till_given_up, NULL, NULL, "the same until TCP gave up"},
	{CAUSE_PATH_DEAD, CLOSED | IN(CAUSE_CLOSED_BEFORE_BANNER), tcp_gave_up, NULL, NULL,
	 "nothing was acknowledged until TCP gave up"},
	{CAUSE_MTU, LOGIN | IN(CAUSE_PATH_DEAD), kexinit_stuck, NULL, NULL,
	 "in key exchange the banners went both ways, a KEXINIT did not"},
	{CAUSE_MTU, SILENT, upload_stuck, NULL, NULL,
	 "the first large output is sent again and again"},
	{CAUSE_MTU, SILENT, download_stuck, NULL, NULL,
	 "the server acknowledges, but of its data only what is small came"},

	{CAUSE_TIMED_CLOSE, CLOSED, closed_at_age, NULL, NULL,
	 "closed at the age at which connections to this host were closed before"},
	{CAUSE_TIMED_CLOSE, CLOSED, closed_when_quiet,
	 "the connection to {host} was closed after {quiet} of quiet, as {gap_times} before: a "
	 "proxy, load balancer or the server ends idle connections",
	 "set ServerAliveInterval for this host below that time",
	 "closed after a quiet time that has ended connections before"},
	{CAUSE_IDLE_DROP, SILENT | IN(CAUSE_RESET), dropped_again,
	 "the connection to {host} was lost after {gap} of quiet, as {gap_times} before (from "
	 "{gap_died} on): a NAT or firewall on the way forgets quiet connections",
	 NULL, "silence or reset after a quiet time that has killed before"},
	{CAUSE_IDLE_DROP, SILENT, dropped_first, NULL, NULL,
	 "silence after 10 s of quiet or more, longer than any that lived"},
	{CAUSE_SERVER_GAVE_UP, IN(CAUSE_SERVER_CLOSED), server_waited, NULL, NULL,
	 "closed by the server while it answered nothing"},

	{CAUSE_SERVER_GAVE_UP, IN(CAUSE_RESET), server_waited,
	 "nothing passed between here and {host} for {quiet}, then it reset the connection: it had "
	 "given it up, or restarted meanwhile",
	 "check the network on the way; ClientAliveInterval times ClientAliveCountMax in the "
	 "server's "
	 "sshd_config is how long it waits",
	 "reset by the server after it had answered nothing"},

	/* The same class in other words. */
	{CAUSE_RESET, IN(CAUSE_RESET), reset_when_used,
	 "the connection to {host} was reset after {gap} of quiet: a NAT or firewall on the way "
	 "forgot it, or the server restarted meanwhile",
	 "run the command again; if it comes back, set ServerAliveInterval for this host below "
	 "that time",
	 "after 10 s of quiet or more"},
	{CAUSE_SERVER_CLOSED, IN(CAUSE_SERVER_CLOSED), just_logged_in, NULL,
	 "so soon after the login sshd may have failed to set the session up (ChrootDirectory, "
	 "PAM, limits), or it was stopped: its log has the reason",
	 "within 2 s of the login"},
	{CAUSE_PROTOCOL, IN(CAUSE_PROTOCOL), spoke,
	 "{host} ended the connection in {stage} and said: {said}",
	 "the server's log has its reason", "a DISCONNECT with words"},
	{CAUSE_KEEPALIVE, SILENT, only_tcp_answers,
	 "{host} acknowledges what is sent to it, but its sshd answers nothing: it hangs, or the "
	 "machine is overloaded or suspended",
	 "look at the machine (console, load, disk); the next command opens a new connection",
	 "the other side's TCP acknowledges, nothing else comes"},
	{CAUSE_KEEPALIVE, SILENT, only_small_answers,
	 "{host} acknowledges what is sent to it, but its sshd answers nothing: it hangs, or its "
	 "large packets are lost on the way (path MTU)",
	 "if short outputs come and long ones do not, lower the MTU of this machine's interface "
	 "(ip link set dev DEV mtu 1280); else look at the machine (console, load, disk)",
	 "the same, and no full segment ever came"},
	{CAUSE_PATH_DEAD, SILENT, one_way,
	 "what is sent to {host} is lost on the way, though packets from there still arrive",
	 "a firewall or router between here and there drops one direction; the next command "
	 "opens a new connection",
	 "its segments come again and again, ours are not acknowledged"},
};
const size_t diagnose_rules_count = HW_ARRAY_LEN(diagnose_rules);
