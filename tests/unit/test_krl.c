/* Revocation lists: each byte of a real one is cut off and changed; and pictures of keys. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/knownhosts_art.h"
#include "daemon/knownhosts_krl.h"
#include "tests/unit/trust_helpers.h"

static char *dir;

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void shell(const char *command)
{
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", xasprintf("cd %s && %s", dir, command),
			NULL};
	struct resolve_output o;

	assert_int_equal(resolve_run(argv[0], argv, environ, "/", -1, 30000, &o), HW_OK);
	if (o.status != 0)
		fail_msg("%s: %s", command, o.err);
	resolve_output_finish(&o);
	free(argv[2]);
}

/* The whole file with a NUL behind it. */
static char *bytes_of(const char *name, size_t *len)
{
	char *path = in_dir(name), *data = xcalloc(1, 65536);
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	*len = fread(data, 1, 65535, f);
	fclose(f);
	free(path);
	return data;
}

static ssh_key load(const char *name)
{
	char *path = in_dir(name);
	ssh_key key = NULL;

	assert_int_equal(ssh_pki_import_pubkey_file(path, &key), SSH_OK);
	free(path);
	return key;
}

static struct keyblob blob_of(const char *name)
{
	ssh_key key = load(name);
	struct keyblob blob;

	assert_true(keyblob_from_key(key, &blob));
	ssh_key_free(key);
	return blob;
}

static int start(void **state)
{
	(void)state;
	dir = make_temp_dir();
	shell("for t in ed25519 ecdsa rsa; do ssh-keygen -q -t $t -N '' -f $t; done; "
	      "ssh-keygen -q -t ecdsa -b 521 -N '' -f big; ssh-keygen -q -t ed25519 -N '' -f ca; "
	      "echo \"sha1: $(cat ecdsa.pub)\" >spec; echo \"sha256: $(cat rsa.pub)\" >>spec; "
	      "echo 'serial: 5-9' >>spec; echo 'id: x' >>spec; "
	      "ssh-keygen -q -k -f list -s ca.pub spec ed25519.pub");
	return 0;
}

static int finish(void **state)
{
	(void)state;
	remove_temp_dir(dir);
	return 0;
}

static enum krl_verdict judge(const char *data, size_t len, const char *key)
{
	struct keyblob blob = blob_of(key);
	/* Of its exact size, so that a read beyond it is seen. */
	char *copy = xcalloc(1, len + 1);
	enum krl_verdict verdict;

	memcpy(copy, data, len);
	verdict = knownhosts_krl_check(copy, len, &blob);
	free(copy);
	keyblob_finish(&blob);
	return verdict;
}

static void each_section_counts(void **state)
{
	size_t len;
	char *data = bytes_of("list", &len);

	(void)state;
	assert_int_equal(judge(data, len, "ed25519.pub"), KRL_REVOKED);
	assert_int_equal(judge(data, len, "ecdsa.pub"), KRL_REVOKED);
	assert_int_equal(judge(data, len, "rsa.pub"), KRL_REVOKED);
	assert_int_equal(judge(data, len, "big.pub"), KRL_CLEAR);
	free(data);
}

/* Whatever is missing or wrong, the list never lets a revoked key through by being cut. */
static void broken_lists_say_nothing(void **state)
{
	struct keyblob other = blob_of("big.pub");
	size_t len, clear = 0;
	char *data = bytes_of("list", &len);

	(void)state;
	for (size_t cut = 8; cut < len; cut++) {
		char *copy = xcalloc(1, cut + 1);

		memcpy(copy, data, cut);
		clear += knownhosts_krl_check(copy, cut, &other) == KRL_CLEAR;
		free(copy);
	}
	/* Only where a section ends: behind the head and the first three of four. */
	assert_int_equal(clear, 4);
	for (size_t i = 8; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			data[i] = (char)(data[i] ^ (1 << bit));
			(void)judge(data, len, "ed25519.pub");
			data[i] = (char)(data[i] ^ (1 << bit));
		}
	}
	keyblob_finish(&other);
	free(data);
}

static void what_must_be_understood_ends_it(void **state)
{
	static const char critical[] = "\xff\0\0\0\x0d\0\0\0\4name\1\0\0\0\0";
	static const char harmless[] = "\xff\0\0\0\x0d\0\0\0\4name\0\0\0\0\0";
	static const char unknown[] = "\x42\0\0\0\0";
	size_t len;
	char *data = bytes_of("list", &len);

	(void)state;
	memcpy(data + len, harmless, sizeof(harmless) - 1);
	assert_int_equal(judge(data, len + sizeof(harmless) - 1, "big.pub"), KRL_CLEAR);
	memcpy(data + len, critical, sizeof(critical) - 1);
	assert_int_equal(judge(data, len + sizeof(critical) - 1, "big.pub"), KRL_BROKEN);
	memcpy(data + len, unknown, sizeof(unknown) - 1);
	assert_int_equal(judge(data, len + sizeof(unknown) - 1, "big.pub"), KRL_BROKEN);
	free(data);
}

static void texts(void **state)
{
	size_t len;
	char *key = bytes_of("rsa.pub", &len), *text;

	(void)state;
	text = xasprintf("# one\r\n\n \t%s", key);
	assert_int_equal(judge(text, strlen(text), "rsa.pub"), KRL_REVOKED);
	assert_int_equal(judge(text, strlen(text), "ed25519.pub"), KRL_CLEAR);
	assert_int_equal(judge("nonsense\n", 9, "rsa.pub"), KRL_BROKEN);
	assert_int_equal(judge("ssh-rsa AAAA\n", 13, "rsa.pub"), KRL_BROKEN);
	assert_int_equal(judge("", 0, "rsa.pub"), KRL_CLEAR);
	assert_int_equal(judge("a\0b\n", 4, "rsa.pub"), KRL_BROKEN);
	free(text);
	free(key);
}

static void pictures_are_ssh_keygens(void **state)
{
	static const char *const names[] = {"ed25519", "ecdsa", "rsa", "big"};
	static const char *const hashes[] = {"SHA256", "MD5"};

	(void)state;
	for (size_t i = 0; i < HW_ARRAY_LEN(names) * HW_ARRAY_LEN(hashes); i++) {
		const char *hash = hashes[i % 2];
		char *pub = xasprintf("%s.pub", names[i / 2]), *art, *want;
		struct keyblob blob = blob_of(pub);
		char *command =
			xasprintf("ssh-keygen -lv -E %s -f %s | tail -n +2 >art", hash, pub);
		size_t len;

		shell(command);
		want = bytes_of("art", &len);
		want[len - 1] = '\0';
		art = knownhosts_art(hash, &blob);
		assert_string_equal(art, want);
		free(art);
		free(want);
		free(command);
		keyblob_finish(&blob);
		free(pub);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_section_counts),
		cmocka_unit_test(broken_lists_say_nothing),
		cmocka_unit_test(what_must_be_understood_ends_it),
		cmocka_unit_test(texts),
		cmocka_unit_test(pictures_are_ssh_keygens),
	};

	return cmocka_run_group_tests(tests, start, finish);
}
