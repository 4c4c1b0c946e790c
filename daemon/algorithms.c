#include "daemon/algorithms.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/alloc.h"

/* Host certificates can't be verified by libssh, so no certificate stands among the host keys. */
static const struct {
	const char *keyword, *names;
} supported[] = {
	[ALGORITHM_KEX] = {"kexalgorithms",
			   "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
			   "ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group18-sha512,"
			   "diffie-hellman-group16-sha512,diffie-hellman-group-exchange-sha256,"
			   "diffie-hellman-group14-sha256,diffie-hellman-group-exchange-sha1,"
			   "diffie-hellman-group14-sha1,diffie-hellman-group1-sha1"},
	[ALGORITHM_CIPHER] = {"ciphers",
			      "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,"
			      "aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr,aes256-cbc,"
			      "aes192-cbc,aes128-cbc,3des-cbc"},
	[ALGORITHM_MAC] = {"macs",
			   "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
			   "hmac-sha1-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1"},
	[ALGORITHM_HOSTKEY] = {"hostkeyalgorithms",
			       "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,"
			       "ecdsa-sha2-nistp256,sk-ssh-ed25519@openssh.com,"
			       "sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256,"
			       "ssh-rsa"},
	[ALGORITHM_PUBKEY] = {"pubkeyacceptedalgorithms",
			      "ssh-ed25519-cert-v01@openssh.com,"
			      "sk-ssh-ed25519-cert-v01@openssh.com,"
			      "ecdsa-sha2-nistp521-cert-v01@openssh.com,"
			      "ecdsa-sha2-nistp384-cert-v01@openssh.com,"
			      "ecdsa-sha2-nistp256-cert-v01@openssh.com,"
			      "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com,"
			      "rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com,"
			      "ssh-rsa-cert-v01@openssh.com,"
			      "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,"
			      "ecdsa-sha2-nistp256,sk-ssh-ed25519@openssh.com,"
			      "sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256,"
			      "ssh-rsa"},
};

static bool listed(const char *names, const char *name, size_t len)
{
	while (*names != '\0') {
		size_t one = strcspn(names, ",");

		if (one == len && memcmp(names, name, len) == 0)
			return true;
		names += one + (names[one] == ',');
	}
	return false;
}

char *algorithms_cut(enum algorithm_kind kind, const char *list)
{
	char *out = xmalloc(strlen(list) + 1);
	size_t used = 0;

	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		if (len > 0 && listed(supported[kind].names, list, len)) {
			if (used > 0)
				out[used++] = ',';
			memcpy(out + used, list, len);
			used += len;
		}
		list += len + (list[len] == ',');
	}
	out[used] = '\0';
	if (used == 0) {
		free(out);
		return NULL;
	}
	return out;
}

int algorithms_kind(const char *keyword)
{
	for (size_t i = 0; i < HW_ARRAY_LEN(supported); i++) {
		if (strcmp(supported[i].keyword, keyword) == 0)
			return (int)i;
	}
	return -1;
}
