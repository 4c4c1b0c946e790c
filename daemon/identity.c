#include "daemon/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/alloc.h"

/* No key is near this size; a path that names something else must not be read whole. */
#define IDENTITY_SIZE_MAX (256 * 1024)

static bool is_plain_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= IDENTITY_SIZE_MAX;
}

ssh_key identity_load_public(const char *path)
{
	ssh_key key = NULL;
	char *pub;

	if (is_plain_file(path) && ssh_pki_import_pubkey_file(path, &key) == SSH_OK)
		return key;
	pub = xasprintf("%s.pub", path);
	if (!is_plain_file(pub) || ssh_pki_import_pubkey_file(pub, &key) != SSH_OK)
		key = NULL;
	free(pub);
	return key;
}

/* The whole file, NUL-terminated, or NULL with *state and why. */
static char *read_file(const char *path, size_t *size, enum identity_state *state, char *why,
		       size_t why_size, bool private)
{
	/* O_NONBLOCK: a FIFO must not hold us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *text = NULL;
	ssize_t n = -1;

	*state = errno == ENOENT || errno == ENOTDIR ? IDENTITY_MISSING : IDENTITY_UNREADABLE;
	if (fd == -1 || fstat(fd, &st) != 0) {
		snprintf(why, why_size, "%s", strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > IDENTITY_SIZE_MAX) {
		*state = IDENTITY_UNUSABLE;
		snprintf(why, why_size, "not a key file");
	} else if (private && st.st_uid == getuid() && (st.st_mode & 077) != 0) {
		*state = IDENTITY_TOO_OPEN;
		snprintf(why, why_size, "permissions %04o are too open",
			 (unsigned)st.st_mode & 0777u);
	} else {
		*size = (size_t)st.st_size + 1;
		text = xcalloc(1, *size);
		n = read(fd, text, (size_t)st.st_size);
		if (n < 0) {
			*state = IDENTITY_UNREADABLE;
			snprintf(why, why_size, "%s", strerror(errno));
			free_secret(text, *size);
			text = NULL;
		}
	}
	if (fd != -1)
		close(fd);
	return text;
}

/* libssh asks for a passphrase here when the key is encrypted and none was given. */
static int on_passphrase(const char *prompt, char *buf, size_t len, int echo, int verify,
			 void *userdata)
{
	bool *asked = userdata;

	(void)prompt;
	(void)buf;
	(void)len;
	(void)echo;
	(void)verify;
	*asked = true;
	return -1;
}

enum identity_state identity_load_private(const char *path, const char *passphrase, ssh_key *key,
					  char *why, size_t why_size)
{
	enum identity_state state;
	bool asked = false;
	size_t size = 0;
	char *text = read_file(path, &size, &state, why, why_size, true);

	*key = NULL;
	if (text == NULL)
		return state;
	if (ssh_pki_import_privkey_base64(text, passphrase, on_passphrase, &asked, key) == SSH_OK) {
		state = IDENTITY_OK;
	} else if (asked || passphrase != NULL) {
		state = IDENTITY_ENCRYPTED;
		snprintf(why, why_size, "%s",
			 passphrase != NULL ? "wrong passphrase" : "encrypted");
	} else {
		state = IDENTITY_UNUSABLE;
		snprintf(why, why_size, "libssh cannot read this kind of key");
	}
	free_secret(text, size);
	return state;
}

ssh_key identity_load_cert(const char *path)
{
	ssh_key cert = NULL;

	if (!is_plain_file(path) || ssh_pki_import_cert_file(path, &cert) != SSH_OK)
		return NULL;
	return cert;
}

char *identity_read(const char *path)
{
	enum identity_state state;
	char why[128];
	size_t size;

	return read_file(path, &size, &state, why, sizeof(why), false);
}
