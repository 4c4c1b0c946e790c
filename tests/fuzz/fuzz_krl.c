/* Any bytes as the file of RevokedHostKeys, looked through for one key: no crash, no read beyond
 * the end, and the same verdict twice. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include "daemon/knownhosts_krl.h"
#include "protocol/alloc.h"

static const uint8_t blob[] = "\0\0\0\x0bssh-ed25519\0\0\0\x20"
			      "0123456789abcdef0123456789abcdef";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyblob key = {.data = xmemdup(blob, sizeof(blob) - 1), .len = sizeof(blob) - 1};
	char *text = xmalloc(size + 1); /* with a NUL, as it is promised to be */

	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (knownhosts_krl_check(text, size, &key) != knownhosts_krl_check(text, size, &key))
		abort();
	free(text);
	keyblob_finish(&key);
	return 0;
}
