/* The server's first words, taken apart: whatever they are, nothing is read beyond them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/handshake_proof.h"
#include "protocol/alloc.h"

static void put_packet(struct sshwire_out *out, uint8_t type, const struct sshwire_out *body)
{
	struct sshwire_out packet = {.data = NULL};

	sshwire_put_u8(&packet, 4);
	sshwire_put_u8(&packet, type);
	sshwire_put_bytes(&packet, body->data, body->len);
	sshwire_put_bytes(&packet, "pad!", 4);
	sshwire_put_string(out, packet.data, packet.len);
	sshwire_out_finish(&packet);
}

/* Words, banner, KEXINIT, a group, the reply, NEWKEYS. */
static struct sshwire_out stream(uint8_t reply_type)
{
	struct sshwire_out out = {.data = NULL}, body = {.data = NULL}, none = {.data = NULL};

	sshwire_put_bytes(&out, "a word\r\nSSH-2.0-x\r\n", 19);
	sshwire_put_bytes(&body, "0123456789", 10);
	put_packet(&out, 20, &body);
	sshwire_out_finish(&body);
	sshwire_put_string(&body, "prime", 5);
	sshwire_put_string(&body, "g", 1);
	put_packet(&out, 31, &body);
	sshwire_out_finish(&body);
	sshwire_put_string(&body, "the key", 7);
	sshwire_put_string(&body, "share", 5);
	sshwire_put_string(&body, "signature", 9);
	put_packet(&out, reply_type, &body);
	put_packet(&out, 21, &none);
	sshwire_out_finish(&body);
	return out;
}

static bool parse(const uint8_t *data, size_t len, struct agent_binding *b)
{
	/* Of its exact size, so that a read beyond it is seen. */
	uint8_t *copy = xmemdup(data, len);
	bool found;

	*b = (struct agent_binding){.host_key = {.data = NULL}};
	found = handshake_proof_parse(copy, len, b);
	free(copy);
	return found;
}

static void finish(struct agent_binding *b)
{
	keyblob_finish(&b->host_key);
	keyblob_finish(&b->signature);
}

static void the_reply_is_found(void **state)
{
	(void)state;
	for (uint8_t type = 31; type <= 33; type = (uint8_t)(type + 2)) {
		struct sshwire_out s = stream(type);
		struct agent_binding b;

		assert_true(parse(s.data, s.len, &b));
		assert_int_equal(b.host_key.len, 7);
		assert_memory_equal(b.host_key.data, "the key", 7);
		assert_int_equal(b.signature.len, 9);
		assert_memory_equal(b.signature.data, "signature", 9);
		finish(&b);
		sshwire_out_finish(&s);
	}
}

static void cut_and_changed(void **state)
{
	struct sshwire_out s = stream(33);
	struct agent_binding b;
	size_t found = 0;

	(void)state;
	for (size_t len = 1; len < s.len; len++) {
		found += parse(s.data, len, &b);
		finish(&b);
	}
	assert_int_equal(found, 10); /* only NEWKEYS, of 10 bytes, may be missing */
	for (size_t i = 0; i < s.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			s.data[i] ^= (uint8_t)(1u << bit);
			(void)parse(s.data, s.len, &b);
			finish(&b);
			s.data[i] ^= (uint8_t)(1u << bit);
		}
	}
	sshwire_out_finish(&s);
}

static void nothing_behind_newkeys(void **state)
{
	struct sshwire_out s = {.data = NULL}, full = stream(33), none = {.data = NULL};
	struct agent_binding b;

	(void)state;
	sshwire_put_bytes(&s, "SSH-2.0-x\r\n", 11);
	put_packet(&s, 21, &none);
	sshwire_put_bytes(&s, full.data + 19, full.len - 19);
	assert_false(parse(s.data, s.len, &b));
	sshwire_out_finish(&s);
	sshwire_out_finish(&full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reply_is_found),
		cmocka_unit_test(cut_and_changed),
		cmocka_unit_test(nothing_behind_newkeys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
