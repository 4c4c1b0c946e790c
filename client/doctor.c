#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl.h"
#include "client/ctl_print.h"
#include "client/doctor_priv.h"
#include "client/json_text.h"
#include "client/options.h"
#include "protocol/alloc.h"

static const char usage[] =
	"usage: hawserctl [--json] doctor [ssh's options] HOST\n"
	"\n"
	"Looks at all that stands between here and a shell on HOST: configuration, name, each\n"
	"address, algorithms, host key, keys, a login of its own, what hawserd holds and knows.\n";

bool doctor_is_asked(int argc, char **argv)
{
	return (argc > 1 && strcmp(argv[1], "doctor") == 0) ||
	       (argc > 2 && strcmp(argv[1], "--json") == 0 && strcmp(argv[2], "doctor") == 0);
}

void doctor_add(struct doctor *d, enum finding finding, const char *part, const char *fmt, ...)
{
	struct doctor_row *r;
	va_list ap;

	d->rows = xreallocarray(d->rows, d->nrows + 1, sizeof(*d->rows));
	r = &d->rows[d->nrows++];
	va_start(ap, fmt);
	*r = (struct doctor_row){.finding = finding, .part = part, .text = xvasprintf(fmt, ap)};
	va_end(ap);
}

void doctor_cure(struct doctor *d, const char *fmt, ...)
{
	struct doctor_row *r = &d->rows[d->nrows - 1];
	char *text, *both;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	both = r->cure != NULL ? xasprintf("%s; %s", r->cure, text) : xstrdup(text);
	free(r->cure);
	free(text);
	r->cure = both;
}

static bool is_part(const struct doctor_row *r, const char *part, enum finding finding)
{
	return r->finding == finding && strcmp(r->part, part) == 0;
}

/* What a reader wants to know first: the first thing that is wrong, for what follows is wrong for
 * that reason as a rule. One dead address of several is no trouble where another serves. */
static const struct doctor_row *verdict(const struct doctor *d)
{
	bool login = false;

	for (size_t i = 0; i < d->nrows; i++)
		login = login || is_part(&d->rows[i], "login", FINE);
	for (size_t i = 0; i < d->nrows; i++) {
		const struct doctor_row *r = &d->rows[i];

		if (r->finding == BAD && !(login && is_part(r, "address", BAD)))
			return r;
	}
	return NULL;
}

static const char *finding_name(enum finding f)
{
	return f == FINE ? "ok" : f == NOTE ? "note" : "bad";
}

/* Servers have chosen much of it. */
static void print_line(const char *head, const char *text)
{
	fputs(head, stdout);
	ctl_print_text(stdout, text);
	putchar('\n');
}

static void print_verdict(const struct doctor *d, const struct doctor_row *worst)
{
	ctl_print_text(stdout, d->host);
	if (worst != NULL) {
		printf(": %s", worst->part);
		print_line(": ", worst->text);
		if (worst->cure != NULL)
			print_line("what to do: ", worst->cure);
	} else if (d->hostname != NULL && strcmp(d->hostname, d->host) != 0) {
		print_line(" is fine: ", d->hostname);
	} else {
		puts(" is fine");
	}
}

static void print_text(const struct doctor *d, const struct doctor_row *worst)
{
	const char *part = "";
	char head[32];

	print_verdict(d, worst);
	putchar('\n');
	for (size_t i = 0; i < d->nrows; i++) {
		const struct doctor_row *r = &d->rows[i];

		snprintf(head, sizeof(head), "%-14s %-4s ",
			 strcmp(part, r->part) != 0 ? r->part : "", finding_name(r->finding));
		print_line(head, r->text);
		snprintf(head, sizeof(head), "%-20s", "");
		if (r->cure != NULL)
			print_line(head, r->cure);
		part = r->part;
	}
}

static void print_json(const struct doctor *d, const struct doctor_row *worst)
{
	printf("{\"ok\": %s, \"verdict\": ", worst == NULL ? "true" : "false");
	json_put_text(stdout, worst == NULL ? "fine" : worst->text);
	fputs(", \"items\": [", stdout);
	for (size_t i = 0; i < d->nrows; i++) {
		const struct doctor_row *r = &d->rows[i];

		printf("%s{\"part\": \"%s\", \"finding\": \"%s\", \"text\": ", i > 0 ? ", " : "",
		       r->part, finding_name(r->finding));
		json_put_text(stdout, r->text);
		fputs(", \"cure\": ", stdout);
		if (r->cure != NULL)
			json_put_text(stdout, r->cure);
		else
			fputs("null", stdout);
		putchar('}');
	}
	puts("]}");
}

/* A login is left out only where it is said already why it must fail. */
static bool worth_a_login(const struct doctor *d)
{
	bool lost = false;

	for (size_t i = 0; i < d->nrows; i++)
		lost = lost || is_part(&d->rows[i], "name", BAD) ||
		       is_part(&d->rows[i], "address", BAD);
	return d->indirect || d->speaks || !lost;
}

static void examine(struct doctor *d)
{
	doctor_surroundings(d);
	doctor_config(d);
	if (d->config == NULL)
		return;
	if (d->indirect) {
		doctor_through(d);
		doctor_algorithms(d);
	} else {
		doctor_addresses(d);
		doctor_algorithms(d);
		doctor_sizes(d);
	}
	doctor_host_key(d);
	doctor_keys(d);
	doctor_held(d);
	if (worth_a_login(d))
		doctor_login(d);
}

static void finish(struct doctor *d)
{
	for (size_t i = 0; i < d->nrows; i++) {
		free(d->rows[i].text);
		free(d->rows[i].cure);
	}
	free(d->rows);
	free(d->config);
	free((char *)(uintptr_t)d->hostname);
	free((char *)(uintptr_t)d->user);
	free((char *)(uintptr_t)d->port);
	for (size_t i = 0; i < HW_ARRAY_LEN(d->offers); i++)
		free(d->offers[i]);
}

/* Takes --json off both ends of the words. */
static void take_json(struct doctor *d, int *first, int *end, char **argv)
{
	while (*first < *end && strcmp(argv[*first], "--json") == 0) {
		d->json = true;
		++*first;
	}
	while (*end > *first && strcmp(argv[*end - 1], "--json") == 0) {
		d->json = true;
		--*end;
	}
	argv[*end] = NULL;
}

int doctor_run(int argc, char **argv)
{
	struct doctor d = {.json = strcmp(argv[1], "--json") == 0};
	const struct doctor_row *worst;
	int first = d.json ? 3 : 2, status = CTL_EXIT_USAGE;
	struct options o;

	take_json(&d, &first, &argc, argv);
	/* As those of a call to ssh; without -E and -y, so that its words come to us. */
	options_scan(&o, argc - first + 1, argv + first - 1);
	if (o.usage || o.host == NULL || o.command != NULL) {
		fputs(usage, stderr);
		options_free(&o);
		return status;
	}
	d.host = o.host;
	d.options = o.args;
	d.noptions = (int)o.nargs;
	examine(&d);
	worst = verdict(&d);
	if (d.json)
		print_json(&d, worst);
	else
		print_text(&d, worst);
	status = worst == NULL ? 0 : CTL_EXIT_FAILED;
	finish(&d);
	options_free(&o);
	return status;
}
