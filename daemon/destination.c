#include "daemon/destination.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "daemon/algorithms.h"
#include "daemon/destination_fallback.h"
#include "daemon/destination_proxy.h"
#include "daemon/destination_session.h"
#include "daemon/destination_trust.h"
#include "daemon/destination_values.h"
#include "daemon/digest.h"
#include "daemon/expand.h"
#include "daemon/keywords.h"
#include "daemon/pattern.h"
#include "protocol/alloc.h"

#define TIMEOUT_MAX  (7u * 24 * 3600) /* seconds; more is taken for a mistake */
#define ATTEMPTS_MAX 1000u
#define PROMPTS_MAX  100u

/* Used where no PreferredAuthentications line is printed (ssh_config(5)). */
#define DEFAULT_METHODS "gssapi-with-mic,hostbased,publickey,keyboard-interactive,password"

/* What parsing needs besides the result. */
struct parser {
	struct destination *d;
	char **defaults; /* lines of `ssh -F none -G`, or NULL */
	struct expand_context ctx;
	struct destination_hop hop; /* the last of ProxyJump, as written */
	char *trouble;		    /* a value that cannot be expanded: ssh shall say so itself */
};

static const char *line(const struct parser *p, const char *keyword)
{
	return destination_line(p->d->raw, keyword);
}

/* Takes the phrase, which may be NULL. */
static void note_phrase(struct parser *p, char *phrase)
{
	if (p->trouble == NULL)
		p->trouble = phrase;
	else
		free(phrase);
}

static void note_trouble(struct parser *p, const char *title, char *why)
{
	if (p->trouble == NULL)
		p->trouble = xasprintf("%s cannot be expanded (%s)", title, why);
	free(why);
}

/* One line per file, printed as written. */
static char **file_lines(struct parser *p, const char *keyword, const char *title)
{
	char **written = destination_values(p->d->raw, keyword);
	char **files = xcalloc(1, sizeof(*files));
	size_t count = 0;

	for (char **w = written; *w != NULL; w++) {
		char *why = NULL, *path;

		if (strcasecmp(*w, "none") == 0)
			continue;
		path = expand_path(*w, &p->ctx, &why);
		if (path != NULL)
			vector_push(&files, &count, path);
		else
			note_trouble(p, title, why);
	}
	strv_free(written);
	return files;
}

/* Known-hosts files stand on one line, with nothing around a name that has a space in it: where the
 * parts do not look like file names of their own, ssh must read them. -G has expanded tokens of
 * user files already (a second time would be wrong), `~` in old versions and global files not. */
static char **known_hosts_files(struct parser *p, const char *keyword, const char *title)
{
	const char *value = line(p, keyword);
	char **parts, **files = xcalloc(1, sizeof(*files));
	size_t count = 0, nparts;

	if (value == NULL || strcasecmp(value, "none") == 0)
		return files;
	parts = vector_split(value, " \t");
	nparts = strv_len(parts);
	for (char **part = parts; *part != NULL; part++) {
		char *why = NULL, *path = NULL;

		if ((*part)[0] == '~')
			path = expand_path(*part, &p->ctx, &why);
		else if ((*part)[0] == '/')
			path = xstrdup(*part);
		else if (nparts == 1 && p->ctx.cwd != NULL)
			path = xasprintf("%s/%s", p->ctx.cwd, *part);
		else
			why = xstrdup("a relative name, or one with a space");
		if (path != NULL)
			vector_push(&files, &count, path);
		else
			note_trouble(p, title, why);
	}
	strv_free(parts);
	return files;
}

