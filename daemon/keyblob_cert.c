/* What a certificate says of itself (OpenSSH's PROTOCOL.certkeys). */
#include "daemon/keyblob.h"

#include "daemon/keyblob_priv.h"
#include "daemon/sshwire.h"

bool keyblob_cert_end(const struct keyblob *cert, uint64_t *valid_before, char *id, size_t id_size)
{
	struct sshwire_in in = {.data = cert->data, .len = cert->len}, name;
	unsigned numbers = keyblob_count_numbers(keyblob_short_type(cert));
	uint64_t serial, valid_after;
	uint32_t kind;
	size_t n = 0;

	if (cert->data == NULL || numbers == 0 || !keyblob_is_cert(cert))
		return false;
	/* Type, nonce, the key's numbers; then serial, kind, key id, principals, validity. */
	if (!sshwire_skip_strings(&in, 2 + numbers) || !sshwire_u64(&in, &serial) ||
	    !sshwire_u32(&in, &kind) || !sshwire_string(&in, &name) ||
	    !sshwire_skip_strings(&in, 1) || !sshwire_u64(&in, &valid_after) ||
	    !sshwire_u64(&in, valid_before))
		return false;
	for (; n < name.len && n + 1 < id_size && name.data[n] != '\0'; n++)
		id[n] = (char)name.data[n];
	id[n] = '\0';
	return true;
}
