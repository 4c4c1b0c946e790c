/* The table of keywords against the installed ssh, and docs/compatibility.md against the table. */
#include "tests/unit/trust_helpers.h"

#include <strings.h>

#include "daemon/algorithms.h"
#include "daemon/destination_values.h"
#include "daemon/keywords.h"

static void test_sorted_and_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < keywords_count; i++) {
		const struct keyword *k = &keywords_table[i];

		assert_ptr_equal(keywords_find(k->name, strlen(k->name)), k);
		assert_ptr_equal(keywords_find(k->title, strlen(k->title)), k);
		assert_int_equal(strcasecmp(k->name, k->title), 0);
		assert_int_equal(k->rule == RULE_IF_VALUE, k->value != NULL);
		assert_int_equal(k->rule == RULE_ALGORITHMS, algorithms_kind(k->name) >= 0);
		if (i > 0)
			assert_true(strcmp(keywords_table[i - 1].name, k->name) < 0);
	}
	assert_null(keywords_find("nonsense", 8));
	assert_null(keywords_find("user", 3));
	assert_null(keywords_find("", 0));
}

static void check_lines(char *text)
{
	char **lines = vector_split(text, "\n");

	assert_true(strv_len(lines) > 60);
	for (char **line = lines; *line != NULL; line++) {
		if (keywords_find(*line, strcspn(*line, " ")) == NULL)
			fail_msg("ssh -G prints a keyword that is not in daemon/keywords.c: %s",
				 *line);
	}
	strv_free(lines);
	free(text);
}

/* Whatever the installed ssh prints, by default and with every option set that is printed only
 * then, has its row. */
static void test_installed_ssh(void **state)
{
	(void)state;
	check_lines(RUN("ssh", "-F", "none", "-G", "h"));
	check_lines(RUN("ssh", "-G", "h"));
	check_lines(RUN("ssh", "-F", "none", "-G", "-J", "j", "-oCertificateFile=/c", "-I", "/p",
			"-oKnownHostsCommand=/k", "-oLocalCommand=l", "-oRemoteCommand=r", "-D",
			"1", "-L", "2:h:2", "-R", "3:h:3", "-oSendEnv=X", "-oSetEnv=X=1", "-b",
			"::1", "-B", "lo", "-S", "/s", "-oHostKeyAlias=a", "-oIdentityAgent=/a",
			"-oIgnoreUnknown=x", "-oKbdInteractiveDevices=pam",
			"-oPreferredAuthentications=publickey", "-oRevokedHostKeys=/r",
			"-oLogVerbose=kex.c:*:1", "h"));
	check_lines(RUN("ssh", "-F", "none", "-G", "-oProxyCommand=p", "h"));
}

/* The document is written by tests/docs/compatibility.c (see there): the same text must stand in
 * the repository. */
static void test_document_is_current(void **state)
{
	char *document = read_file(HAWSER_COMPATIBILITY_DOCUMENT);
	char *made = run_program((char *[]){"env", HAWSER_COMPATIBILITY_PROGRAM, NULL}, 0);

	(void)state;
	if (strcmp(document, made) != 0)
		fail_msg("docs/compatibility.md is not current; run: %s >docs/compatibility.md",
			 HAWSER_COMPATIBILITY_PROGRAM);
	free(document);
	free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sorted_and_found),
		cmocka_unit_test(test_installed_ssh),
		cmocka_unit_test(test_document_is_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