/* IdentityAgent, else SSH_AUTH_SOCK. "$NAME" stands for the variable's value. */
static char *agent_socket(struct parser *p)
{
	const char *value = line(p, "identityagent"), *socket;
	char *why = NULL, *path;

	if (value != NULL && strcasecmp(value, "none") == 0)
		return NULL;
	if (value == NULL || strcmp(value, "SSH_AUTH_SOCK") == 0) {
		socket = expand_getenv(p->ctx.env, "SSH_AUTH_SOCK", strlen("SSH_AUTH_SOCK"));
		return socket != NULL && socket[0] != '\0' ? xstrdup(socket) : NULL;
	}
	if (value[0] == '$' && value[1] != '{') {
		socket = expand_getenv(p->ctx.env, value + 1, strlen(value + 1));
		return socket != NULL && socket[0] != '\0' ? xstrdup(socket) : NULL;
	}
	if (value[0] != '~') /* -G has expanded it */
		return value[0] == '/' || p->ctx.cwd == NULL
			       ? xstrdup(value)
			       : xasprintf("%s/%s", p->ctx.cwd, value);
	path = expand_path(value, &p->ctx, &why);
	if (path == NULL)
		note_trouble(p, "IdentityAgent", why);
	return path;
}

static bool fill_connecting(struct parser *p, struct cause *why)
{
	struct destination *d = p->d;
	const char *family = line(p, "addressfamily"), *port = line(p, "port");
	const char *persist = line(p, "controlpersist"), *qos = line(p, "ipqos");

	if (line(p, "user") == NULL || line(p, "hostname") == NULL ||
	    value_number(port, UINT16_MAX, 0) == 0) {
		cause_set(why, CAUSE_CONFIG,
			  "The answer of ssh -G for %s could not be understood: no user, hostname "
			  "or port in it",
			  d->typed);
		cause_hint(why, "Try: ssh -G %s", d->typed);
		return false;
	}
	d->user = xstrdup(line(p, "user"));
	d->hostname = xstrdup(line(p, "hostname"));
	d->port = (uint16_t)value_number(port, UINT16_MAX, 0);
	d->label = xasprintf(strchr(d->hostname, ':') != NULL ? "%s@[%s]:%u" : "%s@%s:%u", d->user,
			     d->hostname, d->port);
	d->family = AF_UNSPEC;
	if (family != NULL && strcasecmp(family, "inet") == 0)
		d->family = AF_INET;
	else if (family != NULL && strcasecmp(family, "inet6") == 0)
		d->family = AF_INET6;
	d->bind_address = line(p, "bindaddress") ? xstrdup(line(p, "bindaddress")) : NULL;
	d->bind_interface = line(p, "bindinterface") ? xstrdup(line(p, "bindinterface")) : NULL;
	d->connect_timeout = value_number(line(p, "connecttimeout"), TIMEOUT_MAX, 0);
	d->connection_attempts = value_number(line(p, "connectionattempts"), ATTEMPTS_MAX, 1);
	if (d->connection_attempts == 0)
		d->connection_attempts = 1;
	d->tcp_keepalive = value_flag(line(p, "tcpkeepalive"));
	d->tos_interactive = d->tos_bulk = -1;
	if (qos != NULL) {
		size_t first = strcspn(qos, " ");

		d->tos_interactive = value_tos(qos, first);
		d->tos_bulk = qos[first] == ' '
				      ? value_tos(qos + first + 1, strlen(qos + first + 1))
				      : d->tos_interactive;
	}
	d->alive_interval = value_number(line(p, "serveraliveinterval"), TIMEOUT_MAX, 0);
	d->alive_count = value_number(line(p, "serveralivecountmax"), ATTEMPTS_MAX, 3);
	d->persist = -1;
	if (value_flag(persist))
		d->persist = 0;
	else if (!value_is_off(persist))
		d->persist = (long)value_number(persist, INT32_MAX, 0);
	return true;
}

/* NULL where the user left the default, or chose nothing that libssh has (then: fallback). */
static char *chosen(const struct parser *p, enum algorithm_kind kind, const char *keyword)
{
	const char *value = line(p, keyword), *unset = destination_line(p->defaults, keyword);

	if (value == NULL || (unset != NULL && strcmp(value, unset) == 0))
		return NULL;
	return algorithms_cut(kind, value);
}

