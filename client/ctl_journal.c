#include "client/ctl_journal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "client/ctl_print.h"

static const char *text_of(const struct ctl_reply *r, size_t i, const char *key)
{
	const struct reply_value *v = ctl_reply_get(r, i, key);

	return v != NULL && v->kind == 's' ? v->str : "";
}

static uint64_t uint_of(const struct ctl_reply *r, size_t i, const char *key)
{
	const struct reply_value *v = ctl_reply_get(r, i, key);

	return v != NULL && v->kind == 'u' ? v->uint : 0;
}

static double time_of(const struct ctl_reply *r, size_t i)
{
	const struct reply_value *v = ctl_reply_get(r, i, "time");

	return v != NULL && v->kind == 'd' ? v->dbl : 0;
}

static void print_time(FILE *out, double unix_time, const char *format)
{
	/* What is no time at all is shown as the beginning of it. */
	time_t t = unix_time > 0 && unix_time < 2e11 ? (time_t)unix_time : 0;
	struct tm tm;
	char text[64];

	if (localtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), format, &tm) == 0)
		snprintf(text, sizeof(text), "?");
	fputs(text, out);
}

/* What kinds of entries mean; %C stands for "connection 3", %P for "bash (pid 12)". */
static const struct {
	const char *kind, *words;
	bool cls;
} kinds[] = {
	{"daemon", "hawserd", false},
	{"opened", "%C is open", false},
	{"failed", "%C did not come about", true},
	{"suspect", "%C is suspect, and is being asked for an answer", false},
	{"alive", "%C answers again", false},
	{"ended", "%C ended", true},
	{"draining", "%C takes no new sessions", true},
	{"retry", "to be opened again", false},
	{"request", "used by %P over %C", false},
	{"request-end", "use by %P ended", true},
	{"learnt", "learnt", false},
	{"network", "this machine's network", false},
	{"lock", "hawser", false},
	{"state", "state file", false},
};

static void print_connection(FILE *out, const struct ctl_reply *r, size_t i)
{
	uint64_t number = uint_of(r, i, "transport");

	if (number != 0)
		fprintf(out, "connection %llu", (unsigned long long)number);
	else
		fputs("the connection", out);
}

static void print_client(FILE *out, const struct ctl_reply *r, size_t i)
{
	const char *program = text_of(r, i, "program");
	uint64_t pid = uint_of(r, i, "pid");

	if (program[0] != '\0')
		ctl_print_text(out, program);
	if (pid != 0)
		fprintf(out, program[0] != '\0' ? " (pid %llu)" : "pid %llu",
			(unsigned long long)pid);
	else if (program[0] == '\0')
		fputs("a client", out);
}

/* Without time and host. brief: nor what was said already. */
static void print_words(FILE *out, const struct ctl_reply *r, size_t i, bool brief)
{
	const char *kind = text_of(r, i, "kind"), *words = kind, *cls = text_of(r, i, "class"),
		   *text = text_of(r, i, "text");
	bool with_class = true;

	for (size_t k = 0; k < HW_ARRAY_LEN(kinds); k++)
		if (strcmp(kinds[k].kind, kind) == 0) {
			words = kinds[k].words;
			with_class = kinds[k].cls;
		}
	if (words == kind) { /* a newer daemon's */
		ctl_print_text(out, kind);
		words = "";
	}
	for (; *words != '\0'; words++) {
		if (strncmp(words, "%C", 2) == 0)
			print_connection(out, r, i);
		else if (strncmp(words, "%P", 2) == 0)
			print_client(out, r, i);
		else
			fputc(*words, out);
		words += *words == '%';
	}
	if (with_class && cls[0] != '\0') {
		fputs(" (", out);
		ctl_print_text(out, cls);
		fputc(')', out);
	}
	if (text[0] != '\0' && !brief) {
		fputs(": ", out);
		ctl_print_text(out, text);
	}
	fputc('\n', out);
}

static void print_host(FILE *out, const struct ctl_reply *r, size_t i)
{
	const char *typed = text_of(r, i, "destination"), *host = text_of(r, i, "host");

	ctl_print_text(out, typed[0] != '\0' ? typed : host[0] != '\0' ? host : "-");
}

void ctl_print_entry(FILE *out, const struct ctl_reply *r, size_t i)
{
	print_time(out, time_of(r, i), "%Y-%m-%d %H:%M:%S");
	fputs("  ", out);
	print_host(out, r, i);
	fputs("  ", out);
	print_words(out, r, i, false);
}

/* One fact per line. */
static void print_evidence(FILE *out, const char *text)
{
	char line[1024];

	if (text[0] == '\0')
		return;
	fputs("\nSeen:\n", out);
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line)),
			 text);
		if (len > 0) {
			fputs("  ", out);
			ctl_print_text(out, line);
			fputc('\n', out);
		}
		text += len + (text[len] == '\n');
	}
}

static void print_named(FILE *out, const char *name, const char *text)
{
	if (text[0] == '\0')
		return;
	fputs(name, out);
	ctl_print_text(out, text);
	fputc('\n', out);
}

