/* Host keys in files, with ssh-keygen as the judge where it can be. */
#include "tests/unit/trust_helpers.h"

#include <strings.h>

#include "daemon/digest.h"
#include "daemon/knownhosts.h"
#include "daemon/knownhosts_match.h"

/* Two keys of one type and one of another: base64 and decoded. */
struct key {
	const char *type;
	char *text;
	uint8_t *blob;
	size_t len;
};

struct fixture {
	char *dir, *user, *global;
	struct key a, b, rsa;
	struct knownhosts kh;
};

static void make_key(struct fixture *f, struct key *k, const char *type, const char *name)
{
	char *path = xasprintf("%s/%s", f->dir, name), *pub = xasprintf("%s.pub", path), *text,
	     *end;

	free(RUN("ssh-keygen", "-q", "-t", (char *)(uintptr_t)type, "-N", "", "-C", "", "-f",
		 path));
	text = read_file(pub);
	k->text = strchr(text, ' ');
	assert_non_null(k->text);
	k->text = xstrdup(k->text + 1);
	end = k->text + strcspn(k->text, " \n");
	*end = '\0';
	k->blob = digest_unbase64(k->text, strlen(k->text), &k->len);
	assert_non_null(k->blob);
	free(text);
	free(pub);
	free(path);
}

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.dir = make_temp_dir();
	f.user = xasprintf("%s/known_hosts", f.dir);
	f.global = xasprintf("%s/ssh_known_hosts", f.dir);
	f.a.type = f.b.type = "ssh-ed25519";
	f.rsa.type = "ssh-rsa";
	make_key(&f, &f.a, "ed25519", "a");
	make_key(&f, &f.b, "ed25519", "b");
	make_key(&f, &f.rsa, "rsa", "rsa");
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct key *keys[] = {&f->a, &f->b, &f->rsa};

	for (size_t i = 0; i < HW_ARRAY_LEN(keys); i++) {
		free(keys[i]->text);
		free(keys[i]->blob);
	}
	free(f->user);
	free(f->global);
	remove_temp_dir(f->dir);
	return 0;
}

/* Writes a file in which A, B and R stand for "type base64" of the three keys, and X for A's key
 * under the name of another type. */
static void write_lines(struct fixture *f, const char *path, const char *lines)
{
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	for (; *lines != '\0'; lines++) {
		const struct key *k = *lines == 'A'   ? &f->a
				      : *lines == 'B' ? &f->b
				      : *lines == 'R' ? &f->rsa
						      : NULL;

		if (k != NULL)
			fprintf(out, "%s %s", k->type, k->text);
		else if (*lines == 'X')
			fprintf(out, "ssh-rsa %s", f->a.text);
		else
			fputc(*lines, out);
	}
	assert_int_equal(fclose(out), 0);
}

static enum knownhosts_state check(struct fixture *f, const char *name, uint16_t port,
				   const struct key *k, unsigned *line)
{
	char *user[] = {f->user, NULL}, *global[] = {f->global, NULL};
	const struct knownhosts_entry *match = NULL;
	enum knownhosts_state state;

	knownhosts_load(&f->kh, user, global, name, port);
	state = knownhosts_check(&f->kh, k->type, k->blob, k->len, &match);
	if (line != NULL)
		*line = match != NULL ? match->line : 0;
	knownhosts_finish(&f->kh);
	return state;
}

