#include "daemon/handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/handshake_proof.h"
#include "daemon/knownhosts.h"
#include "daemon/trust.h"
#include "protocol/alloc.h"
#include "protocol/log.h"

/* libssh keeps its descriptor option in 16 bits. */
#define SESSION_FD_MAX 0xffff
/* RFC 4253, section 4.2: an identification line is at most 255 bytes. */
#define FIRST_WORDS_MAX 255

/* OpenSSH's order, of those that libssh can verify. */
#define DEFAULT_HOSTKEYS                                                                           \
	"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,"                 \
	"sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,"                           \
	"rsa-sha2-512,rsa-sha2-256"
/* With AES instructions GCM moves about 1.5 times the bytes of chacha20 per second. */
#define FAST_AES_CIPHERS                                                                           \
	"aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,"             \
	"aes256-ctr,aes192-ctr,aes128-ctr"

/* What the server said before libssh took it: the evidence when it is no SSH server, or one that
 * sends us away before its banner. */
struct first_words {
	char text[FIRST_WORDS_MAX + 1];
	size_t len;
	bool done; /* an SSH banner came: nothing more to learn */
};

static void init_library(void)
{
	if (ssh_init() != SSH_OK)
		log_error("libssh could not be initialised");
}

static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
	return (getauxval(AT_HWCAP) & (1UL << 3)) != 0; /* HWCAP_AES */
#else
	return false;
#endif
}

/* --- options --- */

/* libssh refuses a list of which it knows nothing; the destination was cut to what it has, so a
 * refusal here is ours to tell. */
static bool set_list(struct login *l, enum ssh_options_e option, const char *name,
		     const char *value)
{
	if (value == NULL || ssh_options_set(l->session, option, value) == 0)
		return true;
	cause_set(&l->result.why, CAUSE_NO_COMMON_ALGORITHM,
		  "%s: none of the %s that the configuration asks for (%s) is known to libssh %s",
		  l->where, name, value, ssh_version(0));
	cause_hint(&l->result.why, "allow one that libssh has for this host (ssh_config), or use "
				   "the real ssh");
	l->result.handover = true;
	return false;
}

static bool set_algorithms(struct login *l)
{
	const struct destination *d = l->dest;
	const char *ciphers = d->ciphers;
	char *hostkeys;
	bool ok;

	if (ciphers == NULL && cpu_has_aes())
		ciphers = FAST_AES_CIPHERS;
	hostkeys = trust_order_algorithms(l, d->hostkey_algs != NULL ? d->hostkey_algs
								     : DEFAULT_HOSTKEYS);
	if (hostkeys == NULL)
		return false;
	ok = set_list(l, SSH_OPTIONS_KEY_EXCHANGE, "key exchange methods", d->kex) &&
	     set_list(l, SSH_OPTIONS_HOSTKEYS, "host key algorithms", hostkeys) &&
	     set_list(l, SSH_OPTIONS_CIPHERS_C_S, "ciphers", ciphers) &&
	     set_list(l, SSH_OPTIONS_CIPHERS_S_C, "ciphers", ciphers) &&
	     set_list(l, SSH_OPTIONS_HMAC_C_S, "MACs", d->macs) &&
	     set_list(l, SSH_OPTIONS_HMAC_S_C, "MACs", d->macs) &&
	     set_list(l, SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, "public key algorithms",
		      d->pubkey_algs);
	free(hostkeys);
	return ok;
}