static void fill_algorithms(struct parser *p)
{
	struct destination *d = p->d;
	const char *rekey = line(p, "rekeylimit");
	unsigned long long bytes = 0;
	unsigned seconds = 0;

	d->kex = chosen(p, ALGORITHM_KEX, "kexalgorithms");
	d->ciphers = chosen(p, ALGORITHM_CIPHER, "ciphers");
	d->macs = chosen(p, ALGORITHM_MAC, "macs");
	d->hostkey_algs = chosen(p, ALGORITHM_HOSTKEY, "hostkeyalgorithms");
	d->pubkey_algs = chosen(p, ALGORITHM_PUBKEY, "pubkeyacceptedalgorithms");
	d->compression = value_flag(line(p, "compression"));
	if (rekey != NULL && sscanf(rekey, "%llu %u", &bytes, &seconds) >= 1) {
		d->rekey_bytes = bytes;
		d->rekey_seconds = seconds;
	}
	d->required_rsa_bits = value_number(line(p, "requiredrsasize"), 65536, 1024);
}

static void fill_trust(struct parser *p)
{
	struct destination *d = p->d;
	const char *hash = line(p, "fingerprinthash");

	d->strict = value_strict(line(p, "stricthostkeychecking"));
	d->hostkey_alias = line(p, "hostkeyalias") ? xstrdup(line(p, "hostkeyalias")) : NULL;
	d->user_known_hosts = known_hosts_files(p, "userknownhostsfile", "UserKnownHostsFile");
	d->global_known_hosts =
		known_hosts_files(p, "globalknownhostsfile", "GlobalKnownHostsFile");
	d->hash_known_hosts = value_flag(line(p, "hashknownhosts"));
	d->check_host_ip = value_flag(line(p, "checkhostip"));
	d->visual_host_key = value_flag(line(p, "visualhostkey"));
	d->no_host_auth_localhost = value_flag(line(p, "nohostauthenticationforlocalhost"));
	d->known_hosts_command = destination_trust_command(line(p, "knownhostscommand"));
	d->revoked_host_keys =
		destination_trust_revoked(line(p, "revokedhostkeys"), p->ctx.cwd, &p->trouble);
	d->fingerprint_hash =
		xstrdup(hash != NULL && strcasecmp(hash, "md5") == 0 ? "MD5" : "SHA256");
}

static bool same_vectors(char *const *a, char *const *b)
{
	for (; *a != NULL && *b != NULL; a++, b++) {
		if (strcmp(*a, *b) != 0)
			return false;
	}
	return *a == NULL && *b == NULL;
}

static void fill_authentication(struct parser *p)
{
	struct destination *d = p->d;
	const char *methods = line(p, "preferredauthentications");
	char **written = destination_values(d->raw, "identityfile");
	char **unset = destination_values(p->defaults, "identityfile");

	d->preferred_auths = vector_split(methods != NULL ? methods : DEFAULT_METHODS, ",");
	/* yes, unbound and host-bound all switch it on. */
	d->pubkey_auth = !value_is_off(line(p, "pubkeyauthentication"));
	d->password_auth = value_flag(line(p, "passwordauthentication"));
	d->kbdint_auth = value_flag(line(p, "kbdinteractiveauthentication"));
	d->gssapi_auth = value_flag(line(p, "gssapiauthentication"));
	d->identity_files = file_lines(p, "identityfile", "IdentityFile");
	d->identity_files_default = p->defaults != NULL && same_vectors(written, unset);
	strv_free(written);
	strv_free(unset);
	d->certificate_files = file_lines(p, "certificatefile", "CertificateFile");
	d->identities_only = value_flag(line(p, "identitiesonly"));
	d->agent_socket = agent_socket(p);
	d->password_prompts = value_number(line(p, "numberofpasswordprompts"), PROMPTS_MAX, 3);
	d->batch_mode = value_flag(line(p, "batchmode"));
	destination_trust_add_keys(d, line(p, "addkeystoagent"));
}

