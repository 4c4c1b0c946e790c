/* Writes docs/compatibility.md from the table in daemon/keywords.c:
 *   cmake --build build --target compatibility && build/tests/compatibility >docs/compatibility.md
 * tests/unit/test_keywords.c fails while the file is not what this prints. */
#include <stdio.h>

#include "daemon/keywords.h"

static const char *treatment(const struct keyword *k)
{
	switch (k->rule) {
	case RULE_DONE:
		return "honoured";
	case RULE_HARMLESS:
		return "no effect here, harmless";
	case RULE_IF_SET:
		return "handed to ssh when set";
	case RULE_IF_ON:
		return "handed to ssh unless no, false or none";
	case RULE_IF_VALUE:
		return "handed to ssh when";
	case RULE_IF_PATH:
		return "honoured; handed to ssh when it listens on a Unix socket";
	case RULE_ALGORITHMS:
		return "honoured; handed to ssh when libssh has none of those chosen";
	case RULE_METHODS:
		return "honoured; handed to ssh when none of publickey, keyboard-interactive and "
		       "password is left";
	}
	return "";
}

static const char *own_transport(const struct keyword *k)
{
	return k->cls == KEYWORD_KEY ? "yes" : "no";
}

int main(void)
{
	puts("# ssh_config keywords and hawser\n\n"
	     "<!-- Made from daemon/keywords.c; do not edit. To make it anew:\n"
	     "     cmake --build build --target compatibility && build/tests/compatibility "
	     ">docs/compatibility.md -->\n\n"
	     "hawser asks `ssh -G` what a command line and the configuration mean, so every "
	     "keyword "
	     "is read as\nssh reads it. This table says what becomes of each value that `ssh -G` "
	     "prints.\n\n"
	     "- *own transport*: requests that differ in it never share a connection.\n"
	     "- *handed to ssh*: hawser becomes the real `ssh` before anything has happened.\n\n"
	     "A keyword that is not in the table (a newer ssh has it) gives an own transport, and "
	     "the request is\nhanded to ssh when it was set to anything but its default. So is a "
	     "request whose file names hold\na variable that is not set, or a known hosts file "
	     "with "
	     "a space in its name, or one given as a\ndescriptor (`-F /dev/fd/63`).\n\n"
	     "| keyword | own transport | treatment |\n|---|---|---|");
	for (size_t i = 0; i < keywords_count; i++) {
		const struct keyword *k = &keywords_table[i];

		printf("| %s | %s | %s%s%s |\n", k->title, own_transport(k), treatment(k),
		       k->value != NULL ? " " : "", k->value != NULL ? k->value : "");
	}
	return 0;
}
