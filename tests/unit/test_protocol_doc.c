/* The frames in hexadecimal in docs/protocol.md are what the encoders make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "protocol/alloc.h"
#include "protocol/encode.h"

enum { DOC_MAX = 1 << 20 };

static int read_doc(void **state)
{
	FILE *f = fopen(HAWSER_SOURCE_DIR "/docs/protocol.md", "r");
	if (!f)
		return -1;
	char *doc = xcalloc(1, DOC_MAX);
	size_t n = fread(doc, 1, DOC_MAX - 1, f);
	fclose(f);
	*state = doc;
	return n > 0 && n < DOC_MAX - 1 ? 0 : -1;
}

static int free_doc(void **state)
{
	free(*state);
	return 0;
}

/* Compares the block "```hex NAME" with the frame, and frees that. */
static void assert_documented(const char *doc, const char *name, uint8_t *frame, size_t len)
{
	char *fence = xasprintf("```hex %s\n", name);
	const char *at = strstr(doc, fence);
	size_t i = 0;

	assert_non_null(frame);
	assert_non_null(at);
	at += strlen(fence);
	for (; *at != '`'; i++) {
		char *end;
		unsigned long byte = strtoul(at, &end, 16);
		assert_ptr_equal(end, at + 2);
		assert_true(i < len);
		if (byte != frame[i])
			fail_msg("%s, byte %zu: %02lx in the document, %02x encoded", name, i, byte,
				 frame[i]);
		at = end + strspn(end, " \n");
	}
	assert_int_equal(i, len);
	free(fence);
	free(frame);
}

static void request(void **state)
{
	char *args[] = {"-p", "2222", NULL}, *env[] = {"HOME=/home/u", "TERM=xterm", NULL};
	const struct proto_request m = {
		.minor = PROTO_MINOR,
		.version = "0.1.0",
		.args = args,
		.host = "web1",
		.command = "uptime",
		.command_len = strlen("uptime"),
		.env = env,
		.cwd = "/home/u",
		.flags = PROTO_CAN_ASK,
		.streams = {PROTO_STREAM_NULL, PROTO_STREAM_FD, PROTO_STREAM_FD},
	};
	size_t len;
	uint8_t *frame = proto_encode_request(1, &m, &len);
	assert_documented(*state, "REQUEST", frame, len);
}

static void exit_status(void **state)
{
	const struct proto_exit m = {.has_status = true, .status = 3, .ran = true};
	size_t len;
	uint8_t *frame = proto_encode_exit(1, &m, &len);
	assert_documented(*state, "EXIT", frame, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request),
		cmocka_unit_test(exit_status),
	};
	return cmocka_run_group_tests(tests, read_doc, free_doc);
}