static void key_vector(FILE *f, const char *name, char *const *values)
{
	for (; *values != NULL; values++)
		fprintf(f, "%s %s\n", name, *values);
}

static const char *host_name(const struct destination *d)
{
	const char *host = destination_line(d->raw, "host");

	return host != NULL ? host : d->typed;
}

/* Lines of class KEY as printed, files as they were expanded. */
static bool fill_key(struct destination *d)
{
	char *text = NULL;
	size_t len = 0;
	uint8_t digest[DIGEST_SHA256_LEN];
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return false;
	for (char *const *l = d->raw; *l != NULL; l++) {
		const struct keyword *k = keywords_find(*l, strcspn(*l, " "));

		if (k == NULL || k->cls == KEYWORD_KEY)
			fprintf(f, "%s\n", *l);
	}
	key_vector(f, "=identityfile", d->identity_files);
	key_vector(f, "=certificatefile", d->certificate_files);
	key_vector(f, "=userknownhostsfile", d->user_known_hosts);
	key_vector(f, "=globalknownhostsfile", d->global_known_hosts);
	/* The agent that the environment names is the client's of the moment, and not part of what
	 * the connection is; one that the configuration names is. */
	if (destination_line(d->raw, "identityagent") != NULL &&
	    strcmp(destination_line(d->raw, "identityagent"), "SSH_AUTH_SOCK") != 0)
		fprintf(f, "=identityagent %s\n", d->agent_socket ? d->agent_socket : "none");
	if (d->revoked_host_keys != NULL)
		fprintf(f, "=revokedhostkeys %s\n", d->revoked_host_keys);
	/* It is told the name that was typed, and may go by it. */
	if (d->known_hosts_command != NULL && strchr(d->known_hosts_command, '%') != NULL)
		fprintf(f, "=host %s\n", host_name(d));
	if (d->forward_agent != NULL)
		fprintf(f, "=forwardagent %s\n", d->forward_agent);
	destination_write_proxy_key(f, d);
	if (fclose(f) != 0) {
		free(text);
		return false;
	}
	digest_sha256(text, len, digest);
	digest_hex(digest, sizeof(digest), d->key);
	free(text);
	return true;
}

static char *joined_fallback(struct parser *p)
{
	char *phrase = destination_fallback(p->d, p->defaults);

	if (phrase == NULL) {
		phrase = p->trouble;
		p->trouble = NULL;
	}
	return phrase;
}

static bool fill(struct parser *p, const struct client_context *client, struct cause *why)
{
	struct destination *d = p->d;

	if (!fill_connecting(p, why))
		return false;
	p->ctx.hostname = d->hostname;
	p->ctx.user = d->user;
	p->ctx.port = line(p, "port");
	p->ctx.typed = host_name(d);
	p->ctx.alias = line(p, "hostkeyalias") != NULL ? line(p, "hostkeyalias") : p->ctx.typed;
	p->ctx.env = client->env;
	p->ctx.cwd = client->cwd;
	p->ctx.jump = p->hop.host;
	note_phrase(p, destination_fill_proxy(d, &p->ctx));
	fill_algorithms(p);
	fill_trust(p);
	fill_authentication(p);
	destination_fill_cwd(d, client->cwd);
	note_phrase(p, destination_fill_session(d, &p->ctx, client->args));
	d->fallback = joined_fallback(p);
	if (!fill_key(d)) {
		cause_set(why, CAUSE_INTERNAL, "No memory to resolve %s", d->typed);
		return false;
	}
	return true;
}

