/* Writes docs/causes.md from the table and the rules in daemon/diagnose_*.c:
 *   cmake --build build --target causes && build/tests/causes >docs/causes.md
 * tests/unit/test_diagnose.c fails while the file is not what this prints. */
#include <stdio.h>
#include <string.h>

#include "daemon/diagnose.h"

/* {gap_died} becomes *gap died*. */
static void put(const char *text)
{
	bool in = false;

	for (; *text != '\0'; text++) {
		if (*text == '{' || *text == '}')
			putchar('*');
		else
			putchar(in && *text == '_' ? ' ' : *text);
		in = *text == '{' || (in && *text != '}');
	}
}

static void put_shows(unsigned shows)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{SHOW_TIMES, "times"},	   {SHOW_TCP, "TCP"},	    {SHOW_SAID, "words"},
		{SHOW_MACHINE, "machine"}, {SHOW_LEARNT, "learnt"},
	};
	const char *comma = "";

	if (shows == SHOW_ALL) {
		fputs("all", stdout);
		return;
	}
	for (size_t i = 0; i < HW_ARRAY_LEN(names); i++)
		if ((shows & names[i].bit) != 0) {
			printf("%s%s", comma, names[i].name);
			comma = ", ";
		}
}

static void put_row(enum cause_class cls, const struct diagnose_rule *rule)
{
	const struct diagnose_row *row = diagnose_row(cls);

	printf("| %s | ", cause_name(cls));
	put(rule != NULL && rule->text != NULL ? rule->text : row->text);
	fputs(" | ", stdout);
	put(rule != NULL && rule->hint != NULL ? rule->hint : row->hint);
	printf(" | %s | ", row->setting);
	put_shows(row->shows);
	printf(" | %s |\n", rule != NULL ? rule->when : "");
}

/* Rules that lead to the same words are one row. */
static bool said_before(size_t i)
{
	const struct diagnose_rule *rule = &diagnose_rules[i];

	for (size_t k = 0; k < i; k++)
		if (diagnose_rules[k].cls == rule->cls && diagnose_rules[k].text == rule->text &&
		    diagnose_rules[k].hint == rule->hint)
			return true;
	return false;
}

static void put_class(enum cause_class cls)
{
	const struct diagnose_row *row = diagnose_row(cls);
	const char * or = "";
	bool by_rule = false, own = false;

	printf("| %s | ", cause_name(cls));
	put(row->text);
	fputs(" | ", stdout);
	put(row->hint);
	printf(" | %s | ", row->setting);
	put_shows(row->shows);
	fputs(" | ", stdout);
	for (size_t i = 0; i < diagnose_rules_count; i++) {
		const struct diagnose_rule *rule = &diagnose_rules[i];

		if (rule->cls != cls)
			continue;
		own = own || (rule->seen >> cls & 1) != 0;
		if (rule->text != NULL || rule->hint != NULL)
			continue;
		printf("%s%s", or, rule->when);
		or = "; or ";
		by_rule = true;
	}
	if (!by_rule)
		fputs(row->by_place ? "where it happens" : own ? "else" : "", stdout);
	puts(" |");
	for (size_t i = 0; i < diagnose_rules_count; i++) {
		const struct diagnose_rule *rule = &diagnose_rules[i];

		if (rule->cls == cls && (rule->text != NULL || rule->hint != NULL) &&
		    !said_before(i))
			put_row(cls, rule);
	}
}

int main(void)
{
	puts("# Why a connection ended, or never began\n\n"
	     "<!-- Made from daemon/diagnose_table.c and diagnose_rules.c; do not edit. To make it "
	     "anew:\n"
	     "     cmake --build build --target causes && build/tests/causes >docs/causes.md "
	     "-->\n\n"
	     "What ends a connection or a request is told in two lines at most: what failed, for "
	     "which host, the\nlikely cause; then the next step. The class is a name that "
	     "scripts may go by (`--status-fd`, `--json`). "
	     "*Words in italics* are filled in.\n\n"
	     "The place where an end shows knows what it saw: silence, a reset, an end without a "
	     "word, words of\nthe server. What else was seen of the connection then decides; where "
	     "no "
	     "sign is clear, the class stays\nwhat it was seen as. For rows that say *where it "
	     "happens* the text is the general one: the place adds\nthe names.\n\n"
	     "Evidence: *times* (age, how long quiet, answers missed, bytes), *TCP* (retransmits, "
	     "unacknowledged\nsegments, path MTU), *words* (of the other side, the kernel, "
	     "libssh), "
	     "*machine* (sleep, addresses,\nroutes here), *learnt* (what is known of the host).\n\n"
	     "| class | what the user reads | next step | setting | evidence | recognised by |\n"
	     "|---|---|---|---|---|---|");
	for (int cls = CAUSE_NONE + 1; cls <= CAUSE_INTERNAL; cls++)
		put_class((enum cause_class)cls);
	return 0;
}
