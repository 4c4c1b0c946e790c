/* Any bytes as what a server sends until its keys are new: no crash, no read beyond the end, and a
 * proof that is whole or none. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include "daemon/handshake_proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_binding b = {.host_key = {.data = NULL}};
	bool found = handshake_proof_parse(data, size, &b);

	if (found != (b.host_key.data != NULL && b.host_key.len > 0) ||
	    found != (b.signature.data != NULL && b.signature.len > 0))
		abort();
	agent_binding_finish(&b);
	return 0;
}