static bool set_options(struct login *l)
{
	const struct destination *d = l->dest;
	const int no = 0, rsa_bits = (int)d->required_rsa_bits;
	const long timeout = (long)(l->timeout_ms / 1000u + 1u);
	unsigned port = d->port;
	uint32_t rekey_seconds = d->rekey_seconds;

	/* Else libssh reads ~/.ssh/config by itself; OpenSSH's parser has done that. */
	ssh_options_set(l->session, SSH_OPTIONS_PROCESS_CONFIG, &no);
	/* Host keys are judged by trust.c; libssh must not order algorithms by other files. */
	ssh_options_set(l->session, SSH_OPTIONS_SSH_DIR, "/");
	ssh_options_set(l->session, SSH_OPTIONS_KNOWNHOSTS, "/dev/null");
	ssh_options_set(l->session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
	/* Only for libssh's own messages: the socket is ours, and so is the check of the name. */
	ssh_options_set(l->session, SSH_OPTIONS_HOST,
			d->hostkey_alias != NULL ? d->hostkey_alias : d->hostname);
	ssh_options_set(l->session, SSH_OPTIONS_PORT, &port);
	ssh_options_set(l->session, SSH_OPTIONS_TIMEOUT, &timeout);
	ssh_options_set(l->session, SSH_OPTIONS_COMPRESSION, d->compression ? "yes" : "no");
	if (d->rekey_bytes > 0)
		ssh_options_set(l->session, SSH_OPTIONS_REKEY_DATA, &d->rekey_bytes);
	if (rekey_seconds > 0)
		ssh_options_set(l->session, SSH_OPTIONS_REKEY_TIME, &rekey_seconds);
	if (rsa_bits > 0)
		ssh_options_set(l->session, SSH_OPTIONS_RSA_MIN_SIZE, &rsa_bits);
	if (ssh_options_set(l->session, SSH_OPTIONS_USER, d->user) != 0) {
		cause_set(&l->result.why, CAUSE_CONFIG, "%s: the user name cannot be used: %s",
			  l->where, ssh_get_error(l->session));
		return false;
	}
	return set_algorithms(l);
}

/* --- what the server says first --- */

static void peek(struct login *l, struct first_words *w)
{
	char buf[FIRST_WORDS_MAX];
	size_t room = sizeof(w->text) - 1 - w->len;
	ssize_t n;

	if (w->done || room == 0)
		return;
	n = recv(l->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return;
	if ((size_t)n < room)
		room = (size_t)n;
	memcpy(w->text + w->len, buf, room);
	w->len += room;
	w->text[w->len] = '\0';
	w->done = strncmp(w->text, "SSH-", 4) == 0 || strstr(w->text, "\nSSH-") != NULL;
}

/* The first line of what came, without its end. */
static void cut_line(struct first_words *w)
{
	w->text[strcspn(w->text, "\r\n")] = '\0';
}

/* The connection ended or stalled before the server's banner. */
static void set_no_banner_cause(struct login *l, struct first_words *w, const char *error)
{
	struct cause *why = &l->result.why;

	cut_line(w);
	if (strstr(w->text, "MaxStartups") != NULL) {
		cause_set(why, CAUSE_CLOSED_BEFORE_BANNER,
			  "%s: the server takes no more logins at the moment: it said \"%s\"",
			  l->where, w->text);
		cause_hint(why, "too many logins are under way there: try again in a moment, or "
				"raise MaxStartups in the server's sshd_config");
	} else if (strncmp(w->text, "HTTP/", 5) == 0) {
		cause_set(why, CAUSE_NOT_SSH, "%s: a web server answers there, not SSH: \"%s\"",
			  l->where, w->text);
		cause_hint(why, "check the port (-p, Port in ssh_config)");
	} else if (w->len > 0) {
		cause_set(why, CAUSE_NOT_SSH,
			  "%s: no SSH server, or one that refuses this client: it said \"%s\"",
			  l->where, w->text);
		cause_hint(why, "check the host and port; if they are right, the server's own "
				"access rules (TCP wrappers, PerSourcePenalties) may refuse you");
	} else {
		cause_set(why, CAUSE_CLOSED_BEFORE_BANNER,
			  "%s: the connection was closed before the server said anything (%s)",
			  l->where, error);
		cause_hint(why, "the server refuses this address (TCP wrappers, MaxStartups, "
				"PerSourcePenalties, fail2ban), is starting up, or is no SSH "
				"server");
	}
	cause_said(why, w->len > 0, w->len > 0 ? w->text : error);
}

static void set_timeout_cause(struct login *l, struct first_words *w)
{
	if (w->done)
		return; /* login_wait() has said it */
	cut_line(w);
	if (w->len > 0)
		cause_set(&l->result.why, CAUSE_NOT_SSH,
			  "%s: no SSH server: it said \"%s\" and then nothing for %u s", l->where,
			  w->text, l->timeout_ms / 1000u);
	else
		cause_set(
			&l->result.why, CAUSE_LOGIN_TIMEOUT,
			"%s: Connection timed out during banner exchange: nothing came within %u s",
			l->where, (l->timeout_ms + 999u) / 1000u);
	cause_hint(&l->result.why, "it is no SSH server, is overloaded, or a firewall swallows "
				   "what it sends");
}

/* ssh_get_error() was copied to error. */
static void set_kex_cause(struct login *l, struct first_words *w, const char *error)
{
	if (!w->done && login_path_died(error)) {
		login_session_died(l);
	} else if (!w->done && strstr(error, "no match for method") == NULL) {
		set_no_banner_cause(l, w, error);
	} else if (strstr(error, "no match for method") != NULL) {
		login_no_common_algorithm(l, error);
	} else {
		login_session_died(l);
	}
}

/* --- the key exchange --- */

static int connect_session(struct login *l, struct handshake_proof *proof)
{
	struct first_words words = {.len = 0};
	char *error;
	int rc, flags, fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);

	if (fd == -1 || fd > SESSION_FD_MAX) {
		cause_set(&l->result.why, CAUSE_LIMIT, "%s: no descriptor left to log in with",
			  l->where);
		if (fd != -1)
			close(fd);
		return HW_ESYS;
	}
	ssh_options_set(l->session, SSH_OPTIONS_FD, &fd);
	for (;;) {
		peek(l, &words);
		handshake_proof_peek(proof, l->fd);
		rc = ssh_connect(l->session);
		/* libssh takes the socket for one that is still connecting and clears
		 * O_NONBLOCK; from then on a read could hang. */
		flags = fcntl(l->fd, F_GETFL);
		if (flags != -1 && (flags & O_NONBLOCK) == 0)
			(void)fcntl(l->fd, F_SETFL, flags | O_NONBLOCK);
		if (rc != SSH_AGAIN || login_dead(l))
			break;
		rc = login_wait(l);
		if (rc == HW_ETIMEOUT)
			set_timeout_cause(l, &words);
		if (rc != HW_OK)
			return rc;
	}
	if (rc == SSH_OK && !login_dead(l))
		return HW_OK;
	error = xstrdup(ssh_get_error(l->session));
	set_kex_cause(l, &words, error);
	free(error);
	return HW_EOF;
}

int handshake_run(struct login *l)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct handshake_proof proof;
	int rc;

	pthread_once(&once, init_library);
	login_phase(l, "key exchange");
	l->session = ssh_new();
	if (l->session == NULL) {
		cause_set(&l->result.why, CAUSE_INTERNAL, "%s: libssh made no session", l->where);
		return HW_ESYS;
	}
	ssh_set_blocking(l->session, 0);
	if (!set_options(l))
		return HW_EINVAL;
	handshake_proof_init(&proof, l->session);
	rc = connect_session(l, &proof);
	handshake_proof_finish(&proof, l->session, &l->binding);
	return rc;
}