struct destination *destination_parse(const char *text, const char *defaults, const char *typed,
				      const struct client_context *client, struct cause *why)
{
	struct parser p = {.d = xcalloc(1, sizeof(*p.d))};
	bool good;

	p.d->refs = 1;
	p.d->typed = xstrdup(typed);
	p.d->raw = vector_split(text, "\r\n");
	p.defaults = defaults != NULL ? vector_split(defaults, "\r\n") : NULL;
	destination_hop_parse(line(&p, "proxyjump"), &p.hop);
	good = fill(&p, client, why);
	destination_hop_finish(&p.hop);
	strv_free(p.defaults);
	free(p.trouble);
	if (good)
		return p.d;
	destination_unref(p.d);
	return NULL;
}

void destination_set_jump(struct destination *d, struct destination *jump)
{
	d->jump = jump;
	/* Who wants nothing held afterwards wants that of the whole way. */
	for (struct destination *j = jump; d->hold_nothing && j != NULL; j = j->jump)
		j->hold_nothing = true;
	if (d->fallback == NULL && jump->fallback != NULL)
		d->fallback = xasprintf("for its jump host %s: %s", jump->typed, jump->fallback);
	/* Its LocalCommand would run beside a session that is none of the user's. */
	if (d->fallback == NULL && jump->local_command != NULL)
		d->fallback = xasprintf("LocalCommand is set for its jump host %s", jump->typed);
	if (!fill_key(d) && d->fallback == NULL)
		d->fallback = xstrdup("there is no memory for its key");
}

struct destination *destination_ref(struct destination *d)
{
	__atomic_add_fetch(&d->refs, 1, __ATOMIC_RELAXED);
	return d;
}

void destination_unref(struct destination *d)
{
	if (d == NULL || __atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(d->typed);
	free(d->label);
	free(d->fallback);
	free(d->user);
	free(d->hostname);
	free(d->bind_address);
	free(d->kex);
	free(d->ciphers);
	free(d->macs);
	free(d->hostkey_algs);
	free(d->pubkey_algs);
	free(d->hostkey_alias);
	strv_free(d->user_known_hosts);
	strv_free(d->global_known_hosts);
	free(d->fingerprint_hash);
	free(d->revoked_host_keys);
	free(d->known_hosts_command);
	strv_free(d->preferred_auths);
	strv_free(d->identity_files);
	strv_free(d->certificate_files);
	free(d->agent_socket);
	free(d->bind_interface);
	destination_finish_proxy(d);
	destination_finish_session(d);
	strv_free(d->raw);
	free(d);
}

const char *destination_raw(const struct destination *d, const char *keyword)
{
	return destination_line(d->raw, keyword);
}

/* Is NAME (of NAME=VALUE) set by one of the vector's strings? */
static bool names_variable(char *const *vector, const char *variable, size_t name_len)
{
	for (; *vector != NULL; vector++) {
		if (strncmp(*vector, variable, name_len + 1) == 0)
			return true;
	}
	return false;
}

static bool wanted(const struct destination *d, const char *variable, size_t name_len)
{
	char *name = xstrndup(variable, name_len);
	bool found = false;

	for (char *const *pattern = d->send_env; *pattern != NULL && !found; pattern++)
		found = pattern_match(name, *pattern, strlen(*pattern));
	free(name);
	return found;
}

char **destination_session_env(const struct destination *d, char *const *env)
{
	char **vars = xcalloc(1, sizeof(*vars));
	size_t count = 0;

	for (; env != NULL && *env != NULL; env++) {
		const char *equals = strchr(*env, '=');
		size_t len = equals != NULL ? (size_t)(equals - *env) : 0;

		if (len == 0 || strncmp(*env, "TERM=", 5) == 0 ||
		    names_variable(d->set_env, *env, len) || !wanted(d, *env, len))
			continue;
		vector_push(&vars, &count, xstrdup(*env));
	}
	for (char *const *set = d->set_env; *set != NULL; set++) {
		if (strchr(*set, '=') != NULL && strncmp(*set, "TERM=", 5) != 0)
			vector_push(&vars, &count, xstrdup(*set));
	}
	return vars;
}
