/* A marker found in a stream, however that is cut. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "daemon/marker.h"

#define MARK "\001abc"

struct stream {
	const char *in, *out, *words;
};

static const struct stream streams[] = {
	{"plain", "plain", ""},
	{MARK "k", "", "k"},
	{"before" MARK "kafter", "beforeafter", "k"},
	{MARK "k" MARK "p", "", "kp"},
	{"a" MARK "kb" MARK "pc", "abc", "kp"},
	{"\001\001abck", "\001", "k"},
	{"\001ab\001abck", "\001ab", "k"},
	{"\001abx", "\001abx", ""},
	{"\001ab", "\001ab", ""},
	{"a\001", "a\001", ""},
};

static void add(char out[64], const char *bytes, size_t len)
{
	size_t used = strlen(out);

	assert_true(used + len < 64);
	memcpy(out + used, bytes, len);
	out[used + len] = '\0';
}

/* In pieces of so many bytes. */
static void run(const struct stream *s, size_t piece)
{
	struct marker m = {.text = MARK, .len = strlen(MARK)};
	char out[64] = "", words[64] = "";
	size_t len = strlen(s->in);

	for (size_t at = 0; at < len;) {
		size_t end = at + piece < len ? at + piece : len;

		while (at < end) {
			struct marker_step step;
			const uint8_t *data = (const uint8_t *)s->in + at;
			size_t n = marker_scan(&m, data, end - at, &step);

			assert_true(n <= end - at && (n > 0 || step.held > 0));
			add(out, m.text, step.held);
			add(out, s->in + at, step.passed);
			if (step.word != '\0')
				add(words, &step.word, 1);
			at += n;
		}
	}
	add(out, m.text, m.matched);
	assert_string_equal(out, s->out);
	assert_string_equal(words, s->words);
}

static void finds_it_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		for (size_t piece = 1; piece <= 16; piece++)
			run(&streams[i], piece);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(finds_it_in_any_pieces)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
