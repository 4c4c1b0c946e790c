/* Any bytes as a payload: no crash, no leak, no read beyond the end. What decodes as a REQUEST is
 * encoded again and must decode once more: readers and writers have the same limits. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include "protocol/encode.h"
#include "protocol/log.h"
#include "tests/decode_any.h"

static void check(bool good, const char *what)
{
	if (!good) {
		log_error("%s", what);
		abort();
	}
}

static void again(const struct proto_message *m)
{
	struct proto_request first, second;
	struct proto_message copy;
	size_t len;

	if (proto_decode_request(m, &first) != HW_OK)
		return;
	uint8_t *frame = proto_encode_request(m->request, &first, &len);
	/* Keys that were skipped had room in the frame; those that are written always may not. */
	if (frame) {
		check(proto_parse(frame + PROTO_HEADER_SIZE, len - PROTO_HEADER_SIZE, &copy) ==
			      HW_OK,
		      "what was encoded does not parse");
		check(proto_decode_request(&copy, &second) == HW_OK,
		      "what was encoded does not decode");
		check(second.flags == first.flags && second.command_len == first.command_len,
		      "what was encoded decodes as something else");
		proto_request_free(&second);
		proto_message_finish(&copy);
	}
	free(frame);
	proto_request_free(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proto_message m;

	int r = decode_any(data, size);
	check(r == HW_OK || r == HW_EPROTO, "no such verdict");
	if (proto_parse(data, size, &m) == HW_OK) {
		again(&m);
		proto_message_finish(&m);
	}
	return 0;
}