static void print_head(FILE *out, const struct ctl_reply *r, double now)
{
	const char *host = text_of(r, 0, "host"), *text = text_of(r, 0, "text"),
		   *cls = text_of(r, 0, "class");
	char age[32];

	print_host(out, r, 0);
	if (host[0] != '\0' && text_of(r, 0, "destination")[0] != '\0') {
		fputs(" (", out);
		ctl_print_text(out, host);
		fputc(')', out);
	}
	fputs(": ", out);
	if (strcmp(text_of(r, 0, "kind"), "request-end") == 0) {
		fputs("a request of ", out);
		print_client(out, r, 0);
		fputs(" ended", out);
	} else {
		print_connection(out, r, 0);
		fputs(strcmp(text_of(r, 0, "kind"), "failed") == 0 ? " did not come about"
								   : " ended",
		      out);
	}
	print_time(out, time_of(r, 0), " on %Y-%m-%d at %H:%M:%S");
	ctl_format_age(now - time_of(r, 0), age, sizeof(age));
	fprintf(out, ", %s ago\n\n", age);
	ctl_print_text(out, text[0] != '\0' ? text : "It ended by itself.");
	fputc('\n', out);
	print_named(out, "Next step: ", text_of(r, 0, "hint"));
	print_named(out, "Setting: ", text_of(r, 0, "setting"));
	print_named(out, "Class: ", cls);
	print_evidence(out, text_of(r, 0, "evidence"));
}

void ctl_print_why(FILE *out, const struct ctl_reply *r, double now)
{
	uint64_t left_out = r->nitems > 0 ? uint_of(r, 0, "left_out") : 0;

	if (r->nitems == 0)
		return;
	print_head(out, r, now);
	if (r->nitems > 1)
		fputs("\nWhat happened:\n", out);
	for (size_t i = 1; i < r->nitems; i++) {
		bool end = uint_of(r, i, "seq") == uint_of(r, 0, "seq");

		print_time(out, time_of(r, i), end ? "> %H:%M:%S  " : "  %H:%M:%S  ");
		print_words(out, r, i, end);
		if (i == 1 && left_out > 0)
			fprintf(out, "  (%llu more that are not shown)\n",
				(unsigned long long)left_out);
	}
}

bool ctl_is_journal(const struct ctl *c)
{
	return strcmp(c->verb, "log") == 0 || strcmp(c->verb, "why") == 0;
}

static int why(const struct ctl *c, int sock, struct frame_reader *in, int *status)
{
	struct ctl_reply reply;
	struct timespec now;
	int r = ctl_ask(sock, in, c->verb, c->args, &reply);

	clock_gettime(CLOCK_REALTIME, &now);
	if (r == HW_OK && !reply.ok) {
		ctl_print_failure(c, &reply);
		*status = CTL_EXIT_FAILED;
	} else if (r == HW_OK && c->json) {
		ctl_print_json(stdout, &reply);
	} else if (r == HW_OK) {
		ctl_print_why(stdout, &reply, (double)now.tv_sec + (double)now.tv_nsec / 1e9);
	}
	ctl_reply_free(&reply);
	return r;
}

static void print_page(const struct ctl *c, const struct ctl_reply *r, bool *first)
{
	if (c->json) {
		if (*first)
			fputs("{\"ok\": true, \"items\": [", stdout);
		ctl_print_json_items(stdout, r, first);
		return;
	}
	for (size_t i = 0; i < r->nitems; i++)
		ctl_print_entry(stdout, r, i);
	*first = *first && r->nitems == 0;
}

static void end_log(const struct ctl *c, bool none)
{
	if (c->json)
		fputs(none ? "{\"ok\": true, \"items\": []}\n" : "]}\n", stdout);
	else if (none && c->nargs > 0)
		fprintf(stderr, "hawserctl: nothing is known of %s\n", c->args[0]);
	else if (none)
		fputs("hawserctl: nothing has happened yet\n", stderr);
}

/* Page by page, each printed and forgotten: a long journal needs no memory here or there. */
static int journal_log(const struct ctl *c, int sock, struct frame_reader *in, int *status)
{
	size_t left = c->lines, got = 1;
	char most[32], after[32] = "0";
	const char *args[] = {c->nargs > 0 ? c->args[0] : "", most, after, NULL};
	struct ctl_reply page;
	bool first = true;
	int r = HW_OK;

	while (r == HW_OK && left > 0 && got > 0 && *status == 0) {
		snprintf(most, sizeof(most), "%zu", left);
		r = ctl_ask(sock, in, c->verb, args, &page);
		got = 0;
		if (r == HW_OK && !page.ok) {
			ctl_print_failure(c, &page);
			*status = CTL_EXIT_FAILED;
		} else if (r == HW_OK && page.nitems > 0) {
			print_page(c, &page, &first);
			got = page.nitems;
			left -= got < left ? got : left;
			snprintf(after, sizeof(after), "%llu",
				 (unsigned long long)uint_of(&page, got - 1, "seq"));
		}
		ctl_reply_free(&page);
	}
	if (r == HW_OK && *status == 0)
		end_log(c, first);
	return r;
}

int ctl_journal(const struct ctl *c, int sock, struct frame_reader *in, int *status)
{
	return strcmp(c->verb, "log") == 0 ? journal_log(c, sock, in, status)
					   : why(c, sock, in, status);
}