static void test_states(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *lines, *host;
		uint16_t port;
		char key;
		enum knownhosts_state state;
		unsigned line;
	} cases[] = {
		{"", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"h A\n", "h", 22, 'A', KNOWNHOSTS_OK, 1},
		{"h A\n", "H", 22, 'A', KNOWNHOSTS_OK, 1},
		{"H.Example A\n", "h.example", 22, 'A', KNOWNHOSTS_OK, 1},
		{"h A", "h", 22, 'A', KNOWNHOSTS_OK, 1},
		{"h A\r\n", "h", 22, 'A', KNOWNHOSTS_OK, 1},
		{"\t h \t A comment here\n", "h", 22, 'A', KNOWNHOSTS_OK, 1},
		{"# c\n\nh A\n", "h", 22, 'A', KNOWNHOSTS_OK, 3},
		{"h B\n", "h", 22, 'A', KNOWNHOSTS_CHANGED, 1},
		{"h B\nh A\n", "h", 22, 'A', KNOWNHOSTS_OK, 2},
		{"g A\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		/* a key of another type counts as changed; the line with our type is shown */
		{"h R\n", "h", 22, 'A', KNOWNHOSTS_CHANGED, 1},
		{"h R\nh B\n", "h", 22, 'A', KNOWNHOSTS_CHANGED, 2},
		/* lists, wildcards, negation */
		{"x,h,y A\n", "h", 22, 'A', KNOWNHOSTS_OK, 1},
		{"*.x A\n", "h.x", 22, 'A', KNOWNHOSTS_OK, 1},
		{"*.x A\n", "h.y", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"h?.x A\n", "h1.x", 22, 'A', KNOWNHOSTS_OK, 1},
		{"h?.x A\n", "h12.x", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"*.x,!bad.x A\n", "bad.x", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"!bad.x,*.x A\n", "bad.x", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"!bad.x,*.x A\n", "good.x", 22, 'A', KNOWNHOSTS_OK, 1},
		{"!bad.x A\n", "good.x", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		/* ports */
		{"[h]:2222 A\n", "h", 2222, 'A', KNOWNHOSTS_OK, 1},
		{"[h]:2222 A\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"[h]:2222 A\n", "h", 2223, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"[*]:2222 A\n", "h", 2222, 'A', KNOWNHOSTS_OK, 1},
		{"[::1]:2222 A\n", "::1", 2222, 'A', KNOWNHOSTS_OK, 1},
		{"h A\n", "h", 2222, 'A', KNOWNHOSTS_OK, 1},
		{"h B\n", "h", 2222, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"h A\n[h]:2222 B\n", "h", 2222, 'A', KNOWNHOSTS_CHANGED, 2},
		{"h B\n[h]:2222 A\n", "h", 2222, 'A', KNOWNHOSTS_OK, 2},
		/* markers */
		{"h A\n@revoked * A\n", "h", 22, 'A', KNOWNHOSTS_REVOKED, 2},
		{"@revoked h A\n", "h", 2222, 'A', KNOWNHOSTS_REVOKED, 1},
		{"[h]:2222 A\n@revoked h A\n", "h", 2222, 'A', KNOWNHOSTS_REVOKED, 2},
		{"@revoked g A\nh A\n", "h", 22, 'A', KNOWNHOSTS_OK, 2},
		{"@revoked h B\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"@cert-authority *.x A\n", "h.x", 22, 'B', KNOWNHOSTS_CA_ONLY, 1},
		{"@cert-authority *.x A\n", "h.x", 22, 'A', KNOWNHOSTS_CA_ONLY, 1},
		{"@cert-authority * B\nh A\n", "h", 22, 'A', KNOWNHOSTS_OK, 2},
		{"@cert-authority * A\nh A\n", "h", 22, 'B', KNOWNHOSTS_CA_ONLY, 1},
		{"@nonsense h A\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"@revoked @revoked h A\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		/* what makes no sense is passed over */
		{"h\nh ssh-ed25519\nh ssh-ed25519 !!!!\nh ssh-ed25519 AAAAB3Nz\nh ssh-rsa x\nh A\n",
		 "h", 22, 'A', KNOWNHOSTS_OK, 6},
		{"h X\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"h A=\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"|1|short|x A\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
		{"|1| A\n|2|a|b A\n| A\n", "h", 22, 'A', KNOWNHOSTS_UNKNOWN, 0},
	};

	write_lines(f, f->global, "");
	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		const struct key *k = cases[i].key == 'A' ? &f->a : &f->b;
		enum knownhosts_state got;
		unsigned line;

		write_lines(f, f->user, cases[i].lines);
		got = check(f, cases[i].host, cases[i].port, k, &line);
		if (got != cases[i].state || line != cases[i].line)
			fail_msg("case %zu (%s): state %d, line %u", i, cases[i].lines, got, line);
	}
}

static void test_two_files(void **state)
{
	struct fixture *f = *state;
	char *user[] = {f->user, NULL}, *global[] = {f->global, NULL};

	write_lines(f, f->user, "h B\n");
	write_lines(f, f->global, "h A\n");
	assert_int_equal(check(f, "h", 22, &f->a, NULL), KNOWNHOSTS_OK);
	knownhosts_load(&f->kh, user, global, "h", 22);
	assert_int_equal(f->kh.count, 2);
	assert_false(f->kh.entries[0].global);
	assert_true(f->kh.entries[1].global);
	assert_string_equal(f->kh.entries[1].file, f->global);
	knownhosts_finish(&f->kh);
	/* revoked in one file is revoked for both */
	write_lines(f, f->user, "h A\n");
	write_lines(f, f->global, "@revoked * A\n");
	assert_int_equal(check(f, "h", 22, &f->a, NULL), KNOWNHOSTS_REVOKED);
}

static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	char *files[] = {f->dir, NULL},
	     *missing[] = {"/no.such/dir/known_hosts", "/dev/null", NULL};
	FILE *big;

	write_lines(f, f->global, "");
	knownhosts_load(&f->kh, missing, NULL, "h", 22);
	assert_null(f->kh.unreadable);
	assert_int_equal(f->kh.count, 0);
	knownhosts_finish(&f->kh);
	knownhosts_load(&f->kh, files, NULL, "h", 22);
	assert_non_null(strstr(f->kh.unreadable, "directory"));
	knownhosts_finish(&f->kh);
	files[0] = f->user;
	big = fopen(f->user, "we");
	assert_int_equal(ftruncate(fileno(big), 16 * 1024 * 1024 + 1), 0);
	fclose(big);
	knownhosts_load(&f->kh, files, NULL, "h", 22);
	assert_non_null(strstr(f->kh.unreadable, "16 MiB"));
	knownhosts_finish(&f->kh);
	/* One long line of stars: quick, and no match. */
	big = fopen(f->user, "we");
	for (int i = 0; i < 100000; i++)
		fputs("*a", big);
	fputs("b ssh-ed25519 AAAA\n", big);
	fclose(big);
	assert_int_equal(check(f, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 22, &f->a, NULL),
			 KNOWNHOSTS_UNKNOWN);
}

/* Lines that ssh-keygen hashed are found, by the right name only. */
static void test_hashed_by_ssh_keygen(void **state)
{
	struct fixture *f = *state;
	char *text;

	write_lines(f, f->global, "");
	write_lines(f, f->user, "h A\n[h]:2222 B\ntwo,2001:db8::1 R\n");
	free(RUN("ssh-keygen", "-q", "-H", "-f", f->user));
	text = read_file(f->user);
	assert_null(strstr(text, "h "));
	free(text);
	assert_int_equal(check(f, "h", 22, &f->a, NULL), KNOWNHOSTS_OK);
	assert_int_equal(check(f, "h", 22, &f->b, NULL), KNOWNHOSTS_CHANGED);
	assert_int_equal(check(f, "h", 2222, &f->b, NULL), KNOWNHOSTS_OK);
	assert_int_equal(check(f, "h", 2223, &f->b, NULL), KNOWNHOSTS_UNKNOWN);
	assert_int_equal(check(f, "two", 22, &f->rsa, NULL), KNOWNHOSTS_OK);
	assert_int_equal(check(f, "2001:db8::1", 22, &f->rsa, NULL), KNOWNHOSTS_OK);
	assert_int_equal(check(f, "three", 22, &f->rsa, NULL), KNOWNHOSTS_UNKNOWN);
}

/* What we write, ssh-keygen finds. */
static void test_append(void **state)
{
	struct fixture *f = *state;
	char *sub = xasprintf("%s/new", f->dir), *file = xasprintf("%s/known_hosts", sub);
	char why[256] = "", *out;
	char *files[] = {file, NULL};
	struct stat st;

	for (int hashed = 0; hashed < 2; hashed++) {
		assert_int_equal(knownhosts_append(file, "Web1", NULL, 22, hashed, f->a.type,
						   f->a.blob, f->a.len, why, sizeof(why)),
				 HW_OK);
		assert_int_equal(knownhosts_append(file, "web1", NULL, 2222, hashed, f->rsa.type,
						   f->rsa.blob, f->rsa.len, why, sizeof(why)),
				 HW_OK);
		assert_int_equal(stat(sub, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
		assert_int_equal(stat(file, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		out = RUN("ssh-keygen", "-F", "web1", "-f", file);
		assert_non_null(strstr(out, f->a.text));
		assert_null(strstr(out, f->rsa.text));
		free(out);
		out = RUN("ssh-keygen", "-F", "[web1]:2222", "-f", file);
		assert_non_null(strstr(out, f->rsa.text));
		free(out);
		out = read_file(file);
		assert_int_equal(strncmp(out, hashed ? "|1|" : "web1 ", hashed ? 3 : 5), 0);
		free(out);
		knownhosts_load(&f->kh, files, NULL, "web1", 2222);
		assert_int_equal(
			knownhosts_check(&f->kh, f->rsa.type, f->rsa.blob, f->rsa.len, NULL),
			KNOWNHOSTS_OK);
		knownhosts_finish(&f->kh);
		assert_int_equal(unlink(file), 0);
	}
	/* A last line without its newline is not glued to ours. */
	write_file(file, "# by hand");
	assert_int_equal(knownhosts_append(file, "h", NULL, 22, false, f->a.type, f->a.blob,
					   f->a.len, why, sizeof(why)),
			 HW_OK);
	out = read_file(file);
	assert_int_equal(strncmp(out, "# by hand\nh ssh-ed25519 ", 24), 0);
	free(out);
	/* Names that would be read back as something else, and files that can't be written. */
	assert_int_equal(knownhosts_append(file, "h,*", NULL, 22, false, f->a.type, f->a.blob,
					   f->a.len, why, sizeof(why)),
			 HW_EINVAL);
	assert_int_equal(knownhosts_append(f->dir, "h", NULL, 22, false, f->a.type, f->a.blob,
					   f->a.len, why, sizeof(why)),
			 HW_ESYS);
	assert_non_null(strstr(why, "h could not be added"));
	free(file);
	free(sub);
}

static void test_fingerprint(void **state)
{
	struct fixture *f = *state;
	static const char *const hashes[] = {"SHA256", "MD5"};
	const struct key *keys[] = {&f->a, &f->rsa};
	static const char *const names[] = {"a", "rsa"};

	for (size_t k = 0; k < HW_ARRAY_LEN(keys); k++) {
		for (size_t i = 0; i < HW_ARRAY_LEN(hashes); i++) {
			char *pub = xasprintf("%s/%s.pub", f->dir, names[k]);
			char *out = RUN("ssh-keygen", "-l", "-E", (char *)(uintptr_t)hashes[i],
					"-f", pub);
			char *fp = knownhosts_fingerprint(hashes[i], keys[k]->blob, keys[k]->len);
			char *words = xasprintf(" %s ", fp);

			assert_non_null(strstr(out, words));
			free(words);
			free(fp);
			free(out);
			free(pub);
		}
	}
}

static void test_order(void **state)
{
	struct fixture *f = *state;
	char *user[] = {f->user, NULL};
	const char *offered = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";
	static const struct {
		const char *lines, *expected;
	} cases[] = {
		{"", "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"},
		{"h R\n", "rsa-sha2-512,rsa-sha2-256,ssh-ed25519,ecdsa-sha2-nistp256"},
		{"h R\nh A\n", "ssh-ed25519,rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256"},
		{"@revoked h R\n", "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"},
	};
	char *ordered;

	for (size_t i = 0; i < HW_ARRAY_LEN(cases); i++) {
		write_lines(f, f->user, cases[i].lines);
		knownhosts_load(&f->kh, user, NULL, "h", 22);
		ordered = knownhosts_order_algorithms(&f->kh, offered);
		assert_string_equal(ordered, cases[i].expected);
		free(ordered);
		ordered = knownhosts_order_algorithms(&f->kh, "");
		assert_string_equal(ordered, "");
		free(ordered);
		knownhosts_finish(&f->kh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),	   cmocka_unit_test(test_two_files),
		cmocka_unit_test(test_unreadable), cmocka_unit_test(test_hashed_by_ssh_keygen),
		cmocka_unit_test(test_append),	   cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
