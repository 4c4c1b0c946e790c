/* A destination: what one ssh command line means, as `ssh -G` prints it, with `~`, ${VAR} and
 * %-tokens of paths expanded for the client that asked. Immutable once made, counted references;
 * may be read from any thread. Knows no libssh and does no blocking I/O. */
#ifndef HAWSER_DAEMON_DESTINATION_H
#define HAWSER_DAEMON_DESTINATION_H

#include "protocol/base.h"
#include "daemon/cause.h"
#include "daemon/forward_spec.h"

/* ask and accept-new as in ssh_config(5) StrictHostKeyChecking; NO accepts, with a warning. */
enum strict_hostkey { STRICT_YES, STRICT_ASK, STRICT_ACCEPT_NEW, STRICT_NO };
enum request_tty { TTY_AUTO, TTY_NO, TTY_YES, TTY_FORCE };
enum add_keys { ADD_KEYS_NO, ADD_KEYS_YES, ADD_KEYS_ASK, ADD_KEYS_CONFIRM };
enum session_type { SESSION_DEFAULT, SESSION_NONE, SESSION_SUBSYSTEM };

struct destination {
	unsigned refs;	/* private; atomic */
	char key[65];	/* pool key: SHA-256, hex, of all that matters to connecting, trusting and
			   authenticating (design, decision 5) */
	char *typed;	/* the destination as typed, for messages */
	char *label;	/* user@hostname:port, for messages and listings */
	char *fallback; /* NULL, or the phrase naming what hawser cannot do here: become ssh */

	/* connecting */
	char *user, *hostname;
	uint16_t port;
	int family;		  /* AF_UNSPEC, AF_INET, AF_INET6 */
	char *bind_address;	  /* NULL or BindAddress (-b) */
	char *bind_interface;	  /* NULL or BindInterface (-B) */
	char *proxy_command;	  /* NULL or ProxyCommand, tokens expanded */
	bool proxy_fdpass;	  /* ProxyUseFdpass */
	char proxy_env[65];	  /* digest of the variables that proxy_command names; or empty */
	char *cwd;		  /* NULL, or where the client stands: a command looks there */
	char *jump_spec;	  /* NULL or ProxyJump, tokens expanded */
	struct destination *jump; /* NULL, or the last host of jump_spec, a reference; it may have a
				     jump of its own */
	unsigned connect_timeout; /* seconds; 0 = none given */
	unsigned connection_attempts;
	bool tcp_keepalive;
	int tos_interactive, tos_bulk;	      /* IPQoS; -1 = leave alone */
	unsigned alive_interval, alive_count; /* ServerAlive*; interval 0 = not set */
	long persist;	   /* ControlPersist seconds an idle transport is held; -1 = not
			      set, 0 = "yes": for ever */
	bool hold_nothing; /* ControlPersist=no was typed: shared while in use, closed then */
	bool unshared;	   /* ControlPath=none was typed: a transport of one's own */

	/* algorithms: NULL where the user left OpenSSH's default, else what he chose, cut to what
	 * libssh has (nothing left: fallback) */
	char *kex, *ciphers, *macs, *hostkey_algs, *pubkey_algs;
	bool compression;
	uint64_t rekey_bytes; /* RekeyLimit; 0 = default */
	unsigned rekey_seconds;
	unsigned required_rsa_bits;

	/* trust */
	enum strict_hostkey strict;
	char *hostkey_alias;	 /* NULL or HostKeyAlias */
	char **user_known_hosts; /* expanded paths */
	char **global_known_hosts;
	bool hash_known_hosts, check_host_ip, visual_host_key, no_host_auth_localhost;
	char *fingerprint_hash;	   /* "SHA256" or "MD5" */
	char *revoked_host_keys;   /* NULL or RevokedHostKeys, absolute */
	char *known_hosts_command; /* NULL or KnownHostsCommand, as written */

	/* authentication */
	char **preferred_auths; /* in order, e.g. publickey keyboard-interactive password */
	bool pubkey_auth, password_auth, kbdint_auth, gssapi_auth;
	char **identity_files;	     /* expanded, absolute, in order */
	bool identity_files_default; /* ssh's own list: missing ones are not worth a word */
	char **certificate_files;
	bool identities_only;
	char *agent_socket;	   /* path, or NULL for none (IdentityAgent, else SSH_AUTH_SOCK) */
	unsigned password_prompts; /* NumberOfPasswordPrompts */
	bool batch_mode;
	enum add_keys add_keys;	    /* AddKeysToAgent */
	unsigned add_keys_lifetime; /* seconds; 0 = for ever */

	/* session only: not part of the key */
	enum request_tty request_tty;
	enum session_type session_type;
	bool stdin_null;
	char *remote_command; /* NULL or RemoteCommand, tokens expanded */
	char **send_env;      /* SendEnv patterns */
	char **set_env;	      /* NAME=VALUE */
	int escape_char;      /* -1 = none */
	bool fork_after_auth;
	char *local_command; /* NULL, or LocalCommand, tokens expanded, when it is permitted */
	struct forward_spec *forwards;
	size_t nforwards;
	bool exit_on_forward_failure, gateway_ports, stream_local_unlink, escape_commandline;
	unsigned stream_local_mask; /* StreamLocalBindMask */
	char **permit_remote_open;  /* PermitRemoteOpen for -R as SOCKS; empty = any */
	char *forward_agent; /* NULL, or the agent's socket to forward (ForwardAgent); part of
				the key */
	bool forward_x11, forward_x11_trusted;
	unsigned forward_x11_timeout; /* seconds; 0 = none */
	char *xauth_location;
	int log_level;	      /* -3 quiet .. 0 info (default), 1..3 = -v .. -vvv (3 = DEBUG3) */
	char *log_level_name; /* as ssh prints it: "INFO" */

	char **raw; /* every line of ssh -G, for listings and later features */
};

/* What the client's process was when it asked: borrowed. */
struct client_context {
	char *const *env; /* NULL-terminated NAME=VALUE */
	const char *cwd;
	char *const *args; /* ssh options as typed; may be NULL */
};

/* Parses the output of `ssh -G` (borrowed). defaults: the output of `ssh -F none -G` for the same
 * binary, to tell what the user chose from what ssh chose; may be NULL (then all counts as chosen).
 * typed: destination as typed. NULL with *why set when the text makes no sense. */
struct destination *destination_parse(const char *text, const char *defaults, const char *typed,
				      const struct client_context *client, struct cause *why);
/* What jump_spec leads to; takes the reference. Once, before anybody else sees d: key and fallback
 * follow from it. */
void destination_set_jump(struct destination *d, struct destination *jump);
struct destination *destination_ref(struct destination *d);
void destination_unref(struct destination *d); /* NULL ok */

/* The variables of env that SendEnv's patterns name and those of SetEnv (which win), as a new
 * NULL-terminated vector of NAME=VALUE (strv_free). TERM is never among them. */
char **destination_session_env(const struct destination *d, char *const *env);

/* The value of the first raw line with this keyword (lower case), or NULL. Borrowed. */
const char *destination_raw(const struct destination *d, const char *keyword);

#endif
